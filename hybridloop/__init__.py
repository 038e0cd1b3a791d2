"""hybridloop: hybrid quantum algorithms on Azure Quantum sessions, run as Prefect flows."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridloop.api.algorithms import adapt, levels, qaoa, rqaoa, run_housekeeping, scan, sqd, sweep, vqe
    from hybridloop.api.ansatz import ansatz
    from hybridloop.api.geometry import molecule, problem
    from hybridloop.api.plan import plan
    from hybridloop.api.programs import qsharp
    from hybridloop.api.runs import result
    from hybridloop.api.session import open_session, session, session_flow, sessions
    from hybridloop.budget.tracker import track
    from hybridloop.flows.sweep_execution.spec import SweepSpec
    from hybridloop.runs.live import RoundUpdate
    from hybridloop.runs.result import RunResult
    from hybridloop.settings import (
        AdaptSettings,
        LevelsSettings,
        ProblemText,
        QaoaSettings,
        RqaoaSettings,
        RunSettings,
        ScanSettings,
        SqdSettings,
        VqeSettings,
    )
    from hybridloop.setup_checks import doctor
    from hybridloop.tasks.failure_policy import FailurePolicy

__all__ = [
    "AdaptSettings",
    "FailurePolicy",
    "LevelsSettings",
    "ProblemText",
    "QaoaSettings",
    "RoundUpdate",
    "RqaoaSettings",
    "RunResult",
    "RunSettings",
    "ScanSettings",
    "SqdSettings",
    "SweepSpec",
    "VqeSettings",
    "__version__",
    "adapt",
    "ansatz",
    "doctor",
    "levels",
    "molecule",
    "open_session",
    "plan",
    "problem",
    "qaoa",
    "qsharp",
    "result",
    "rqaoa",
    "run_housekeeping",
    "scan",
    "session",
    "session_flow",
    "sessions",
    "sqd",
    "sweep",
    "track",
    "vqe",
]
__version__ = "0.1.0"

_MODULES = {
    **dict.fromkeys(
        ("adapt", "levels", "qaoa", "rqaoa", "run_housekeeping", "scan", "sqd", "sweep", "vqe"),
        "api.algorithms",
    ),
    **dict.fromkeys(("open_session", "session", "session_flow", "sessions"), "api.session"),
    **dict.fromkeys(("molecule", "problem"), "api.geometry"),
    "ansatz": "api.ansatz",
    "plan": "api.plan",
    "qsharp": "api.programs",
    "result": "api.runs",
    "doctor": "setup_checks",
    "track": "budget.tracker",
    "FailurePolicy": "tasks.failure_policy",
    "RoundUpdate": "runs.live",
    "RunResult": "runs.result",
    "SweepSpec": "flows.sweep_execution.spec",
}


def __dir__() -> list[str]:
    """Return the public names, for tab completion."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: importing the package alone costs nothing."""
    if name in __all__:
        return getattr(import_module(f"hybridloop.{_MODULES.get(name, 'settings')}"), name)
    raise AttributeError(f"module 'hybridloop' has no attribute {name!r}")
