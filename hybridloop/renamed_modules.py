"""Former import paths that the documentation named, kept for one release; each resolves to the module of today."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# former path: today's; "" for a package that only held such modules
MODULES: Mapping[str, str] = {
    "hybridloop.algorithms.optimizer": "hybridloop.algorithms.optimizers.base",
    "hybridloop.algorithms.searches": "hybridloop.algorithms.optimizers.registry",
    "hybridloop.environment": "hybridloop.api.environment",
    "hybridloop.flows.context": "hybridloop.runs.live",
    "hybridloop.flows.results": "hybridloop.runs.result",
    "hybridloop.flows.settings": "hybridloop.settings",
    "hybridloop.sessions": "",
    "hybridloop.sessions.budget": "hybridloop.budget.caps",
    "hybridloop.sessions.policy": "hybridloop.tasks.failure_policy",
    "hybridloop.sessions.service_clock": "hybridloop.testing.virtual_clock",
    "hybridloop.sessions.session": "hybridloop.tasks.session",
    "hybridloop.sessions.sorting": "hybridloop.tasks.submission.job_errors",
    "hybridloop.sessions.workspace": "hybridloop.azure.workspace",
    "hybridloop.stack": "hybridloop.local_stack",
}
# names that changed with their modules: (former path, former name): today's name
NAMES: Mapping[tuple[str, str], str] = {
    ("hybridloop.flows.context", "Update"): "RoundUpdate",
}


class RenamedModules:
    """An import hook, asked where no module of that path exists."""

    def find_spec(self, path: str, _path: Sequence[str] | None = None, _target: Any = None) -> ModuleSpec | None:
        """Return the spec of a former path."""
        return ModuleSpec(path, self, is_package=True) if path in MODULES else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return None: an empty module will do."""

    def exec_module(self, module: ModuleType) -> None:
        """Have the module look its names up in today's, and warn."""
        former = module.__name__
        if not (path := MODULES[former]):
            return
        warnings.warn(f"{former} is now {path}; the former path ends with the next release", FutureWarning, 2)
        today = import_module(path)
        module.__getattr__ = lambda name: getattr(today, NAMES.get((former, name), name))  # type: ignore[method-assign]


def install() -> None:
    """Add the hook behind all others."""
    sys.meta_path.append(RenamedModules())
