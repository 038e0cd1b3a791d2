"""Leaves of the program: modules that are imported when something of them is first used.

Beside each stands its import for type checkers, so that both name the same module:

    if TYPE_CHECKING:
        from hybridloop.algorithms.grown import growth
    else:
        growth = leaf("hybridloop.algorithms.grown.growth")
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Leaf:
    """A module that is not imported yet; each of its names is that of the module."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._path), name)

    def __repr__(self) -> str:
        return f"<leaf {self._path}>"


def leaf(path: str) -> Leaf:
    """Return the module of this path, which its first use imports."""
    return Leaf(path)
