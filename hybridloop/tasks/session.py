"""The session of a run, owned by a `with` block: opened, used for rounds, renewed, closed however the block ends."""

from __future__ import annotations

import logging
import secrets
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.azure.client import CLOSE_TIMEOUT_S
from hybridloop.azure.retry import ATTEMPTS
from hybridloop.azure.targets import DEFAULT_TARGET, Target
from hybridloop.budget.caps import Caps
from hybridloop.budget.cost_summary import CostSummary
from hybridloop.compiler.programs import describe_pub
from hybridloop.errors import HybridloopError, RunParked, RunStopped, StopRequested, StreamBusy
from hybridloop.journal.claimed_run import ClaimedRun, temporary_run
from hybridloop.runtime.clock import Clock, RealClock
from hybridloop.runtime.crash_points import crash_point
from hybridloop.runtime.signals import signals_while_closing
from hybridloop.tasks.connection import Connection
from hybridloop.tasks.cost_ledger import CostLedger
from hybridloop.tasks.failure_policy import FailurePolicy
from hybridloop.tasks.keepalive.session_keep_alive import KeepAliveSettings, SessionKeepAlive
from hybridloop.tasks.session_renewal import SessionRenewal, swallowed
from hybridloop.tasks.session_setup import SessionOptions, build_connection, resolve_target
from hybridloop.tasks.session_status import SessionSnapshot, take_snapshot
from hybridloop.tasks.submission.job_ids import RoundKey, check_stream, session_id
from hybridloop.tasks.submission.jobs import check_round
from hybridloop.tasks.submission.polling import Poller
from hybridloop.tasks.submission.replay import SAME_RAD
from hybridloop.tasks.submission.round_builder import RoundBuilder
from hybridloop.tasks.submission.round_in_flight import RoundInFlight

if TYPE_CHECKING:
    from hybridloop.tasks.primitives.estimator import SessionEstimator
    from hybridloop.tasks.primitives.sampler import SessionSampler

MAIN_STREAM = "main"
LAST_ROUND_S = 5.0  # what an interrupted run waits for the round in flight
POLICY, KEEPING, NO_CAPS = FailurePolicy(), KeepAliveSettings(), Caps()
_ATTEMPTS_IN_HASTE = 2
_CLOSE_IN_HASTE_S = 2.0
_FORMER_NAMES = {"lineage": "sessions", "standing": "snapshot"}

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stream:
    """The rounds of one stream: who calls, how many there were, which are in flight, whether one is being planned."""

    thread: int
    rounds: int = 0
    in_flight: list[RoundInFlight] = field(default_factory=list)
    is_planning: bool = False


