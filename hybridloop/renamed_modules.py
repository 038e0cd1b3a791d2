"""Former import paths and names that the documentation showed, kept for one release with a FutureWarning."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_ENDS = "the former name ends with the next release"


@cache
def load_renames() -> Mapping[str, Mapping[str, Any]]:
    """Return the table of renames.

    `modules` has today's path by former path; "" for a package that only held such modules. `names` has by path
    today's name by former name, as `module:name` if its module is not that of the path.
    """
    from hybridloop.data import load_table  # takes half as long to import as the package

    table: Mapping[str, Mapping[str, Any]] = load_table("renamed")
    return table


def former_names(path: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module: it finds today's object for a name at this path, with a FutureWarning."""

    def find(name: str) -> Any:
        modules, renamed = load_renames()["modules"], load_renames()["names"].get(path, {})
        if path not in modules and name not in renamed:
            raise AttributeError(f"module {path!r} has no attribute {name!r}")
        module, _, today = renamed.get(name, name).rpartition(":")
        module = module or modules.get(path, path)
        if name in renamed:
            _warn(f"{path}.{name} is now {module}.{today}")
        return getattr(import_module(module), today)

    return find


def _warn(message: str) -> None:
    from hybridloop.errors import RenamedWarning

    warnings.warn(f"{message}: {_ENDS}", RenamedWarning, 3)


class _FormerModule(ModuleType):
    """A module at a former path, callable: once imported, it hides the public function of its name."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        package, _, name = self.__name__.rpartition(".")
        return sys.modules[package].__getattr__(name)(*arguments, **named)


class RenamedModules:
    """Import hook for the former paths, asked where no module of that path exists."""

    def find_spec(self, path: str, _path: Sequence[str] | None = None, _target: Any = None) -> ModuleSpec | None:
        """Return the spec of a former path."""
        if path.startswith("hybridloop.") and path in load_renames()["modules"]:
            return ModuleSpec(path, self, is_package=True)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return None: an empty module will do."""

    def exec_module(self, module: ModuleType) -> None:
        """Make the module find its names in today's, and warn."""
        module.__class__ = _FormerModule
        if path := load_renames()["modules"][module.__name__]:
            _warn(f"{module.__name__} is now {path}")
            import_module(path)
            module.__getattr__ = former_names(module.__name__)  # type: ignore[method-assign]


def install() -> None:
    """Add the hook behind all others."""
    sys.meta_path.append(RenamedModules())
