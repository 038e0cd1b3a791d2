"""A whole run on a service that fails at its first, a middle or its last call: it succeeds, or resumes afterwards.

In virtual time, so that waits take none. The service's ledger shows any job that was submitted twice.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobClient

from hybridloop.algorithms.optimizers.scipy import ScipyOptimizer
from hybridloop.azure.client import RESULT_ATTEMPTS, ServiceClient
from hybridloop.azure.job_document import INPUT_BLOB, blob_url
from hybridloop.azure.retry import ATTEMPTS, ATTEMPTS_IN_RUN
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.emulator.pytest_plugin import Emulator, running_emulator
from hybridloop.errors import HybridloopError
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import hold_run, new_run
from hybridloop.runtime.clock import RealClock
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Batching
from hybridloop.tasks import connection
from tests.chaos.process_helpers import ENDED, SEED, TARGET
from tests.chaos.search_helpers import Answer, ansatz, eigensolver
from tests.long_form import IS_LONG, long_form, short_or_long
from tests.session_helpers import open_run_session

POINTS = short_or_long(6, 9)  # COBYLA takes six to begin with
ROUNDS = POINTS + 1  # the final measurement is one more point
JOBS = 2 * ROUNDS  # two groups; half as many if both are one job
ANSWERS = "answers"
READ_TIMEOUT_S = 0.5
ALL = ("open", "sas", "upload", "submit", "list", "download", "close")
WITH_DOCUMENTS = ("open", "sas", "submit", "list", "close")


class Bench:
    """Runs of one small search, each in its own workspace and journal, on a service with injected faults."""

    def __init__(self, service: Emulator, folder: Path, batching: Batching) -> None:
        self.service = service
        self.batching = batching
        self.number_of_jobs = ROUNDS if batching is Batching.ON else JOBS
        self.folder = folder
        self.uid = ""
        self.log: list[Any] = []

    def begin(self) -> None:
        self.uid = str(uuid.uuid4())
        self.plan([])
        with self.journal() as journal:
            journal.add_run(new_run(self.uid, key=self.uid, algorithm="x", problem="", target=TARGET, seed=SEED))

    def journal(self) -> Journal:
        return Journal(journal_url(self.folder / f"{self.uid}.db"))

    def plan(self, rules: list[dict[str, Any]], *, seed: int = 0) -> None:
        self.service.admin("faults", {"rules": rules, "seed": seed})

    def resume(self, rules: list[dict[str, Any]], *, seed: int = 0) -> Answer:
        """Resume the run under these faults, and return its answer; the faults end with the call."""
        self.plan(rules, seed=seed)
        workspace = self.service.workspace(f"ws-{self.uid[:12]}")
        try:
            with (
                ServiceClock(self.service.endpoint, self.service.admin_key) as clock,
                self.journal() as journal,
                hold_run(journal, self.uid, renew_every_s=0.2) as run,
                open_run_session(
                    workspace, TARGET, SessionOptions(batching=self.batching), run=run, clock=clock
                ) as opened,
            ):
                search = ScipyOptimizer(ansatz().initial_point, tolerance_rad=1e-6, max_evaluations=POINTS)
                return eigensolver(opened.run_round, search)
        finally:
            self.log = self.service.admin("faults/log")["log"]
            self.plan([])

    def answer_or_error(self, rules: list[dict[str, Any]], **options: Any) -> Answer | str:
        """Resume the run; return its answer or the name of the error."""
        try:
            return self.resume(rules, **options)
        except HybridloopError as error:
            return type(error).__name__

    def check_ledger(self, *, further_attempts: int | None = 0) -> None:
        """Assert one result per place, the number of attempts if given, and no open session."""
        ledger = self.service.admin(f"ledger?run={self.uid}")
        assert ledger["duplicates"]["count"] == 0
        places = {entry["place"] for entry in ledger["entries"]}
        assert len(places) == self.number_of_jobs
        if further_attempts is not None:
            assert len(ledger["entries"]) == self.number_of_jobs + further_attempts
        assert not self.open_sessions()

    def jobs(self) -> list[str]:
        """Return the ids of the journaled jobs, in the same order for every run of the search."""
        with self.journal() as journal:
            return [job.id for round_ in journal.rounds(self.uid) for job in round_.jobs]

    def input_of(self, job_id: str) -> bytes:
        """Return a job's input in the storage."""
        with self.input_blob(job_id) as blob:
            return bytes(blob.download_blob().readall())

    @contextmanager
    def input_blob(self, job_id: str) -> Iterator[BlobClient]:
        """Hold the SDK's client of a job's input blob."""
        workspace = self.service.workspace(f"ws-{self.uid[:12]}")
        with closing(ServiceClient(workspace, RealClock(), threading.Event())) as service:
            url = blob_url(service.create_container(job_id), INPUT_BLOB)
        with BlobClient.from_blob_url(url) as client:
            yield client

    def open_sessions(self) -> set[str]:
        """Return the ids of the run's sessions that are open at the service."""
        sessions = self.service.workspace(f"ws-{self.uid[:12]}").list_sessions()
        return {session.id for session in sessions if session.details.status not in ENDED}


