"""The algorithms: for each of ours its public names and its entry in the table, then those of other packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from hybridloop.descriptions.adapt import ADAPT, AdaptSettings, adapt
from hybridloop.descriptions.description import Description
from hybridloop.descriptions.levels import LEVELS, LevelsSettings, levels
from hybridloop.descriptions.qaoa import QAOA, QaoaSettings, qaoa
from hybridloop.descriptions.rqaoa import RQAOA, RqaoaSettings, rqaoa
from hybridloop.descriptions.scan import SCAN, ScanSettings, scan
from hybridloop.descriptions.sqd import SQD, SqdSettings, sqd
from hybridloop.descriptions.vqe import VQE, VqeSettings, vqe
from hybridloop.errors import InputError
from hybridloop.runtime.guarded_import import LOADING, load_guarded

GROUP = "hybridloop.algorithms"  # of entry points, each of which leads to a Description of the same name


class Algorithms(Mapping[str, Description]):
    """Descriptions by name, ours first, then those of other packages, which are imported when they are asked for.

    The names come from the entry points alone. What needs all descriptions takes those that are `known`.
    """

    def __init__(self, *ours: Description) -> None:
        self._ours = {description.name: description for description in ours}
        self._others: dict[str, Description] = {}

    def __getitem__(self, name: str) -> Description:
        """Return an algorithm. Raises InputError if there is none, or its package can't be used."""
        found = self._ours.get(name) or self._others.get(name)
        if found is None:
            if name not in self._entry_points:
                problem = f"no installed package has the algorithm {name!r}"
                raise InputError("algorithm", problem, "Install the package that has it; pip list shows what there is.")
            found = self._others[name] = _load(self._entry_points[name])
        return found

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
        return (*self._ours.values(), *self._others.values())

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


ALGORITHMS = Algorithms(VQE, ADAPT, LEVELS, SQD, SCAN, QAOA, RQAOA)
__all__ = ["AdaptSettings", "adapt"]
__all__ += ["LevelsSettings", "levels"]
__all__ += ["QaoaSettings", "qaoa"]
__all__ += ["RqaoaSettings", "rqaoa"]
__all__ += ["ScanSettings", "scan"]
__all__ += ["SqdSettings", "sqd"]
__all__ += ["VqeSettings", "vqe"]
