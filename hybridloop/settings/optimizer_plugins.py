"""Optimizers by name: ours, and those of other packages, which say so by an entry point. Imports nothing heavy."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from hybridloop.errors import InputError

if TYPE_CHECKING:
    from hybridloop.algorithms.optimizers.registry import OptimizerSpec

GROUP = "hybridloop.optimizers"


def plug_ins() -> dict[str, EntryPoint]:
    """The optimizers that installed packages offer, by name; none is imported. Of equal names the first serves."""
    found: dict[str, EntryPoint] = {}
    for each in entry_points(group=GROUP):
        found.setdefault(each.name, each)
    return found


def package_of(entry: EntryPoint) -> str:
    """The package that offers it, with its version."""
    return "an unknown package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def nearest(name: str, ours: list[str]) -> str:
    """What to say to whoever gave a name that there is not."""
    names = [*ours, *plug_ins()]
    near = difflib.get_close_matches(name.lower(), names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names)}."


def find_search(name: str) -> OptimizerSpec:
    """The search of that name: ours goes before a plug-in's. Raises InputError for a plug-in that can't be used."""
    from hybridloop.algorithms.optimizers.registry import OPTIMIZERS, OptimizerSpec

    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    if (entry := plug_ins().get(name)) is None:
        raise InputError("optimizer", f"there is no optimizer {name!r}", nearest(name, list(OPTIMIZERS)))
    package = package_of(entry)
    try:
        found = entry.load()
    except Exception as error:  # whatever another's module raises when it is imported
        problem = f"{name!r} of {package} can't be loaded ({type(error).__name__}: {error})"
        raise InputError("optimizer", problem, f"Mend or remove {package}, or choose another optimizer.") from error
    if not isinstance(found, OptimizerSpec):
        problem = f"{entry.value} of {package} is a {type(found).__name__}"
        raise InputError(
            "optimizer",
            problem,
            "An entry point must lead to a hybridloop.algorithms.optimizers.registry.OptimizerSpec.",
        )
    return found
