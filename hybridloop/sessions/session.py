"""One session at the service, owned by a `with` block: opened, used for rounds, closed however the block ends."""

from __future__ import annotations

import logging
import secrets
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import Measured
from hybridloop.errors import AccessDenied, HybridloopError, InputError, RunStopped, ServiceRefused, StreamBusy
from hybridloop.sessions.clock import Clock, RealClock
from hybridloop.sessions.jobs import check_round, plan_jobs
from hybridloop.sessions.places import RoundPlace, check_stream, session_id
from hybridloop.sessions.poller import Poller
from hybridloop.sessions.programs import Programs
from hybridloop.sessions.retry import ATTEMPTS
from hybridloop.sessions.rounds import Bill, Connection, RoundInFlight
from hybridloop.sessions.service import Service
from hybridloop.sessions.targets import DEFAULT_TARGET, Target, find_target
from hybridloop.sessions.workers import Workers

if TYPE_CHECKING:
    from hybridloop.sessions.sampler import SessionSampler

MAIN_STREAM = "main"
JobFailurePolicy = Literal["abort", "continue"]
_ATTEMPTS_WHEN_LEAVING_IN_HASTE = 2

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stream:
    """The rounds of one stream: who calls, how many there were, which are in flight."""

    thread: int
    rounds: int
    in_flight: list[RoundInFlight]


class OpenSession:
    """An open session: takes rounds of circuits, and hands out primitives for other people's algorithms."""

    def __init__(self, connection: Connection, run_uid: str, seed: int) -> None:
        self.id = connection.session_id
        self.target: Target = connection.target
        self.run_uid = run_uid
        self.seed = seed
        self.status = "Waiting"
        self._connection = connection
        self._programs = Programs(connection.target.profile)
        self._poller = Poller(connection)
        self._streams: dict[str, _Stream] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.jobs = 0  # of all rounds so far
        self.shots = 0

    def __repr__(self) -> str:
        return f"<session {self.id} on {self.target.name}: {self.status.lower()}, {self.jobs} jobs>"

    @property
    def cost(self) -> dict[str, float]:
        """What the service billed so far, by unit (USD, HQC, eHQC, …); empty where it stated nothing."""
        return self._connection.bill.total()

    @property
    def structures_compiled(self) -> int:
        """Number of circuit structures that were compiled; angles do not count."""
        return self._programs.structures

    def run_round(self, pubs: Sequence[SamplerPub], /) -> list[Measured]:
        """Measure a round on the session's main stream; see `hybridloop.algorithms.rounds.RunRound`.

        Raises InputError or ProgramError before anything of the round is submitted, and ServiceError after.
        """
        return self.collect(self.start_round(pubs))

    def start_round(self, pubs: Sequence[SamplerPub], *, stream: str = MAIN_STREAM) -> RoundInFlight:
        """Number a round, plan its jobs and start their submission; `collect` waits for its counts.

        Rounds of a stream are numbered in the order of their calls, so it takes one thread at a time: StreamBusy.
        """
        check_round(pubs, self.target)
        programs = [self._programs.prepare(pub) for pub in pubs]

        def planned(place: RoundPlace) -> RoundInFlight:
            return RoundInFlight(place, programs, plan_jobs(place, pubs, programs, self.target, self.seed))

        round_ = self._numbered(check_stream(stream), planned)
        if round_.size:
            round_.start(self._connection, lambda: self._poller.watch(round_))
        else:
            round_.ended.set()
        return round_

    def collect(self, round_: RoundInFlight) -> list[Measured]:
        """Wait for a round's counts. Raises what ended it."""
        return round_.result(self._connection.clock)

    def sampler(self, *, shots: int = 1024, stream: str = MAIN_STREAM) -> SessionSampler:
        """A `BaseSamplerV2` whose jobs are rounds of this session; `shots` is for PUBs that state none."""
        from hybridloop.sessions.sampler import SessionSampler

        return SessionSampler(self, shots=shots, stream=check_stream(stream))

    def stop(self) -> None:
        """End every wait: rounds in flight raise RunStopped, their jobs are left to the service."""
        self._stopped.set()
        with self._lock:
            in_flight = [round_ for stream in self._streams.values() for round_ in stream.in_flight]
        for round_ in in_flight:
            round_.stop()
        self._poller.stop()

    def _numbered(self, stream: str, planned: Callable[[RoundPlace], RoundInFlight]) -> RoundInFlight:
        caller = threading.get_ident()
        with self._lock:
            if self._stopped.is_set():
                raise RunStopped(0)
            state = self._streams.setdefault(stream, _Stream(caller, 0, []))
            state.in_flight = [round_ for round_ in state.in_flight if not round_.ended.is_set()]
            if state.thread != caller and state.in_flight:
                raise StreamBusy(stream)
            round_ = planned(RoundPlace(self.run_uid, stream, state.rounds))
            state.thread = caller
            state.rounds += 1
            state.in_flight.append(round_)
            self.jobs += round_.size
            self.shots += round_.shots
            if round_.size:
                self.status = "Executing"  # from Waiting, with its first job
        return round_


@contextmanager
def open_session(
    workspace: Any,
    target: str = DEFAULT_TARGET,
    *,
    name: str = "hybridloop",
    seed: int | None = None,
    run_uid: str | None = None,
    session_on_job_failure: JobFailurePolicy = "continue",
    clock: Clock | None = None,
) -> Iterator[OpenSession]:
    """Hold one session open on a target of the SDK's workspace; it is closed however the block ends.

    `seed` fixes what the local service samples (None: drawn). `session_on_job_failure` is the service's own job
    failure policy. Raises InputError before anything is sent, AccessDenied or ServiceError if it can't be opened.
    """
    at = find_target(target)
    if session_on_job_failure not in get_args(JobFailurePolicy):
        problem = f"{session_on_job_failure!r} is no job failure policy"
        raise InputError("session_on_job_failure", problem, "Give 'abort' or 'continue'.")
    uid = run_uid or str(uuid.uuid4())
    stop = threading.Event()
    ticking = clock or RealClock()
    service = Service(workspace, ticking, stop)
    identifier = session_id(uid, 0)
    workers = Workers("hybridloop-session", ticking)
    session = OpenSession(
        Connection(service, identifier, at, ticking, workers, Bill()),
        uid,
        secrets.randbits(63) if seed is None else seed,
    )
    to_close = True  # also after a signal in the midst of the opening: the service may have opened it by then
    try:
        try:
            service.open_session(identifier, name, at, session_on_job_failure.capitalize())
        except (InputError, AccessDenied, ServiceRefused):
            to_close = False  # for certain; an unclear answer may hide a session that is open
            raise
        yield session
    finally:
        with _shielded_from_signals():
            stop.set()
            session.stop()
            try:
                if to_close:
                    _close(service, session)
            finally:
                workers.close()
                service.close()


def _close(service: Service, session: OpenSession) -> None:
    leaving = sys.exc_info()[0]
    in_haste = leaving is not None and not issubclass(leaving, Exception)
    try:
        reply = service.close_session(session.id, attempts=_ATTEMPTS_WHEN_LEAVING_IN_HASTE if in_haste else ATTEMPTS)
        session.status = reply["status"]
    except HybridloopError as error:  # what happened in the block matters more than this, and must not be hidden
        session.status = "unknown"
        _log.warning("session %s: %s", session.id, error)


@contextmanager
def _shielded_from_signals() -> Iterator[None]:
    """Keep a second Ctrl-C or SIGTERM from cutting the close short; it is bounded by its own time limits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
