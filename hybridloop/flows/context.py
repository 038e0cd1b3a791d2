"""What a flow run in this process takes from its caller, beside its parameters, which Prefect stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from prefect import get_run_logger

from hybridloop.algorithms.outcome import Progress
from hybridloop.errors import InputError, RunCancelled
from hybridloop.flows.problems import Prepared
from hybridloop.flows.results import RunResult
from hybridloop.sessions.session import OpenSession
from hybridloop.sessions.workspace import CONNECTION_VARIABLE, connect_from_environment
from hybridloop.tasks.session import RoundsOfFlow


@dataclass(frozen=True, slots=True)
class Update:
    """A round that is done: what the algorithm says of it, and the session it ran in with its jobs so far.

    `unit` is what the value is in; empty for a number of its own.
    """

    progress: Progress
    session_id: str
    session_status: str
    jobs: int
    unit: str


OnProgress = Callable[[Update], None]


@dataclass(slots=True)
class Call:
    """What the caller gave, and what the run has come to: kept here too, should Prefect fail to note its end.

    `prepared` is what the caller's check has built already, for a run of `seed`; it serves one run. `cancelled` is how
    a run ended that was cancelled in Prefect, of which Prefect itself only says that it was.
    """

    workspace: Any | None
    on_progress: OnProgress | None
    prepared: Prepared | None = None
    seed: int | None = None
    result: RunResult | None = None
    cancelled: RunCancelled | None = None


_NOBODY = Call(None, None)
_call: ContextVar[Call] = ContextVar("call", default=_NOBODY)


@contextmanager
def called_with(
    workspace: Any, on_progress: OnProgress | None, prepared: Prepared | None = None, *, seed: int | None = None
) -> Iterator[Call]:
    """Have a flow run of this context use the SDK's workspace and what is prepared for it, and report each round."""
    call = Call(workspace, on_progress, prepared, seed)
    token = _call.set(call)
    try:
        yield call
    finally:
        _call.reset(token)


def prepared_by_caller(seed: int) -> Prepared | None:
    """What the caller has prepared for a run of this seed, once: an optimizer does not serve a second one."""
    call = _call.get()
    prepared, call.prepared = call.prepared, None
    return prepared if call.seed == seed else None


def seed_of_caller() -> int | None:
    """The seed that the caller has drawn for a new run."""
    return _call.get().seed


def note_cancelled(how: RunCancelled) -> None:
    """Tell the caller how the run ended."""
    if (call := _call.get()) is not _NOBODY:
        call.cancelled = how


def keep(result: RunResult) -> RunResult:
    """Give the caller the result, whatever Prefect does with it."""
    if (call := _call.get()) is not _NOBODY:
        call.result = result
    return result


def workspace_of_run() -> Any:
    """The caller's workspace, else the environment's. Raises InputError where there is neither."""
    workspace = _call.get().workspace
    if workspace is None and (workspace := connect_from_environment()) is None:
        raise InputError(
            "workspace",
            "the flow run was given none",
            f"Set {CONNECTION_VARIABLE}, or call hybridloop.vqe(…) or its like, which starts a local service.",
        )
    return workspace


class Reports:
    """Tells the run's log, and the caller, of each round that was measured now, and keeps all of them in `history`."""

    def __init__(self, session: OpenSession, rounds: RoundsOfFlow, history: list[Progress], unit: str) -> None:
        self._history = history
        self._unit = unit
        self._session = session
        self._rounds = rounds
        self._told = 0  # live rounds
        self._listener, self._log = _call.get().on_progress, get_run_logger()

    def __call__(self, progress: Progress) -> None:
        """Take note of a round."""
        self._history.append(progress)
        if self._rounds.live == self._told:  # it came from the journal: whoever measured it has told of it
            return
        self._told = self._rounds.live
        session = self._session
        measured = f"{progress.value:+.6f} ± {progress.standard_error:.6f} {self._unit}".rstrip()
        said = f"{measured}, {session.jobs} jobs"
        self._log.info("round %d (%s): %s", progress.round, progress.phase, said)
        if self._listener is not None:
            self._listener(Update(progress, session.id, session.status, session.jobs, self._unit))
