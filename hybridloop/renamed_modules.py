"""Former import paths and names that the documentation showed, kept for one release with a FutureWarning."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
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
_CALLER = "hybridloop.flows.lifecycle.caller_context"
# by path, former name: today's, with its module where that is another than the path's
NAMES: Mapping[str, Mapping[str, str]] = {
    "hybridloop.algorithms.optimizer": {
        "AsksOverlaps": "OverlapOptimizer",
        "MOST_REPEATS": "MAX_REPEATS",
        "Reading": "PointEstimate",
        "checked_frequencies": "validate_frequencies",
        "checked_start": "hybridloop.algorithms.circuits.ansatz:validate_initial_point",
        "end_without_angles": "stop_without_angles",
        "lost_beyond_repair": "missing_points_error",
        "one_more_repeat": "count_repeat",
    },
    "hybridloop.algorithms.outcome": {"Progress": "RoundProgress"},
    "hybridloop.algorithms.rounds": {
        "CountedRounds": "RoundCounter",
        "Lost": "FailedPoint",
        "Measured": "MeasuredPub",
        "Unreadable": "UnusablePoint",
        "points_of": "pub_points",
        "run_round_on": "run_round_from_sampler",
    },
    "hybridloop.algorithms.searches": {
        "ENDINGS": "TERMINATION_SETTINGS",
        "Outset": "SearchSettings",
        "SEARCHES": "OPTIMIZERS",
        "Search": "OptimizerSpec",
    },
    "hybridloop.api": {"keep_house": "hybridloop.api.algorithms:run_housekeeping"},
    "hybridloop.environment": {"prefect": "running_prefect", "workspace_called": "resolve_workspace"},
    "hybridloop.flows.context": {
        "OnProgress": f"{_CALLER}:OnProgress",
        "TAG": f"{_CALLER}:TAG",
        "Update": "RoundUpdate",
        "tasks_untagged": f"{_CALLER}:tasks_untagged",
        "workspace_of_run": f"{_CALLER}:find_workspace",
    },
    "hybridloop.flows.results": {"SessionRecord": "SessionSummary"},
    "hybridloop.flows.settings": {
        "Unattended": "AutoResume",
        **{
            f"{name}Name": f"hybridloop.settings.algorithms:{name}Name"
            for name in ("Allocation", "Grouping", "Mixer", "Objective", "Pool")
        },
    },
    "hybridloop.sessions.budget": {"settled": "settled_amounts", "without_effect": "ineffective_caps_warning"},
    "hybridloop.sessions.service_clock": {"AWAY_S": "RECONNECT_LIMIT_S", "LOOK_S": "EVENT_POLL_S"},
    "hybridloop.sessions.workspace": {"connection_of": "connection_string_of"},
}


def former_names(path: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module: it finds today's object for a name at this path, with a FutureWarning."""

    def find(name: str) -> Any:
        renamed = NAMES.get(path, {})
        if path not in MODULES and name not in renamed:
            raise AttributeError(f"module {path!r} has no attribute {name!r}")
        module, _, today = renamed.get(name, name).rpartition(":")
        module = module or MODULES.get(path, path)
        if name in renamed:
            warnings.warn(f"{path}.{name} is now {module}.{today}: {_ENDS}", FutureWarning, 2)
        return getattr(import_module(module), today)

    return find


_ENDS = "the former name ends with the next release"


class RenamedModules:
    """Import hook for the former paths, asked where no module of that path exists."""

    def find_spec(self, path: str, _path: Sequence[str] | None = None, _target: Any = None) -> ModuleSpec | None:
        """Return the spec of a former path."""
        return ModuleSpec(path, self, is_package=True) if path in MODULES else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return None: an empty module will do."""

    def exec_module(self, module: ModuleType) -> None:
        """Make the module find its names in today's, and warn."""
        if path := MODULES[module.__name__]:
            warnings.warn(f"{module.__name__} is now {path}: {_ENDS}", FutureWarning, 2)
            import_module(path)
            module.__getattr__ = former_names(module.__name__)  # type: ignore[method-assign]


def install() -> None:
    """Add the hook behind all others."""
    sys.meta_path.append(RenamedModules())
