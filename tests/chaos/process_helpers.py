"""Runs in child processes that tests can kill, forked from a process that has only imported modules.

A process holds a run of a journal, continues its search in a session, and writes the outcome to a file.
"""

from __future__ import annotations

import json
import logging
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
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hybridloop.azure import pace
from hybridloop.azure.workspace import connect
from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.errors import HybridloopError
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import hold_run, new_run
from hybridloop.runtime import crash_points as crashpoints
from hybridloop.runtime.crash_points import VARIABLE
from hybridloop.runtime.waits import JOURNAL_BUSY_S
from hybridloop.settings.failure_policy import FailurePolicy
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Batching
from hybridloop.tasks.session import OpenSession
from hybridloop.tasks.submission.job_ids import session_id
from tests.chaos.search_helpers import EVALUATIONS, SEARCHES, Answer
from tests.forked_processes import context
from tests.session_helpers import open_run_session
from tests.waiting import PATIENCE_S

KILLED = -9
BATCHED, WIDE = ", batched", ", wide"  # forms of a search: all points of a round in one job; all jobs sent at once
FORMS = ("", BATCHED, WIDE)
JOBS_OF_A_ROUND = {"trigonometric": 6, "cobyla": 2}  # points × groups, with a job for each
_STEPS_OF_JOBS = frozenset({"upload", "put", "result"})
TARGET = "rigetti.sim.qvm"
SEED = 3
_one_at_a_time = threading.Lock()
ENDED = frozenset({"Succeeded", "Failed", "TimedOut"})


@dataclass(frozen=True, slots=True)
class ProcessOrder:
    """Instructions of a process, which are sent to it."""

    connection: str = field(repr=False)
    journal: Path
    uid: str
    search: str
    outcome: Path
    crash_at: str = ""
    closed_underfoot: tuple[int, ...] = ()  # rounds before which another client closes the session
    rounds_at_most: int | None = None  # measured ones, after which the process kills itself
    is_halted: bool = False  # stops at `crash_at` by SIGSTOP, and may be woken
    ahead_s: float = 0.0  # lead of the journal's clock over the machine's
    clock: Path | None = None  # file that sets the machine's clock
    clock_set: Mapping[int, str] = field(default_factory=dict)  # what it says from a round on
    busy_s: float = JOURNAL_BUSY_S  # lock timeout of the journal
    room: int | None = None  # limit of the file size in bytes, as on a disk that fills up
    log: Path | None = None  # log file of all levels
    start_together: Any = None  # barrier before the claim of the run


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a process that was not killed: an answer, or an error's type and text."""

    answer: Answer | None = None
    error: str = ""
    text: str = ""
    trace: str = field(default="", repr=False)
    replayed: int = 0
    sessions: int = 0


def work(order: ProcessOrder) -> None:
    """Resume the run as ordered, and write the outcome: the main function of a process."""
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
        outcome = _run_order(order)
    except HybridloopError as error:
        outcome = Outcome(error=type(error).__name__, text=str(error), trace="".join(traceback.format_exception(error)))
    journal_state = order.outcome.with_suffix(".part")
    journal_state.write_text(json.dumps(asdict(outcome)))
    journal_state.rename(order.outcome)


def _halt(journal: Path) -> None:
    """Stop this process until it is woken; after a SIGCONT alone it stops again."""
    while not wake_file(journal, os.getpid()).exists():
        os.kill(os.getpid(), signal.SIGSTOP)
        threading.Event().wait(0.01)


def wake_file(journal: Path, pid: int) -> Path:
    """Return the file whose existence lets a stopped process continue."""
    return journal.with_name(f"woken-{pid}")