class OpenSession:
    """The session of a run: takes rounds of circuits, and hands out primitives for other people's algorithms.

    Rounds that the run's journal has are handed out from there. The session at the service is opened with the first
    round that it does not have, adopted if the run left one open, and renewed when it has ended.
    """

    def __init__(
        self,
        connection: Connection,
        poller: Poller,
        account: CostLedger,
        keeper: SessionKeepAlive,
        *,
        detach_after_s: float | None = None,
        cancel_in_flight: bool = False,
    ) -> None:
        self.target = connection.target
        self.run_uid = connection.run.uid
        self.seed = connection.run.seed
        self._connection = connection
        self._poller = poller
        self._account = account
        self._keeper = keeper
        self._planner = RoundBuilder(
            connection.run, connection.target, connection.sessions, keeper, account, connection.clock
        )
        self._streams: dict[str, _Stream] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._detach_after_s = detach_after_s
        self._cancel_in_flight = cancel_in_flight
        self._why_stopped: HybridloopError | None = None
        self._closed_as: str | None = None
        self._pings = 0
        self._lost = 0  # jobs that were given up, of rounds that were collected
        self.jobs = 0  # of all rounds so far, each place once
        self.shots = 0

    def __getattr__(self, name: str) -> Any:
        """Return what a former name stands for, for one release."""
        if name not in _FORMER_NAMES:
            raise AttributeError(f"a session has no {name!r}")
        warnings.warn(f"session.{name} is now session.{_FORMER_NAMES[name]}", FutureWarning, stacklevel=2)
        return getattr(self, _FORMER_NAMES[name])

    def __repr__(self) -> str:
        return f"<session {self.id} on {self.target.name}: {self.status.lower()}, {self.jobs} jobs>"

    @property
    def id(self) -> str:
        """The id of the session that is open, else of the last one, else of the one to be opened first."""
        held, rows = self._connection.sessions.held, self._connection.sessions.rows
        return held.id if held else rows[-1].id if rows else session_id(self.run_uid, 0)

    @property
    def status(self) -> str:
        """The session's last known status at the service; "unopened" before there is one."""
        if self._closed_as is not None:
            return self._closed_as
        if self._connection.sessions.held is None:
            rows = self._connection.sessions.rows
            return rows[-1].status if rows else "unopened"
        return "Executing" if self.jobs else "Waiting"

    @property
    def sessions(self) -> SessionRenewal:
        """The sessions of the run."""
        return self._connection.sessions

    @property
    def cost(self) -> dict[str, float]:
        """What the service billed so far, by unit (USD, HQC, eHQC, …); empty where it stated nothing."""
        return self._account.bill.total()

    @property
    def meter(self) -> CostSummary:
        """What counts against the run's caps so far: estimated, reserved, billed."""
        return self._account.meter

    @property
    def replayed(self) -> int:
        """Number of rounds that came from the journal whole."""
        return self._planner.replayed

    @property
    def retried(self) -> int:
        """Number of jobs that were asked again because an attempt failed in passing."""
        return self._account.retried

    @property
    def pings(self) -> int:
        """Number of jobs that only kept a session alive."""
        return self._pings if self._closed_as is not None else self._count_pings()

    @property
    def structures_compiled(self) -> int:
        """Number of circuit structures that were compiled; angles do not count."""
        return self._planner.programs.num_compiled

    @property
    def snapshot(self) -> SessionSnapshot:
        """The session's state now, without a request to the service; thread-safe."""
        connection, rounds = self._connection, self._in_flight()
        opened = len(connection.sessions.rows)
        return take_snapshot(self, opened, rounds, self._lost, self._account, self._keeper, connection.clock.now())

    def open(self) -> None:
        """Have a session open at the service; a run's first round does it by itself."""
        self._connection.sessions.current()

    def is_recorded(self, *, stream: str = MAIN_STREAM) -> bool:
        """Whether the stream's next round is in the journal whole."""
        state = self._streams.get(stream)
        record = self._planner.look_up(RoundKey(self.run_uid, stream, state.rounds if state else 0))
        return record is not None and record.complete

    def run_round(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """Measure a round on the session's main stream; see `hybridloop.algorithms.rounds.RunRound`.

        Raises InputError or ProgramError before anything of the round is submitted, and ServiceError after.
        """
        return self.collect(self.start_round(pubs))

    def start_round(
        self, pubs: Sequence[SamplerPub], *, stream: str = MAIN_STREAM, same_rad: float = SAME_RAD
    ) -> RoundInFlight:
        """Number a round, write down its jobs and start their submission; `collect` waits for its counts.

        Rounds of a stream are numbered in the order of their calls, so it takes one thread at a time: StreamBusy. A
        round that the journal has must be the same, its angles within `same_rad`: ReplayDiverged.
        """
        crash_point("step.after")
        check_round(pubs, self.target)
        asked = [describe_pub(pub) for pub in pubs]
        state = self._turn(check_stream(stream))
        try:
            place = RoundKey(self.run_uid, stream, state.rounds)
            round_, is_live = self._planner.planned(place, pubs, asked, same_rad)
        except BaseException:  # whatever it was, an interruption too: the number is free again
            with self._lock:
                state.is_planning = False
            raise
        with self._lock:
            state.is_planning = False
            state.rounds += 1
            state.in_flight.append(round_)
            self.jobs += round_.size
            self.shots += round_.shots
        if is_live and not self._stopped.is_set():
            round_.start(self._connection, lambda: self._poller.watch(self._connection, round_))
        if self._stopped.is_set():
            round_.stop(self._why_stopped)
        return round_

    def collect(self, round_: RoundInFlight) -> list[MeasuredPub]:
        """Wait for a round's counts. Raises what ended it."""
        clock, patience = self._connection.clock, self._detach_after_s
        if patience is not None and round_.started_at is not None:
            left = round_.started_at + patience - clock.now()
            if not clock.wait(round_.ended, max(0.0, left)):
                self._why_stopped = RunParked(sum(each.in_flight for each in self._in_flight()))
                self.stop(self._why_stopped)
        found = round_.result(clock)
        with self._lock:
            self._lost += round_.lost
        crash_point("step.before")
        return found

    def sampler(self, *, shots: int = 1024, stream: str = MAIN_STREAM) -> SessionSampler:
        """A `BaseSamplerV2` whose jobs are rounds of this session; `shots` is for PUBs that state none.

        A job that is lost for good raises there, because a foreign algorithm would take a lost point for a perfect one:
        InputError for a failure policy that says otherwise.
        """
        from hybridloop.tasks.primitives.sampler import SessionSampler, check_no_lost_points

        check_no_lost_points("a sampler", self._connection.policy.on_lost_job)
        return SessionSampler(self, shots=shots, stream=check_stream(stream))

    def estimator(self, *, precision: float = 1 / 64, stream: str = MAIN_STREAM) -> SessionEstimator:
        """A `BaseEstimatorV2` whose jobs are rounds of this session; `precision`, the standard error to aim at in the
        observable's unit, is for PUBs that state none. Lost jobs are treated as a sampler treats them.
        """
        from hybridloop.tasks.primitives.estimator import SessionEstimator
        from hybridloop.tasks.primitives.sampler import check_no_lost_points

        check_no_lost_points("an estimator", self._connection.policy.on_lost_job)
        return SessionEstimator(self, precision=precision, stream=check_stream(stream))

    def stop(self, error: Exception | None = None) -> None:
        """End every wait: rounds in flight raise the error, or RunStopped; their jobs are left to the service."""
        self._stopped.set()
        for round_ in self._in_flight():
            round_.stop(error)
        self._poller.stop()

    def stop_as_told(self) -> None:
        """End every wait because somebody else asked for it, or took the run over."""
        in_flight = sum(round_.in_flight for round_ in self._in_flight())
        self._why_stopped = self._connection.run.lease_error or StopRequested(in_flight)
        self.stop(self._why_stopped)

    def _in_flight(self) -> list[RoundInFlight]:
        with self._lock:
            rounds = [round_ for stream in self._streams.values() for round_ in stream.in_flight]
        return [round_ for round_ in rounds if not round_.ended.is_set()]

    def _turn(self, stream: str) -> _Stream:
        caller = threading.get_ident()
        with self._lock:
            if self._stopped.is_set():
                raise self._why_stopped or RunStopped(0)
            state = self._streams.setdefault(stream, _Stream(caller))
            state.in_flight = [round_ for round_ in state.in_flight if not round_.ended.is_set()]
            if state.thread != caller and (state.in_flight or state.is_planning):
                raise StreamBusy(stream)
            state.thread = caller
            state.is_planning = True
        return state

    def _count_pings(self) -> int:
        states = [ping.state for ping in self._connection.run.journal.pings(self.run_uid)]
        return sum(state in {"submitted", "done", "failed"} for state in states)

    def leave(self) -> None:
        """End what is in flight and close the session; called once, on every way out of the block."""
        kind = sys.exc_info()[0]
        in_haste = kind is not None and not issubclass(kind, Exception)  # an interruption, a SystemExit
        self._stopped.set()
        connection = self._connection
        with signals_while_closing(self.stop):
            if in_haste:
                self._last_chance()
            with self._lock:
                rounds = [round_ for stream in self._streams.values() for round_ in stream.in_flight]
            pending = [round_ for round_ in rounds if round_.in_flight]
            self.stop()
            connection.service.stop()
            for round_ in pending:
                swallowed(partial(round_.write, connection))
                if self._cancel_in_flight:
                    swallowed(partial(round_.cancel, connection))
            connection.run.renew_lease()
            if connection.run.lease_error:
                self._keeper.stop(settles=False)
                return  # whoever has the run now has the session as well
            if not in_haste:
                self._keeper.stop()
            attempts, limit_s = (_ATTEMPTS_IN_HASTE, _CLOSE_IN_HASTE_S) if in_haste else (ATTEMPTS, CLOSE_TIMEOUT_S)
            sessions = connection.sessions
            status = swallowed(lambda: sessions.close(attempts=attempts, timeout_s=limit_s))
            self._keeper.stop(settles=False)  # the close came first: a ping after it is refused
            self._pings = swallowed(self._count_pings) or 0
            last = sessions.rows[-1] if sessions.rows else None
            left_open = "unopened" if last is None else "unknown" if last.ended_at is None else last.status
            self._closed_as = status or left_open

    def _last_chance(self) -> None:
        """Wait a little for the rounds in flight: what they give is paid for, and need not be fetched again."""
        clock = self._connection.clock
        pending = sum(round_.in_flight for round_ in self._in_flight())
        what = "no job is in flight, and the session is closed"
        if pending:
            what = f"waits at most {LAST_ROUND_S:.0f} s for {pending} job(s) in flight, then closes the session"
        _log.warning("interrupted: %s; a second signal skips the wait, a third leaves the session open", what)
        until = clock.now() + LAST_ROUND_S
        for round_ in self._in_flight():
            clock.wait(round_.ended, max(0.0, until - clock.now()))


@contextmanager
def open_session(
    workspace: Any,
    target: str | Target = DEFAULT_TARGET,
    *,
    run: ClaimedRun | None = None,
    seed: int | None = None,
    name: str = "hybridloop",
    policy: FailurePolicy = POLICY,
    keeping: KeepAliveSettings = KEEPING,
    caps: Caps = NO_CAPS,
    detach_after_s: float | None = None,
    cancel_in_flight: bool = False,
    debias: bool = True,
    clock: Clock | None = None,
) -> Iterator[OpenSession]:
    """Hold the session of a run on a target of the SDK's workspace; it is closed however the block ends.

    A target that is given by name is looked up, and checked against the caps and `debias`; a `Target` was before.
    A new run's session is opened at once; a run that is resumed has one opened when it needs one. Without `run` nothing
    is kept, what happened ends with the block, and `seed` (None: drawn) fixes what the local service samples. A round
    that waits for longer than `detach_after_s` parks the run: RunParked. Jobs in flight when the block is left are left
    to finish, because they are paid for, unless `cancel_in_flight`. Without `debias` one of IonQ's machines is told not
    to mitigate errors. Raises InputError before anything is sent, AccessDenied or ServiceError if the session can't be
    opened.
    """
    at = resolve_target(target, caps, debias=debias) if isinstance(target, str) else target
    with ExitStack() as held:
        if run is None:
            run = held.enter_context(temporary_run(at.name, seed=secrets.randbits(63) if seed is None else seed))
        ticking = clock or RealClock()
        terms = SessionOptions(name, policy, keeping, caps, debias=debias)
        connection, poller, account, keeper = build_connection(workspace, at, run, terms, ticking, held)
        session = OpenSession(
            connection, poller, account, keeper, detach_after_s=detach_after_s, cancel_in_flight=cancel_in_flight
        )
        held.callback(session.leave)
        run.on_stop(session.stop_as_told)
        if not session.sessions.rows:
            session.open()
        yield session
