"""Runs in processes of their own, which can be killed: forked from one that has only imported, to cost little.

A process holds a run of a journal, continues its search in a session, and writes the outcome to a file.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import alembic.autogenerate  # noqa: F401  # imported here so that no child imports them again
import azure.quantum.job.session  # noqa: F401
import qiskit_algorithms  # noqa: F401

from hybridloop.azure.workspace import connect
from hybridloop.errors import HybridloopError
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.claimed_run import claim_run, new_run
from hybridloop.journal.journal import BUSY_S
from hybridloop.pytest_plugin import Emulator
from hybridloop.runtime import crash_points as crashpoints
from hybridloop.runtime.crash_points import VARIABLE
from hybridloop.tasks.failure_policy import FailurePolicy
from hybridloop.tasks.session import OpenSession, open_session
from hybridloop.tasks.submission.job_ids import session_id
from tests.chaos.search_helpers import EVALUATIONS, SEARCHES, Answer

os.environ["QDK_PYTHON_TELEMETRY"] = "none"  # it is a thread, and one that forks has none
import qdk.qiskit  # noqa: F401

KILLED = -9
TARGET = "rigetti.sim.qvm"
SEED = 3
_one_at_a_time = threading.Lock()
ENDED = frozenset({"Succeeded", "Failed", "TimedOut"})


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to do, to be sent to it."""

    connection: str = field(repr=False)
    journal: Path
    uid: str
    search: str
    outcome: Path
    crash_at: str = ""
    closed_underfoot: tuple[int, ...] = ()  # rounds before which somebody else closes the session
    rounds_at_most: int | None = None  # live ones, after which the process is gone
    is_halted: bool = False  # at `crash_at`, by SIGSTOP, and may be woken
    ahead_s: float = 0.0  # how far the journal's time is ahead of the machine's
    busy_s: float = BUSY_S  # how long it waits for a journal that another process has locked
    room: int | None = None  # bytes that a file may have, as on a disk that fills up
    log: Path | None = None  # where all that is logged goes, of all levels
    start_together: Any = None  # a barrier of processes that have all but claimed the run


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a process that was not killed: an answer, or an error's type and words."""

    answer: Answer | None = None
    error: str = ""
    text: str = ""
    trace: str = field(default="", repr=False)
    replayed: int = 0
    sessions: int = 0


def work(order: Order) -> None:
    """A process's whole life."""
    if order.crash_at:
        os.environ[VARIABLE] = order.crash_at
    if order.room is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.room, order.room))
    if order.log is not None:
        logging.basicConfig(filename=order.log, level=logging.DEBUG, force=True)
    if order.is_halted:
        halts = SimpleNamespace(environ=os.environ, getpid=os.getpid, kill=lambda *_: _halt(order.journal))
        vars(crashpoints)["os"] = halts
    try:
        outcome = _gone_on(order)
    except HybridloopError as error:
        outcome = Outcome(error=type(error).__name__, text=str(error), trace="".join(traceback.format_exception(error)))
    written = order.outcome.with_suffix(".part")
    written.write_text(json.dumps(asdict(outcome)))
    written.rename(order.outcome)


def _halt(journal: Path) -> None:
    """Stop this process until it is woken. One that is only let go on for a moment stops again after it."""
    while not woken_by(journal, os.getpid()).exists():
        os.kill(os.getpid(), signal.SIGSTOP)
        threading.Event().wait(0.01)


def woken_by(journal: Path, pid: int) -> Path:
    """The file that is there once a process that stopped itself is to go on for good."""
    return journal.with_name(f"woken-{pid}")


