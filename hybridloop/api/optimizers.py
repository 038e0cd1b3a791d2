"""A user's own optimizer as an argument: an object by a name in the settings, which are text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from hybridloop.settings.optimizer_plugins import OBJECT, given_optimizer

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.]+")


@contextmanager
def optimizer_by_name(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the settings with the name of an optimizer that is an object; runs and plans of the block find the object.

    Raises InputError for an object that is no optimizer.
    """
    optimizer = settings.get("optimizer")
    if optimizer is None or isinstance(optimizer, str | int | float):  # a number is refused with the settings
        yield settings
        return
    from hybridloop.algorithms.optimizers.own import own_optimizer

    name = _name_of(optimizer)
    with given_optimizer(f"{OBJECT}{name}", own_optimizer(name, optimizer)):
        yield {**settings, "optimizer": f"{OBJECT}{name}"}


def _name_of(optimizer: Any) -> str:
    """Return the name of a function or class, or of an instance's class."""
    while isinstance(optimizer, partial):
        optimizer = optimizer.func
    name = getattr(optimizer, "__name__", None) or type(optimizer).__name__
    return _NOT_IN_A_NAME.sub("", name) or "function"
