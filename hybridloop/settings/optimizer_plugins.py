"""Optimizers by name: built-in ones, entry points of other packages, objects of a program; imports nothing heavy."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from hybridloop.data.objects import OBJECT
from hybridloop.errors import InputError
from hybridloop.runtime.guarded_import import LOADING, load_guarded

if TYPE_CHECKING:
    from hybridloop.algorithms.optimizers.registry import OptimizerSpec

GROUP = "hybridloop.optimizers"

# methods of scipy.optimize.minimize that need no Hessian and no constraints
SCIPY_METHODS = tuple(
    f"scipy:{name}"
    for name in (
        *("cobyla", "cobyqa", "nelder-mead", "powell"),
        *("cg", "bfgs", "l-bfgs-b", "tnc", "slsqp"),
    )
)

NOT_STORED = "must be a name in deployments, sweeps and stored settings"
GIVE_IT_HERE = "Give the object to hybridloop.vqe(optimizer=…), or register it as a plug-in and give its name."

_given: ContextVar[tuple[str, OptimizerSpec] | None] = ContextVar("optimizer", default=None)


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


def is_object(optimizer: object) -> bool:
    """Return True for an optimizer that is an object of a program, which settings can't store."""
    return callable(optimizer) or hasattr(optimizer, "ask") or hasattr(optimizer, "minimize")


@contextmanager
def given_optimizer(name: str, spec: OptimizerSpec) -> Iterator[None]:
    """Let the block find an object of the calling program by a name that begins with `OBJECT`."""
    token = _given.set((name, spec))
    try:
        yield
    finally:
        _given.reset(token)


def find_optimizer(name: str) -> OptimizerSpec:
    """Return the optimizer of a name, a built-in one before a plug-in's.

    Raises InputError for an unusable plug-in, and for an object that only the program that started the run has.
    """
    from hybridloop.algorithms.optimizers.registry import OPTIMIZERS, OptimizerSpec

    if name.startswith(OBJECT):
        if (given := _given.get()) is not None and given[0] == name:
            return given[1]
        problem = f"{name.removeprefix(OBJECT)} is an object of the Python program that started the run"
        remedy = (
            "Start that program again with the same run_key, or register the optimizer as a plug-in and give its name."
        )
        raise InputError("optimizer", problem, remedy)
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    if (entry := optimizer_plugins().get(name)) is None:
        raise InputError("optimizer", f"there is no optimizer {name!r}", suggest_optimizer(name, list(OPTIMIZERS)))
    package = package_of(entry)
    try:
        spec = load_guarded(entry, package)
    except LOADING as error:
        problem = f"{name!r} of {package} can't be loaded ({type(error).__name__}: {error})"
        raise InputError("optimizer", problem, f"Repair or remove {package}, or choose another optimizer.") from error
    if not isinstance(spec, OptimizerSpec):
        problem = f"{entry.value} of {package} is a {type(spec).__name__}"
        remedy = "An entry point must lead to a hybridloop.algorithms.optimizers.registry.OptimizerSpec."
        raise InputError("optimizer", problem, remedy)
    return spec
