"""hybridloop: hybrid quantum algorithms on Azure Quantum sessions, run as Prefect flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridloop.api import adapt, molecule, open_session, qaoa, rqaoa, scan, session_flow, sweep, vqd, vqe
    from hybridloop.planned import plan

__all__ = [
    "__version__",
    "adapt",
    "molecule",
    "open_session",
    "plan",
    "qaoa",
    "rqaoa",
    "scan",
    "session_flow",
    "sweep",
    "vqd",
    "vqe",
]
__version__ = "0.1.0"


def __dir__() -> list[str]:
    """The public names, for tab completion."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Load the public functions when they are first used: importing the package alone costs nothing."""
    if name == "plan":
        from hybridloop import planned

        return planned.plan
    if name in __all__:
        from hybridloop import api

        return getattr(api, name)
    raise AttributeError(f"module 'hybridloop' has no attribute {name!r}")