def is_locked(journal: Path) -> bool:
    """True if some process holds the write lock and keeps it."""
    with closing(sqlite3.connect(journal, timeout=0.2, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        database.execute("ROLLBACK")
        return False


def _run_order(order: ProcessOrder) -> Outcome:
    workspace = connect(order.connection)
    with Journal(journal_url(order.journal), now=lambda: time.time() + order.ahead_s, busy_s=order.busy_s) as journal:
        if order.start_together is not None:
            order.start_together.wait()
        return _run_search(order, journal, workspace)


def _run_search(order: ProcessOrder, journal: Journal, workspace: Any) -> Outcome:
    search, form = name_and_form(order.search)
    batching = Batching.ON if form == BATCHED else Batching.OFF
    if form == WIDE:
        vars(pace)["MIN_IN_FLIGHT"] = pace.MAX_IN_FLIGHT
    with hold_run(journal, order.uid) as run:
        with open_run_session(
            workspace, TARGET, SessionOptions(failure=FailurePolicy(), batching=batching), run=run
        ) as session:
            _install_disturbances(session, workspace, order)
            answer = SEARCHES[search](session)
        return Outcome(answer, replayed=session.replayed, sessions=len(session.sessions.rows))


def name_and_form(search: str) -> tuple[str, str]:
    """Return a search's name without its form, and the form."""
    name, comma, form = search.partition(", ")
    return name, comma + form


def crash_point(at: str, search: str) -> str:
    """Return the crash point of a run with a job for each point as that of the search's form: the same round."""
    name, form = name_and_form(search)
    point, _, passed = at.partition(":")
    if form != BATCHED or point.partition(".")[0] not in _STEPS_OF_JOBS:
        return at
    return f"{point}:{-(-int(passed) // JOBS_OF_A_ROUND[name])}"


def _install_disturbances(session: OpenSession, workspace: Any, order: ProcessOrder) -> None:
    if not order.closed_underfoot and order.rounds_at_most is None and order.clock is None:
        return
    start, passed = session.rounds.start, 0

    def start_disturbed(*arguments: Any, **keywords: Any) -> Any:
        nonlocal passed
        if order.clock is not None and passed in order.clock_set:
            order.clock.write_text(order.clock_set[passed])
        if passed in order.closed_underfoot:
            at = order.closed_underfoot.index(passed)
            if session.sessions.rows[at].ended_at is None:
                workspace.close_session(workspace.get_session(session_id(order.uid, at)))
        live = passed - session.replayed
        if order.rounds_at_most is not None and live >= order.rounds_at_most:
            os.kill(os.getpid(), 9)
        passed += 1
        return start(*arguments, **keywords)

    session.rounds.start = start_disturbed  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Trial:
    """One run that is killed and resumed, with its journal in its own folder."""

    service: Emulator
    order: ProcessOrder

    @classmethod
    def of(cls, service: Emulator, folder: Path, search: str, **orders: Any) -> Trial:
        """Create a run of a search, not yet started."""
        uid = str(uuid.uuid4())
        folder = folder / uid
        folder.mkdir()
        with _one_at_a_time, Journal(journal_url(folder / "journal.db")) as journal:
            journal.add_run(new_run(uid, key=uid, algorithm=search, problem="", target=TARGET, seed=SEED))
        connection = (
            f"SubscriptionId=11111111-2222-3333-4444-555555555555;ResourceGroupName=chaos;WorkspaceName=ws-{uid[:12]};"
            f"ApiKey={service.api_key};QuantumEndpoint={service.endpoint}"
        )
        return cls(
            service, ProcessOrder(connection, folder / "journal.db", uid, search, folder / "outcome.json", **orders)
        )

    def start(self, **changes: Any) -> ForkServerProcess:
        """Start a process that resumes the run."""
        if at := changes.get("crash_at"):
            changes["crash_at"] = crash_point(at, self.order.search)
        order = replace(self.order, **changes)
        process = context().Process(target=work, args=[order], daemon=True)
        process.start()
        return process

    def resume(self, *, within_s: float = 120.0, **changes: Any) -> int:
        """Resume the run in a process; return its exit code, -9 if it was killed."""
        with ended(self.start(**changes), within_s) as process:
            assert process.exitcode is not None, f"a process did not end within {within_s} s"
            return process.exitcode

    def resume_in_new_process(self, environ: Mapping[str, str], **changes: Any) -> None:
        """Resume the run in a new process, with further variables in its environment."""
        program = (
            "import pickle, sys; from tests.chaos.process_helpers import work; work(pickle.load(sys.stdin.buffer))"
        )
        command = [sys.executable, "-c", program]
        sent = pickle.dumps(replace(self.order, **changes))
        subprocess.run(command, input=sent, env={**os.environ, **environ}, check=True, timeout=PATIENCE_S)

    def outcome(self, path: Path | None = None) -> Outcome:
        """Return the outcome of the last process, or of the one that writes to `path`."""
        found = json.loads((path or self.order.outcome).read_text())
        if answer := found["answer"]:
            found["answer"] = Answer(answer["value"], tuple(answer["parameters"]), answer["evaluations"])
        return Outcome(**found)

    def ledger(self) -> dict[str, Any]:
        """Return the service's ledger of the run."""
        found: dict[str, Any] = self.service.admin(f"ledger?run={self.order.uid}&top=10000")
        return found

    def jobs(self) -> set[tuple[str, str]]:
        """Return place (without the run's uid) and attempt of each accepted job."""
        return {(entry["place"].partition("/")[2], entry["attempt"]) for entry in self.ledger()["entries"]}

    def open_sessions(self) -> list[str]:
        """Return the status of each session of the run that is open at the service."""
        with closing(connect(self.order.connection)) as workspace:
            return [
                session.details.status for session in workspace.list_sessions() if session.details.status not in ENDED
            ]

    def journal_state(self) -> tuple[object, ...]:
        """Return the run's owner, sessions and rounds as the journal has them."""
        with Journal(journal_url(self.order.journal)) as journal:
            run = journal.run(self.order.uid)
            rounds = [
                (round_.stream, round_.sequence, round_.complete, [(job.id, job.state) for job in round_.jobs])
                for round_ in journal.rounds(self.order.uid)
            ]
            return run.owner, run.epoch, run.status, list(journal.sessions(self.order.uid)), rounds

    def check(self, reference: Reference, path: Path | None = None) -> None:
        """Assert that the run gave the answer of an undisturbed one, and paid for no job twice."""
        outcome = self.outcome(path)
        assert outcome.answer == reference.answer, outcome
        self.check_ledger(reference)

    def check_ledger(self, reference: Reference) -> None:
        """Assert that the service had the jobs of an undisturbed run, and that all sessions are closed."""
        ledger = self.ledger()
        assert ledger["duplicates"]["count"] == 0, ledger["duplicates"]
        assert self.jobs() == reference.jobs
        assert len(ledger["entries"]) == len(reference.jobs)
        assert self.open_sessions() == []


@dataclass(frozen=True, slots=True)
class Reference:
    """Answer, jobs and duration of an undisturbed run."""

    answer: Answer
    jobs: frozenset[tuple[str, str]]
    seconds: float


@contextmanager
def ended(process: ForkServerProcess, within_s: float) -> Iterator[ForkServerProcess]:
    """Hold a process that has ended, or that is killed at the end of the block."""
    try:
        process.join(within_s)
        yield process
    finally:
        if process.is_alive():
            process.kill()
            process.join()


def reference_of(service: Emulator, folder: Path, search: str, **orders: Any) -> Reference:
    """Return the answer and the jobs of an undisturbed run of a search."""
    trial = Trial.of(service, folder, search, **orders)
    start = time.monotonic()
    assert trial.resume() == 0, "the undisturbed run was killed"
    seconds = time.monotonic() - start
    answer = trial.outcome().answer
    assert answer is not None, trial.outcome()
    assert answer.evaluations >= EVALUATIONS
    return Reference(answer, frozenset(trial.jobs()), seconds)


if sys.platform != "linux":
    raise ImportError("these tests fork")
