"""What a flow run in this process takes from its caller, beside its parameters, which Prefect stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from prefect import get_run_logger, tags
from prefect.context import TagsContext

from hybridloop.algorithms.outcome import Progress
from hybridloop.blocks import saved_workspace
from hybridloop.errors import CallbackFailed, CapReached, InputError, RunCancelled, RunStopped
from hybridloop.flows.live import LiveFeed
from hybridloop.flows.live_text import plus_minus
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


TAG = "hybridloop"  # of every flow run, so that automations and filters find them
OnProgress = Callable[[Update], None]


@dataclass(slots=True)
class Call:
    """What the caller gave, and what the run has come to: kept here too, should Prefect fail to note its end.

    `prepared` is what the caller's check has built already, for a run of `seed`; it serves one run. `cancelled` is how
    a run ended that was cancelled in Prefect, of which Prefect itself only says that it was; `ended` what ended a
    user's own loop early, which for Prefect is no failure.
    """

    workspace: Any | None
    on_progress: OnProgress | None
    prepared: Prepared | None = None
    seed: int | None = None
    feed: LiveFeed | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    result: RunResult | None = None
    cancelled: RunCancelled | None = None
    ended: CapReached | RunStopped | None = None


_NOBODY = Call(None, None)
_call: ContextVar[Call] = ContextVar("call", default=_NOBODY)


@contextmanager
def called_with(
    workspace: Any,
    on_progress: OnProgress | None,
    prepared: Prepared | None = None,
    *,
    seed: int | None = None,
    feed: LiveFeed | None = None,
    sources: Mapping[str, str] = {},
) -> Iterator[Call]:
    """Have a flow run of this context use the SDK's workspace and what is prepared for it, and report each round.

    `feed` is told how it goes besides; `sources` says where its settings were set.
    """
    call = Call(workspace, on_progress, prepared, seed, feed, sources)
    token = _call.set(call)
    try:
        with tags(TAG):
            yield call
    finally:
        _call.reset(token)


@contextmanager
def tasks_untagged() -> Iterator[None]:
    """Have tasks go without the tags of their flow run: Prefect asks its server for a slot for each tag of a task."""
    with TagsContext(current_tags=set()):
        yield


def prepared_by_caller(seed: int) -> Prepared | None:
    """What the caller has prepared for a run of this seed, once: an optimizer does not serve a second one."""
    call = _call.get()
    prepared, call.prepared = call.prepared, None
    return prepared if call.seed == seed else None


def seed_of_caller() -> int | None:
    """The seed that the caller has drawn for a new run."""
    return _call.get().seed


def sources_of_caller() -> Mapping[str, str]:
    """Where the caller's settings were set, by their names; none of those that are as by default."""
    return _call.get().sources


def note_cancelled(how: RunCancelled) -> None:
    """Tell the caller how the run ended."""
    if (call := _call.get()) is not _NOBODY:
        call.cancelled = how


def note_ended(why: CapReached | RunStopped) -> None:
    """Tell the caller why the run ended early."""
    if (call := _call.get()) is not _NOBODY:
        call.ended = why


def keep(result: RunResult) -> RunResult:
    """Give the caller the result, whatever Prefect does with it."""
    if (call := _call.get()) is not _NOBODY:
        call.result = result
    return result


def workspace_of_run(name: str | None) -> Any:
    """The caller's workspace, else that of the saved block of this name, else the environment's.

    Raises InputError where there is none of them.
    """
    workspace = _call.get().workspace
    if workspace is None and name is not None:
        return saved_workspace(name)
    if workspace is None and (workspace := connect_from_environment()) is None:
        raise InputError(
            "workspace",
            "the flow run was given none",
            f"Name a saved block, set {CONNECTION_VARIABLE}, or call hybridloop.vqe(…) or its like, which starts a "
            "local service.",
        )
    return workspace


class Reports:
    """Tells the run's log, and the caller, of each round that was measured now, and keeps all of them in `history`."""

    def __init__(
        self,
        session: OpenSession,
        rounds: RoundsOfFlow,
        history: list[Progress],
        prepared: Prepared,
        run_key: str,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        self._history = history
        self._unit = prepared.unit
        self._session = session
        self._rounds = rounds
        self._also = also  # called after each round that was measured now
        self._told = 0  # live rounds
        call = _call.get()
        self._listener, self._feed, self._log = call.on_progress, call.feed, get_run_logger()
        if self._feed is not None:
            self._feed.begin(run_key, session, prepared.unit, prepared.sense)

    def __call__(self, progress: Progress) -> None:
        """Take note of a round. Raises CallbackFailed where the caller's own listener does."""
        self._history.append(progress)
        if self._feed is not None:
            self._feed.add(progress)
        if self._rounds.live == self._told:  # it came from the journal: whoever measured it has told of it
            return
        self._told = self._rounds.live
        session = self._session
        measured = f"{progress.value:+.6f} {plus_minus(progress.standard_error)} {self._unit}".rstrip()
        said = f"{measured}, {session.jobs} jobs"
        self._log.info("round %d (%s): %s", progress.round, progress.phase, said)
        if self._listener is not None:
            try:
                self._listener(Update(progress, session.id, session.status, session.jobs, self._unit))
            except Exception as error:  # whatever a user's own function raises
                raise CallbackFailed(progress.round, f"{type(error).__name__}: {error}") from error
        self._also()
