"""The session of a run, owned by a `with` block: opened, used for rounds, renewed, closed however the block ends."""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, overload

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.azure.client import BRIEF_CLOSE
from hybridloop.azure.listing import show_session
from hybridloop.azure.offered import find_offered_target
from hybridloop.azure.retry import ATTEMPTS
from hybridloop.budget.cost_summary import CostSummary
from hybridloop.errors import InputError
from hybridloop.journal.held_run import HeldRun
from hybridloop.journal.revisions import MAIN_STREAM
from hybridloop.runtime.clock import Clock, RealClock
from hybridloop.runtime.leaves import leaf
from hybridloop.runtime.signals import is_by_a_signal, signals_while_closing
from hybridloop.runtime.text_table import count_text
from hybridloop.runtime.waits import CLOSE_TIMEOUT_S
from hybridloop.settings.session_options import DEFAULT_OPTIONS, SessionOptions
from hybridloop.targets import DEFAULT_TARGET, Target
from hybridloop.tasks.connection import Connection, build_connection
from hybridloop.tasks.primitives.unknown_options import with_answers
from hybridloop.tasks.session_renewal import SessionRenewal, closed_with_its_block, log_errors
from hybridloop.tasks.submission.job_ids import check_stream, session_id
from hybridloop.tasks.submission.round_in_flight import RoundInFlight
from hybridloop.tasks.submission.rounds import Rounds

if TYPE_CHECKING:
    from hybridloop.tasks import circuit_jobs, service_sessions, session_status
    from hybridloop.tasks.primitives import backend as backends
    from hybridloop.tasks.primitives import estimator as estimators
    from hybridloop.tasks.primitives import sampler as samplers
else:
    circuit_jobs = leaf("hybridloop.tasks.circuit_jobs")
    backends = leaf("hybridloop.tasks.primitives.backend")
    estimators = leaf("hybridloop.tasks.primitives.estimator")
    samplers = leaf("hybridloop.tasks.primitives.sampler")
    service_sessions = leaf("hybridloop.tasks.service_sessions")
    session_status = leaf("hybridloop.tasks.session_status")

_log = logging.getLogger(__name__)


def _refuse_another_process(_run_uid: str, _token: str) -> NoReturn:
    """Raise InputError: a session has been sent to another process."""
    raise InputError(
        "session",
        "an open session can't go to another process",
        "Open one there, in a flow or a task of its own, or use threads, such as Prefect's ThreadPoolTaskRunner.",
    )


