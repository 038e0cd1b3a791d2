"""Import of Prefect in programs of ours, away from the current folder.

Prefect reads `.env`, `prefect.toml` and `pyproject.toml` of the current folder when it is imported, and their settings
can run code, for example by a logging configuration. A command may be called in a folder that somebody else wrote.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def shut_out_current_folder() -> None:
    """Let the first import of Prefect, which comes later, read no settings of the current folder."""
    if "prefect" not in sys.modules:
        sys.meta_path.insert(0, _PrefectImporter())


class _PrefectImporter(MetaPathFinder, Loader):
    """Import hook that imports Prefect, once, in an empty folder."""

    _loader: Loader

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return Prefect's own spec with this loader."""
        if fullname != "prefect":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what Prefect's own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Import all that reads settings in an empty folder."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(FileNotFoundError):  # the current folder was deleted
                stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))
            self._loader.exec_module(module)
            importlib.import_module("prefect.main")
