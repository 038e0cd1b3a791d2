"""Optimizers by name: built-in ones, and those that other packages register as entry points; imports nothing heavy."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from hybridloop.errors import InputError

if TYPE_CHECKING:
    from hybridloop.algorithms.optimizers.registry import OptimizerSpec

GROUP = "hybridloop.optimizers"


def optimizer_plugins() -> dict[str, EntryPoint]:
    """Return the optimizers of installed packages by name, without importing them; the first of each name counts."""
    plugins: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        plugins.setdefault(entry.name, entry)
    return plugins


def package_of(entry: EntryPoint) -> str:
    """Return the package of an entry point, with its version."""
    return "an unknown package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def suggest_optimizer(name: str, built_in: list[str]) -> str:
    """Suggest a similar name for an unknown optimizer, else list all names."""
    names = [*built_in, *optimizer_plugins()]
    similar = difflib.get_close_matches(name.lower(), names, n=1)
    return f"Did you mean {similar[0]!r}?" if similar else f"There are: {', '.join(names)}."


def find_optimizer(name: str) -> OptimizerSpec:
    """Return the optimizer of a name, a built-in one before a plug-in's. Raises InputError for an unusable plug-in."""
    from hybridloop.algorithms.optimizers.registry import OPTIMIZERS, OptimizerSpec

    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    if (entry := optimizer_plugins().get(name)) is None:
        raise InputError("optimizer", f"there is no optimizer {name!r}", suggest_optimizer(name, list(OPTIMIZERS)))
    package = package_of(entry)
    try:
        spec = entry.load()
    except Exception as error:  # a plug-in's module may raise any error when it is imported
        problem = f"{name!r} of {package} can't be loaded ({type(error).__name__}: {error})"
        raise InputError("optimizer", problem, f"Repair or remove {package}, or choose another optimizer.") from error
    if not isinstance(spec, OptimizerSpec):
        problem = f"{entry.value} of {package} is a {type(spec).__name__}"
        remedy = "An entry point must lead to a hybridloop.algorithms.optimizers.registry.OptimizerSpec."
        raise InputError("optimizer", problem, remedy)
    return spec