class OpenSession:
    """The session of a run: takes rounds of circuits, and provides Qiskit primitives for other algorithms.

    Rounds that the run's journal has are returned from there. The first new round opens the session at the service, or
    adopts the one that the run left open; a session that has ended is renewed.
    """

    def __init__(self, connection: Connection) -> None:
        self.target = connection.target
        self.run_uid = connection.run.uid
        self.seed = connection.run.seed
        self.rounds = Rounds(connection)
        self.on_close: Callable[[], None] | None = None  # of the block that holds the session
        self._connection = connection
        self._final_status: str | None = None
        self._pings = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Return a call that raises InputError when the pickle is loaded, with a token that no other pickle has.

        Prefect makes the key of a task's cache from its pickled arguments: with the token no cached result is taken for
        a measurement.
        """
        return _refuse_another_process, (self.run_uid, secrets.token_hex(8))

    def __repr__(self) -> str:
        return f"<session {self.id} on {self.target.name}: {self.status.lower()}, {count_text(self.num_jobs, 'job')}>"

    @property
    def id(self) -> str:
        """Id of the open session, else of the last one, else of the first one that will be opened."""
        row, rows = self.sessions.open_row, self.sessions.rows
        return row.id if row else rows[-1].id if rows else session_id(self.run_uid, 0)

    @property
    def status(self) -> str:
        """Last known status of the session at the service; "unopened" before it is opened."""
        if self._final_status is not None:
            return self._final_status
        if self.sessions.open_row is None:
            return self.sessions.rows[-1].status if self.sessions.rows else "unopened"
        return "Executing" if self.num_jobs else "Waiting"

    @property
    def num_jobs(self) -> int:
        """Number of jobs of all rounds so far, without further attempts."""
        return self.rounds.streams.jobs

    @property
    def shots(self) -> int:
        """Number of shots of these jobs."""
        return self.rounds.streams.shots

    @property
    def sessions(self) -> SessionRenewal:
        """The sessions of the run."""
        return self._connection.sessions

    @property
    def cost(self) -> dict[str, float]:
        """Billed amounts so far, by unit (USD, HQC, eHQC, …); empty if the service stated none."""
        return self._connection.ledger.bill.total()

    @property
    def meter(self) -> CostSummary:
        """Amounts that count against the run's caps so far: estimated, reserved, billed."""
        return self._connection.ledger.summary

    @property
    def replayed(self) -> int:
        """Number of rounds that came from the journal whole."""
        return self.rounds.builder.replayed

    @property
    def retried(self) -> int:
        """Number of retries of jobs with transient failures."""
        return self._connection.ledger.retried

    @property
    def pings(self) -> int:
        """Number of jobs that only kept a session alive."""
        return self._pings if self._final_status is not None else self._count_pings()

    @property
    def structures_compiled(self) -> int:
        """Number of circuit structures that were compiled; angles do not count."""
        return self.rounds.builder.num_compiled

    @cached_property
    def _circuit_rounds(self) -> circuit_jobs.CircuitRounds:
        """The rounds of programs that are no algorithm's."""
        return circuit_jobs.CircuitRounds(self.rounds)

    @property
    def snapshot(self) -> session_status.SessionSnapshot:
        """The session's state now, without a request to the service; thread-safe."""
        return session_status.take_snapshot(self._connection, self.rounds.streams, self.id, self.status)

    def open(self) -> None:
        """Open a session at the service now; otherwise a run's first round does it."""
        self.sessions.current()

    def close(self) -> None:
        """Await the session's jobs and close it, as the end of its `with` block does; a second time does nothing.

        Raises InputError for the session of a flow, which closes it.
        """
        if self.on_close is None:
            remedy = "Return from the flow, or hold a session of your own: hybridloop.open_session(…).open()."
            raise InputError("session", "it belongs to a flow, which closes it at its end", remedy)
        self.on_close()

    def run_round(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """Measure a round on the session's main stream; see `hybridloop.algorithms.rounds.RunRound`.

        Raises InputError or ProgramError before anything of the round is submitted, and ServiceError after.
        """
        return self.rounds.run(pubs)

    @overload
    def run(
        self, programs: list[Any] | tuple[Any, ...], *, shots: int = ..., name: str | None = ..., seed: int | None = ...
    ) -> list[circuit_jobs.SessionJob]: ...

    @overload
    def run(
        self, programs: Any, *, shots: int = ..., name: str | None = ..., seed: int | None = ...
    ) -> circuit_jobs.SessionJob: ...

    def run(
        self, programs: Any, *, shots: int = 1024, name: str | None = None, seed: int | None = None
    ) -> circuit_jobs.SessionJob | list[circuit_jobs.SessionJob]:
        """Submit programs, each `shots` times; return a job of a program, or the jobs of a list.

        Programs are circuits of Qiskit and Cirq, QNodes and tapes of PennyLane, OpenQASM 2 and 3, QIR, and Q#
        (`hybridloop.qsharp`), all with their angles bound; a list may mix them. Bits are in Qiskit's order.

        The jobs of a list are one round, with results once the last has ended. `name` is part of their names at the
        service. With a run key it is their identity: the journal numbers the calls of each name, which may come in any
        order, and a program under another name is measured and paid again. The block awaits all jobs. `seed` fixes the
        local service's samples of these jobs, so that equal circuits give equal counts; by default they follow from the
        session's seed and each job's place. Raises InputError or ProgramError before anything is submitted,
        ReplayDiverged for other programs.
        """
        is_list = isinstance(programs, list | tuple)
        jobs = self._circuit_rounds.start(programs if is_list else [programs], shots, name, seed)
        return jobs if is_list else jobs[0]

    def jobs(self) -> list[service_sessions.ServiceJob]:
        """Return the session's jobs as the service lists them, in order of creation, pings included.

        Those that were asked for before are submitted first.
        """
        for round_ in self.rounds.streams.in_flight():
            round_.wait_until_accepted()
        return (
            service_sessions.jobs_of_session(self._connection.service.workspace, self.id) if self.sessions.rows else []
        )

    @property
    def details(self) -> dict[str, Any]:
        """The session as the service knows it now: id, name, target, status, times, and its jobs by status."""
        return show_session(self._connection.service.workspace, self.id)

    @with_answers("sampler")
    def sampler(self, *, shots: int = 1024, stream: str = MAIN_STREAM) -> samplers.SessionSampler:
        """Return a `BaseSamplerV2` whose jobs are rounds of this session; `shots` is for PUBs that state none.

        A job without counts raises in `result()`, because another library's algorithm would take its point for a
        perfect one. Raises InputError for a failure policy that penalizes or skips such points.
        """
        samplers.check_no_lost_points("a sampler", self._connection.options.failure.on_lost_job)
        return samplers.SessionSampler(self.rounds, shots=shots, stream=check_stream(stream))

    @with_answers("estimator")
    def estimator(
        self,
        *,
        precision: float = 1 / 64,
        stream: str = MAIN_STREAM,
        shares_equal_points: bool = False,
        top_ups: bool = True,
        shots: int | None = None,
    ) -> estimators.SessionEstimator:
        """Return a `BaseEstimatorV2` whose jobs are rounds of this session.

        `precision`, a standard error in the observable's unit, is for PUBs that state none. Points whose standard
        error is above it get further shots in a second job; with `top_ups=False` never, and `stds` say what was
        reached. With `shots` each basis of each point has so many in one job, in place of a precision. PUBs and points
        are measured apart; with `shares_equal_points`, equal circuits at equal angles in a call share their shots, and
        so their errors. Else see `sampler`.
        """
        samplers.check_no_lost_points("an estimator", self._connection.options.failure.on_lost_job)
        place = check_stream(stream)
        return estimators.SessionEstimator(
            self.rounds,
            precision=precision,
            stream=place,
            shares_equal_points=shares_equal_points,
            top_ups=top_ups,
            shots=shots,
        )

    def backend(self) -> backends.SessionBackend:
        """Return a `BackendV2` whose jobs are rounds of this session, for pass managers and other packages.

        A job without counts raises in `result()`, as QiskitError: see `sampler`.
        """
        samplers.check_no_lost_points("a backend", self._connection.options.failure.on_lost_job)
        return backends.SessionBackend(self.target, self._circuit_rounds.start_by_content)

    def ping(self) -> None:
        """Ping the open session now. Raises InputError for a session that is not pinged, else what failed."""
        self.sessions.current()
        self._connection.keep_alive.ping()

    def check_deadline(self) -> None:
        """Raise CapReached once the run's deadline has passed, for work that is no round; the session may be closed."""
        self._connection.ledger.budget.check_deadline(self._connection.clock.now())

    def _count_pings(self) -> int:
        states = [ping.state for ping in self._connection.run.journal.pings(self.run_uid)]
        return sum(state in {"submitted", "done", "failed"} for state in states)

    def leave(self) -> None:
        """End the rounds in flight and close the session; called once, on every way out of `open_run_session`."""
        error = sys.exc_info()[1]
        is_interrupted = error is not None and not isinstance(error, Exception)  # by a signal or a SystemExit
        self.rounds.streams.stopped.set()
        with signals_while_closing(self.rounds.stop), ExitStack() as last_steps:
            # in reverse order, and whatever goes wrong before: the session is closed, and then a ping is refused, and
            # jobs are cancelled, with a request for each
            pending = list[RoundInFlight]()
            last_steps.callback(self._cancel, pending)
            last_steps.callback(self._end_keep_alive, settles=not is_interrupted)
            last_steps.callback(self._close, is_interrupted=is_interrupted)
            last_steps.callback(self._connection.run.renew_lease)
            # rounds in flight: what is known of them is recorded
            if is_interrupted:
                self.rounds.streams.wait_for_last_rounds(self._connection.clock, is_signalled=is_by_a_signal(error))
            pending += [round_ for round_ in self.rounds.streams.rounds() if round_.in_flight]
            self.rounds.stop()
            self._connection.service.stop()
            for round_ in pending:
                log_errors(round_.record_ends)

    def _cancel(self, pending: Sequence[RoundInFlight]) -> None:
        """Cancel the jobs of these rounds if the options say so."""
        if self._connection.options.cancel_in_flight:
            for round_ in pending:
                log_errors(round_.cancel)

    def _close(self, *, is_interrupted: bool) -> None:
        """Close the session, unless another process took the run over, and its session with it."""
        sessions = self.sessions
        if self._connection.run.lease_error:
            return
        limits = BRIEF_CLOSE if is_interrupted else (ATTEMPTS, CLOSE_TIMEOUT_S)
        status = log_errors(lambda: sessions.close(attempts=limits[0], timeout_s=limits[1]))
        last = sessions.rows[-1] if sessions.rows else None
        left = "unopened" if last is None else "unknown" if last.ended_at is None else last.status
        self._final_status = status or left

    def _end_keep_alive(self, *, settles: bool) -> None:
        try:
            self._connection.keep_alive.stop(settles=settles and self._connection.run.lease_error is None)
        except Exception as error:  # the session is closed, and no result depends on its pings
            _log.warning("the pings of the session did not end in order: %s: %s", type(error).__name__, error)
        if self._final_status is not None:
            self._pings = log_errors(self._count_pings) or 0
        self.rounds.stop_reason = self.rounds.stop_reason or closed_with_its_block()


@contextmanager
def open_run_session(
    workspace: Any,
    target: str | Target = DEFAULT_TARGET,
    options: SessionOptions = DEFAULT_OPTIONS,
    *,
    run: HeldRun,
    name: str = "hybridloop",
    clock: Clock | None = None,
    begun_s: float | None = None,
) -> Iterator[OpenSession]:
    """Hold the session of a run on a target of the SDK's workspace; it is closed on every way out of the block.

    Its deadline counts from `begun_s`, of the steady clock, else from now; once it has passed, no session is opened.

    A target's name is looked up, and the options must fit it; a `Target` is taken as `SessionOptions.fit` returns it. A
    new run's session is opened at once, a resumed run's when it is needed. Raises InputError before anything is sent,
    AccessDenied or ServiceError if no session can be opened, and RunParked for a round of which `options` say so.
    """
    if isinstance(target, str):
        target = options.fit(find_offered_target(target, workspace))
    with ExitStack() as resources:
        connection = build_connection(workspace, target, run, options, name, clock or RealClock(), begun_s, resources)
        session = OpenSession(connection)
        resources.callback(session.leave)
        run.on_stop(session.rounds.stop_on_request)
        if not session.sessions.rows:
            session.check_deadline()
            session.open()
        yield session
        if "_circuit_rounds" in vars(session):
            session._circuit_rounds.await_all()