def is_locked(journal: Path) -> bool:
    """Whether some process is in the midst of writing, and stays there."""
    with closing(sqlite3.connect(journal, timeout=0.2, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        database.execute("ROLLBACK")
        return False


def _gone_on(order: Order) -> Outcome:
    workspace = connect(order.connection)
    with Journal(journal_url(order.journal), now=lambda: time.time() + order.ahead_s, busy_s=order.busy_s) as journal:
        if order.start_together is not None:
            order.start_together.wait()
        return _searched(order, journal, workspace)


def _searched(order: Order, journal: Journal, workspace: Any) -> Outcome:
    with claim_run(journal, order.uid) as run:
        with open_session(workspace, TARGET, run=run, policy=FailurePolicy()) as session:
            _meddle(session, workspace, order)
            answer = SEARCHES[order.search](session)
        return Outcome(answer, replayed=session.replayed, sessions=len(session.sessions.rows))


def _meddle(session: OpenSession, workspace: Any, order: Order) -> None:
    if not order.closed_underfoot and order.rounds_at_most is None:
        return
    start, passed = session.start_round, 0

    def started(*arguments: Any, **named: Any) -> Any:
        nonlocal passed
        if passed in order.closed_underfoot:
            at = order.closed_underfoot.index(passed)
            if session.sessions.rows[at].ended_at is None:
                workspace.close_session(workspace.get_session(session_id(order.uid, at)))
        live = passed - session.replayed
        if order.rounds_at_most is not None and live >= order.rounds_at_most:
            os.kill(os.getpid(), 9)
        passed += 1
        return start(*arguments, **named)

    session.start_round = started  # type: ignore[method-assign]


def context() -> ForkServerContext:
    """Processes are forked from one without threads; tests' own process has some."""
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([__name__])
    return forking


@dataclass(frozen=True, slots=True)
class Trial:
    """One run that is killed and goes on, with its journal in a folder of its own."""

    service: Emulator
    order: Order

    @classmethod
    def of(cls, service: Emulator, folder: Path, search: str, **orders: Any) -> Trial:
        """A new run of a search, not begun."""
        uid = str(uuid.uuid4())
        folder = folder / uid
        folder.mkdir()
        with _one_at_a_time, Journal(journal_url(folder / "journal.db")) as journal:
            journal.add_run(new_run(uid, key=uid, algorithm=search, problem="", target=TARGET, seed=SEED))
        connection = (
            f"SubscriptionId=11111111-2222-3333-4444-555555555555;ResourceGroupName=chaos;WorkspaceName=ws-{uid[:12]};"
            f"ApiKey={service.api_key};QuantumEndpoint={service.endpoint}"
        )
        return cls(service, Order(connection, folder / "journal.db", uid, search, folder / "outcome.json", **orders))

    def start(self, **changes: Any) -> ForkServerProcess:
        """A process that resumes the run."""
        order = replace(self.order, **changes)
        process = context().Process(target=work, args=[order], daemon=True)
        process.start()
        return process

    def go_on(self, *, within_s: float = 120.0, **changes: Any) -> int:
        """The exit code of a process that resumes the run: -9 if it was killed."""
        with ended(self.start(**changes), within_s) as process:
            assert process.exitcode is not None, f"a process did not end within {within_s} s"
            return process.exitcode

    def go_on_apart(self, environ: Mapping[str, str], **changes: Any) -> None:
        """Resume the run in a new process, with further variables in its environment."""
        program = (
            "import pickle, sys; from tests.chaos.process_helpers import work; work(pickle.load(sys.stdin.buffer))"
        )
        command = [sys.executable, "-c", program]
        sent = pickle.dumps(replace(self.order, **changes))
        subprocess.run(command, input=sent, env={**os.environ, **environ}, check=True, timeout=300)

    def outcome(self, path: Path | None = None) -> Outcome:
        """What the last process left, or that which was to write to `path`."""
        found = json.loads((path or self.order.outcome).read_text())
        if answer := found["answer"]:
            found["answer"] = Answer(answer["value"], tuple(answer["parameters"]), answer["evaluations"])
        return Outcome(**found)

    def books(self) -> dict[str, Any]:
        """The service's own account of the run."""
        found: dict[str, Any] = self.service.admin(f"ledger?run={self.order.uid}&top=10000")
        return found

    def jobs(self) -> set[tuple[str, str]]:
        """The places and attempts that the service accepted jobs for, the run's uid left out."""
        return {(entry["place"].partition("/")[2], entry["attempt"]) for entry in self.books()["entries"]}

    def open_sessions(self) -> list[str]:
        """The status of every session of the run that the service has open."""
        with closing(connect(self.order.connection)) as workspace:
            return [
                session.details.status for session in workspace.list_sessions() if session.details.status not in ENDED
            ]

    def written(self) -> tuple[object, ...]:
        """What the journal has of the run: who holds it, its sessions, and how far its rounds are."""
        with Journal(journal_url(self.order.journal)) as journal:
            run = journal.run(self.order.uid)
            rounds = [
                (round_.stream, round_.sequence, round_.complete, [(job.id, job.state) for job in round_.jobs])
                for round_ in journal.rounds(self.order.uid)
            ]
            return run.owner, run.epoch, run.status, list(journal.sessions(self.order.uid)), rounds

    def check(self, reference: Reference, path: Path | None = None) -> None:
        """Raise AssertionError unless the run ended as one that nobody disturbed, and paid for nothing twice."""
        outcome = self.outcome(path)
        assert outcome.answer == reference.answer, outcome
        self.check_books(reference)

    def check_books(self, reference: Reference) -> None:
        """Raise AssertionError unless the service had the same jobs as of an undisturbed run, and has closed all."""
        books = self.books()
        assert books["duplicates"]["count"] == 0, books["duplicates"]
        assert self.jobs() == reference.jobs
        assert len(books["entries"]) == len(reference.jobs)
        assert self.open_sessions() == []


@dataclass(frozen=True, slots=True)
class Reference:
    """An undisturbed run."""

    answer: Answer
    jobs: frozenset[tuple[str, str]]
    seconds: float


@contextmanager
def ended(process: ForkServerProcess, within_s: float) -> Iterator[ForkServerProcess]:
    """A process once it has ended; one that does not is killed at the end of the block."""
    try:
        process.join(within_s)
        yield process
    finally:
        if process.is_alive():
            process.kill()
            process.join()


def reference_of(service: Emulator, folder: Path, search: str, **orders: Any) -> Reference:
    """The answer and the jobs of a search that nobody disturbs."""
    trial = Trial.of(service, folder, search, **orders)
    start = time.monotonic()
    assert trial.go_on() == 0, "the undisturbed run was killed"
    seconds = time.monotonic() - start
    answer = trial.outcome().answer
    assert answer is not None, trial.outcome()
    assert answer.evaluations >= EVALUATIONS
    return Reference(answer, frozenset(trial.jobs()), seconds)


if sys.platform != "linux":
    raise ImportError("these tests fork")
