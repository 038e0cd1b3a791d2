"""hybridloop: hybrid quantum algorithms on Azure Quantum sessions, run as Prefect flows."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridloop.api.circuits import ansatz as ansatz
    from hybridloop.api.circuits import backend as backend
    from hybridloop.api.circuits import qsharp as qsharp
    from hybridloop.api.geometry import molecule as molecule
    from hybridloop.api.geometry import problem as problem
    from hybridloop.api.hosts import resume as resume
    from hybridloop.api.limits import limits as limits
    from hybridloop.api.limits import remove_limit as remove_limit
    from hybridloop.api.limits import set_limit as set_limit
    from hybridloop.api.plan import plan as plan
    from hybridloop.api.session import open_session as open_session
    from hybridloop.api.session import sdk_workspace as sdk_workspace
    from hybridloop.api.session import session as session
    from hybridloop.api.session import session_flow as session_flow
    from hybridloop.api.session import sessions as sessions
    from hybridloop.api.stored import reproduce as reproduce
    from hybridloop.api.stored import result as result
    from hybridloop.api.sweeps import run_housekeeping as run_housekeeping
    from hybridloop.api.sweeps import sweep as sweep
    from hybridloop.budget.tracker import track as track
    from hybridloop.descriptions.table import *  # noqa: F403  # the algorithms and their settings
    from hybridloop.flows.sweep_execution.spec import SweepSpec as SweepSpec
    from hybridloop.results.live import RoundUpdate as RoundUpdate
    from hybridloop.results.result import RunResult as RunResult
    from hybridloop.settings import ProblemText as ProblemText
    from hybridloop.settings import RunSettings as RunSettings
    from hybridloop.settings.failure_policy import FailurePolicy as FailurePolicy
    from hybridloop.setup_checks import doctor as doctor

__version__ = "0.1.0"

_MODULES = {
    **dict.fromkeys(("open_session", "sdk_workspace", "session", "session_flow", "sessions"), "api.session"),
    **dict.fromkeys(("run_housekeeping", "sweep"), "api.sweeps"),
    **dict.fromkeys(("limits", "remove_limit", "set_limit"), "api.limits"),
    **dict.fromkeys(("molecule", "problem"), "api.geometry"),
    **dict.fromkeys(("ProblemText", "RunSettings"), "settings"),
    "ansatz": "api.circuits",
    "backend": "api.circuits",
    "plan": "api.plan",
    "qsharp": "api.circuits",
    "reproduce": "api.stored",
    "result": "api.stored",
    "resume": "api.hosts",
    "doctor": "setup_checks",
    "track": "budget.tracker",
    "FailurePolicy": "settings.failure_policy",
    "RoundUpdate": "results.live",
    "RunResult": "results.result",
    "SweepSpec": "flows.sweep_execution.spec",
}


def __dir__() -> list[str]:
    """Return the public names, for tab completion."""
    return __getattr__("__all__")  # type: ignore[no-any-return]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: importing the package alone costs nothing."""
    if name in _MODULES:
        return getattr(import_module(f"hybridloop.{_MODULES[name]}"), name)
    if name == "__all__" or not name.startswith("_"):
        table = import_module("hybridloop.descriptions.table")
        if name == "__all__":
            return sorted([*_MODULES, *table.__all__, "__version__"])
        if name in table.__all__:
            return getattr(table, name)
        if name in table.ALGORITHMS:  # of another package
            return table.ALGORITHMS[name].run
    raise AttributeError(f"module 'hybridloop' has no attribute {name!r}")
