"""A user's own optimizer as an argument: an object by a name in the settings, which are text."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from hybridloop.data.objects import OBJECT
from hybridloop.settings.optimizer_plugins import given_optimizer

_log = logging.getLogger(__name__)
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
    with given_optimizer(f"{OBJECT}{name}", own_optimizer(name, optimizer, partial(_warn_of_step, name))):
        yield {**settings, "optimizer": f"{OBJECT}{name}"}


def _warn_of_step(name: str, step_rad: float) -> None:
    _log.warning(
        "optimizer %s takes the gradient from energies at angles %.1e rad apart, which shot noise hides, so its "
        "steps are random. Take a method for noisy values, such as optimizer='scipy:cobyla', or leave it out",
        *(name, step_rad),
    )


def _name_of(optimizer: Any) -> str:
    """Return the name of a function or class, or of an instance's class."""
    while isinstance(optimizer, partial):
        optimizer = optimizer.func
    name = getattr(optimizer, "__name__", None) or type(optimizer).__name__
    return _NOT_IN_A_NAME.sub("", name) or "function"