@pytest.fixture(scope="module")
def virtual() -> Iterator[Emulator]:
    with running_emulator("--clock", "virtual") as running:
        yield running


@pytest.fixture(params=short_or_long([Batching.OFF], [Batching.OFF, Batching.ON]))
def bench(virtual: Emulator, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    made = Bench(virtual, tmp_path, request.param)
    made.begin()
    return made


_undisturbed: dict[Batching, Answer] = {}


@pytest.fixture
def undisturbed_answer(bench: Bench) -> Answer:
    if bench.batching not in _undisturbed:
        _undisturbed[bench.batching] = bench.resume([])
        bench.begin()
    return _undisturbed[bench.batching]


# Each fault, the operations that it applies to, the end of the run, and the number of additional attempts.
CASES: list[tuple[dict[str, Any], tuple[str, ...], str, int]] = [
    ({"fault": "throttled"}, ALL, ANSWERS, 0),
    ({"fault": "throttled", "retry_after": 7}, ALL, ANSWERS, 0),
    ({"fault": "error", "status": 503}, ALL, ANSWERS, 0),
    ({"fault": "error", "status": 500}, ALL, ANSWERS, 0),
    ({"fault": "error", "status": 400}, ("open", "sas", "submit", "list"), "ServiceRefused", 0),
    ({"fault": "unauthorized"}, ("open", "sas", "submit", "list"), "AccessDenied", 0),
    ({"fault": "quota-exceeded"}, ("submit",), "ServiceRefused", 0),
    ({"fault": "reset-before-commit"}, ALL, ANSWERS, 0),
    ({"fault": "reset-after-commit"}, ALL, ANSWERS, 0),
    ({"fault": "answer-dropped"}, ALL, ANSWERS, 0),
    ({"fault": "slow-answer", "seconds": 20}, ALL, ANSWERS, 0),
    ({"fault": "no-answer"}, ALL, ANSWERS, 0),
    ({"fault": "truncated"}, ALL, ANSWERS, 0),
    ({"fault": "not-json"}, WITH_DOCUMENTS, ANSWERS, 0),
    ({"fault": "empty"}, WITH_DOCUMENTS, ANSWERS, 0),
    ({"fault": "wrong-shape"}, WITH_DOCUMENTS, ANSWERS, 0),
    ({"fault": "page-repeats-item"}, ("list",), ANSWERS, 0),
    ({"fault": "page-skips-item"}, ("list",), ANSWERS, 0),
    ({"fault": "signature-expired"}, ("upload", "download"), ANSWERS, 0),  # it is renewed once
    ({"fault": "blob-missing", "seconds": 3}, ("download",), ANSWERS, 0),
    ({"fault": "blob-exists"}, ("upload",), ANSWERS, 0),
    ({"fault": "job-fails", "code": "ProviderTimeout"}, ("submit",), ANSWERS, 1),
    ({"fault": "job-fails", "code": "InvalidInputData"}, ("submit",), "JobFailed", 1),
    ({"fault": "job-fails"}, ("submit",), "JobFailed", 1),
    ({"fault": "job-cancelled"}, ("submit",), "JobFailed", 1),
    ({"fault": "session-times-out"}, ("submit",), ANSWERS, 0),
    ({"fault": "session-fails"}, ("submit",), ANSWERS, 0),
]
STRIKES = [
    (rule, operation, ends, more)
    for number, (rule, operations, ends, more) in enumerate(CASES)
    if IS_LONG or number % 3 == 0  # the short form tries every third, each at one kind of call
    for operation in short_or_long([operations[number % len(operations)]], operations)
]


@pytest.fixture
def short_read_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the read timeout of sessions: it passes in real time, with any clock."""
    monkeypatch.setattr(connection, "ServiceClient", partial(ServiceClient, read_timeout_s=READ_TIMEOUT_S))


def calls(operation: str, jobs: int) -> list[int]:
    """Return the numbers of the first, a middle and the last call of an operation."""
    if operation in {"open", "close"}:
        return [1]
    if operation == "list":  # each round is polled at least once, and more often if computing is slow
        return short_or_long([POINTS // 2], [1, POINTS // 2, POINTS + 1])
    return short_or_long([jobs // 2], [1, jobs // 2, jobs])


@long_form
@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "operation", "ends", "more"),
    STRIKES,
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else str(value),
)
def test_a_fault_at_any_call_is_retried_or_reported_and_the_run_resumes(
    bench: Bench,
    undisturbed_answer: Answer,
    rule: dict[str, Any],
    operation: str,
    ends: str,
    more: int,
    request: pytest.FixtureRequest,
) -> None:
    if rule["fault"] == "no-answer":
        request.getfixturevalue("short_read_timeout")
    for nth in calls(operation, bench.number_of_jobs):
        bench.begin()
        found = bench.answer_or_error([{**rule, "operation": operation, "nth": nth}])
        assert len(bench.log) == 1, f"the fault did not strike at call {nth}"
        if ends == ANSWERS:
            assert found == undisturbed_answer
        else:
            assert found == ends
            assert bench.answer_or_error([]) == undisturbed_answer
        bench.check_ledger(further_attempts=None if rule["fault"] == "session-fails" else more)


STORM: list[tuple[str, dict[str, Any]]] = [
    ("throttled", {}),
    ("throttled", {"retry_after": 5}),
    ("error", {"status": 500}),
    ("error", {"status": 503}),
    ("reset-before-commit", {}),
    ("reset-after-commit", {}),
    ("answer-dropped", {}),
    ("truncated", {}),
    ("empty", {"operation": list(WITH_DOCUMENTS)}),
    ("job-fails", {"code": "ProviderTimeout", "operation": "submit"}),
    ("session-times-out", {"operation": "submit"}),
    ("session-fails", {"operation": "submit"}),
    ("quota-exceeded", {"operation": "submit"}),
    ("signature-expired", {"operation": "download"}),
    ("unauthorized", {}),
    ("job-cancelled", {"operation": "submit"}),
]
SOAK = [{"fault": fault, "probability": 0.1 / 10, **more} for fault, more in STORM]  # some ten hold for each call


@long_form
@pytest.mark.slow
def test_all_runs_complete_after_a_tenth_of_the_calls_failed(bench: Bench, undisturbed_answer: Answer) -> None:
    met, runs = 0, short_or_long(2, 100)
    for seed in range(3 * runs):
        if seed >= runs and met >= 3 * runs:
            break  # how many calls a run makes, and which of them fail, depends on the order of threads
        bench.begin()
        for part in range(4):  # resumed under faults as well, until it is healed
            found = bench.answer_or_error(SOAK, seed=4 * seed + part)
            met += len(bench.log)
            if not isinstance(found, str):
                break
        else:
            found = bench.answer_or_error([])
        assert found == undisturbed_answer, (seed, found)
        # a session whose close was refused stays open in the journal until it is closed as orphaned
        with bench.journal() as journal:
            known = {row.id for _, row in journal.open_sessions()}
        assert bench.open_sessions() <= known
        assert bench.resume([]) == undisturbed_answer
        bench.check_ledger(further_attempts=None)
    assert met >= 3 * runs


@pytest.mark.parametrize(
    ("operation", "attempts"),
    [
        ("open", ATTEMPTS),
        *((operation, ATTEMPTS_IN_RUN) for operation in ("upload", "submit", "list")),
        ("download", RESULT_ATTEMPTS),
    ],
)
def test_a_service_that_stays_busy_gets_the_stated_number_of_calls(bench: Bench, operation: str, attempts: int) -> None:
    assert bench.answer_or_error([{"fault": "error", "status": 503, "operation": operation}]) == "ServiceBusy"
    strikes: dict[str, int] = {}
    for entry in bench.log:
        strikes[entry["path"]] = strikes.get(entry["path"], 0) + 1
    assert strikes
    assert max(strikes.values()) == attempts


@long_form
@pytest.mark.slow
@pytest.mark.usefixtures("short_read_timeout")
@pytest.mark.parametrize(
    ("operation", "attempts"),
    short_or_long(
        [("list", ATTEMPTS_IN_RUN)],
        [
            ("open", ATTEMPTS),
            *((operation, ATTEMPTS_IN_RUN) for operation in ("upload", "list")),
            ("download", RESULT_ATTEMPTS),
        ],
    ),
)
def test_a_service_that_never_answers_gets_the_stated_number_of_calls(
    bench: Bench, operation: str, attempts: int
) -> None:
    assert bench.answer_or_error([{"fault": "no-answer", "operation": operation}]) == "ServiceUnreachable"
    strikes = Counter(entry["path"] for entry in bench.log)
    assert max(strikes.values()) == attempts


@pytest.mark.usefixtures("short_read_timeout")
def test_unanswered_submissions_are_looked_up_by_id_and_sent_once(bench: Bench, undisturbed_answer: Answer) -> None:
    rules = [{"fault": "no-answer", "operation": "submit", "every": short_or_long(5, 1)}]
    assert bench.answer_or_error(rules) == undisturbed_answer
    strikes = Counter(entry["path"] for entry in bench.log)
    assert len(strikes) >= short_or_long(2, bench.number_of_jobs)
    assert set(strikes.values()) == {1}
    bench.check_ledger()


@pytest.mark.parametrize("nth", short_or_long([ROUNDS // 2], [1, ROUNDS // 2, ROUNDS]))
def test_a_foreign_input_under_a_jobs_id_ends_the_run_and_is_not_overwritten(
    bench: Bench, undisturbed_answer: Answer, nth: int
) -> None:
    bench.resume([])
    ours = [bench.input_of(job_id) for job_id in bench.jobs()]
    bench.begin()
    assert bench.answer_or_error([{"fault": "blob-exists", "content": "theirs", "nth": nth}]) == "ServiceRefused"
    job_id = bench.log[0]["path"].split("/")[1].removeprefix("job-")
    assert bench.answer_or_error([]) == "ServiceRefused"
    assert bench.input_of(job_id) == b"theirs"
    assert job_id not in {entry["job"] for entry in bench.service.admin(f"ledger?run={bench.uid}")["entries"]}
    with bench.input_blob(job_id) as blob:
        blob.upload_blob(ours[bench.jobs().index(job_id)], overwrite=True)
    assert bench.answer_or_error([]) == undisturbed_answer
    assert [bench.input_of(job_id) for job_id in bench.jobs()] == ours
    bench.check_ledger()


def test_a_run_waits_for_a_hanging_job_until_a_request_to_stop(
    bench: Bench, undisturbed_answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ServiceClient.list_session_jobs
    looks = 0

    def seen(self: ServiceClient, *arguments: Any, **named: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 40:
            with bench.journal() as journal:
                journal.request_stop(bench.uid)
        return listed(self, *arguments, **named)

    monkeypatch.setattr(ServiceClient, "list_session_jobs", seen)
    hangs = {"fault": "job-hangs", "operation": "submit", "nth": 3}
    assert bench.answer_or_error([hangs]) == "StopRequested"
