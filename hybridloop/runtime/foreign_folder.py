"""Import of Prefect and matplotlib in programs of ours, away from the current folder.

Prefect reads `.env`, `prefect.toml` and `pyproject.toml` of the current folder when it is imported, and again for each
copy of its settings. Matplotlib reads `matplotlibrc`. Such settings can run code, for example by a logging
configuration or by LaTeX. A command may be called in a folder that somebody else wrote.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any


def shut_out_current_folder() -> None:
    """Let the first import of each library, which comes later, read no settings of the current folder."""
    for name in ("prefect", "matplotlib"):
        if name not in sys.modules:
            sys.meta_path.insert(0, _EmptyFolderImporter(name))


class _EmptyFolderImporter(MetaPathFinder, Loader):
    """Import hook that imports one library, once, in an empty folder."""

    _loader: Loader

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the library's own spec with this loader."""
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what the library's own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Import all that reads settings in an empty folder."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(FileNotFoundError):  # the current folder was deleted
                stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))
            self._loader.exec_module(module)
            if self._name == "prefect":
                importlib.import_module("prefect.main")
                _read_no_files_again()


def _read_no_files_again() -> None:
    """Let Prefect's copies of its settings read no files of the current folder; the profile is still read."""
    base, sources = (importlib.import_module(f"prefect.settings.{name}") for name in ("base", "sources"))
    classes = [base.PrefectBaseSettings]
    for settings in classes:
        settings.model_config["env_file"] = None
        classes += settings.__subclasses__()
    nothing: dict[str, Any] = {}
    replacements = {
        (sources.PrefectTomlConfigSettingsSource, "_read_files"): lambda self, files, **options: nothing,
        (sources.PyprojectTomlConfigSettingsSource, "_read_files"): lambda self, files, **options: nothing,
        # the profile's path
        (sources, "_get_profiles_path_from_toml"): lambda path, keys: None,
        (sources, "dotenv"): SimpleNamespace(dotenv_values=lambda path: nothing),
    }
    for (owner, name), replacement in replacements.items():
        setattr(owner, name, replacement)
