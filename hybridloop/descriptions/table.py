"""The algorithms: for each of ours its public names and its entry in the table, then those of other packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hybridloop.descriptions.description import Description
from hybridloop.errors import InputError
from hybridloop.runtime.guarded_import import LOADING, load_guarded

if TYPE_CHECKING:
    from hybridloop.descriptions.adapt import AdaptSettings, adapt
    from hybridloop.descriptions.levels import LevelsSettings, levels
    from hybridloop.descriptions.qaoa import QaoaSettings, qaoa
    from hybridloop.descriptions.rqaoa import RqaoaSettings, rqaoa
    from hybridloop.descriptions.scan import ScanSettings, scan
    from hybridloop.descriptions.sqd import SqdSettings, sqd
    from hybridloop.descriptions.vqe import VqeSettings, vqe

GROUP = "hybridloop.algorithms"  # of entry points, each of which leads to a Description of the same name


class Algorithms(Mapping[str, Description]):
    """Descriptions by name, ours first, then those of other packages; each is imported when it is asked for.

    The module of one of ours has its name, and the description in capitals; the names of other packages' come from
    their entry points alone. What needs all descriptions takes those that are `known`.
    """

    def __init__(self, *ours: str) -> None:
        self._ours = ours
        self._loaded: dict[str, Description] = {}

    def __getitem__(self, name: str) -> Description:
        """Return an algorithm. Raises InputError if there is none, or its package can't be used."""
        if name not in self._loaded:
            if name in self._ours:
                self._loaded[name] = getattr(module_of(name), name.upper())
            elif name in self._entry_points:
                self._loaded[name] = _load(self._entry_points[name])
            else:
                problem = f"no installed package has the algorithm {name!r}"
                raise InputError("algorithm", problem, "Install the package that has it; pip list shows what there is.")
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._ours or name in self._entry_points

    def __iter__(self) -> Iterator[str]:
        yield from self._ours
        yield from self._entry_points

    def __len__(self) -> int:
        return len(self._ours) + len(self._entry_points)

    @property
    def known(self) -> tuple[Description, ...]:
        """Descriptions of ours, and of the others that this process has asked for."""
        others = [self._loaded[name] for name in self._loaded if name not in self._ours]
        return (*map(self.__getitem__, self._ours), *others)

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in self._ours}


def _load(entry: EntryPoint) -> Description:
    package = "a package" if entry.dist is None else entry.dist.name
    try:
        found = load_guarded(entry, package)
    except LOADING as error:
        problem = f"{entry.name!r} of {package} can't be loaded ({type(error).__name__}: {error})"
        raise InputError("algorithm", problem, f"Repair or remove {package}.") from error
    if not isinstance(found, Description) or found.name != entry.name:
        problem = f"{entry.value} of {package} is no Description named {entry.name!r}"
        raise InputError("algorithm", problem, f"Repair or remove {package}.")
    return found


def module_of(name: str) -> ModuleType:
    """Return the module that describes one of our algorithms."""
    return import_module(f"hybridloop.descriptions.{name}")


ALGORITHMS = Algorithms("vqe", "adapt", "levels", "sqd", "scan", "qaoa", "rqaoa")
__all__ = ["AdaptSettings", "adapt"]
__all__ += ["LevelsSettings", "levels"]
__all__ += ["QaoaSettings", "qaoa"]
__all__ += ["RqaoaSettings", "rqaoa"]
__all__ += ["ScanSettings", "scan"]
__all__ += ["SqdSettings", "sqd"]
__all__ += ["VqeSettings", "vqe"]


def __getattr__(name: str) -> Any:
    """Return a public name of an algorithm, whose module is imported when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(module_of(name.removesuffix("Settings").lower()), name)
