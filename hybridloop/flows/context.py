"""What a flow run in this process takes from its caller, beside its parameters, which Prefect stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from prefect import get_run_logger

from hybridloop.algorithms.vqe import Progress
from hybridloop.errors import InputError
from hybridloop.sessions.session import OpenSession
from hybridloop.sessions.workspace import CONNECTION_VARIABLE, connect_from_environment


@dataclass(frozen=True, slots=True)
class Update:
    """A round that is done: what the algorithm says of it, and the session it ran in with its jobs so far."""

    progress: Progress
    session_id: str
    session_status: str
    jobs: int


OnProgress = Callable[[Update], None]

_workspace: ContextVar[Any | None] = ContextVar("workspace", default=None)
_on_progress: ContextVar[OnProgress | None] = ContextVar("on_progress", default=None)


@contextmanager
def called_with(workspace: Any, on_progress: OnProgress | None) -> Iterator[None]:
    """Have flow runs of this context use the SDK's workspace, and report each round."""
    tokens = _workspace.set(workspace), _on_progress.set(on_progress)
    try:
        yield
    finally:
        _workspace.reset(tokens[0])
        _on_progress.reset(tokens[1])


def workspace_of_run() -> Any:
    """The caller's workspace, else the environment's. Raises InputError where there is neither."""
    workspace = _workspace.get()
    if workspace is None and (workspace := connect_from_environment()) is None:
        raise InputError(
            "workspace",
            "the flow run was given none",
            f"Set {CONNECTION_VARIABLE}, or call hybridloop.vqe(…), which starts a local service.",
        )
    return workspace


def reports_of(session: OpenSession) -> Callable[[Progress], None]:
    """A callback that tells the run's log, and the caller, of each round."""
    listener, log = _on_progress.get(), get_run_logger()

    def report(progress: Progress) -> None:
        said = f"{progress.value:+.6f} ± {progress.standard_error:.6f} hartree, {session.jobs} jobs"
        log.info("round %d (%s): %s", progress.round, progress.phase, said)
        if listener is not None:
            listener(Update(progress, session.id, session.status, session.jobs))

    return report
