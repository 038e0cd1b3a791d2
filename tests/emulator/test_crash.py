"""kill -9 and restart: what was accepted ends, once, with a whole result."""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Emulator
from tests.emulator.calls import ASYMMETRIC_QIR, Caller, blob_call, outcome_counts

# as many as take a second or so: the kill falls among them
JOBS = 120
SLOW = ASYMMETRIC_QIR.replace(
    b"block_0:\n",
    ("block_0:\n" + "  call void @__quantum__qis__h__body(%Qubit* inttoptr (i64 2 to %Qubit*))\n" * 60).encode(),
)


def test_jobs_accepted_before_a_kill_all_end_once_after_the_restart(
    tmp_path: Path, start_emulator: Callable[..., Emulator]
) -> None:
    first = start_emulator(state=tmp_path)
    caller = Caller(first, "crash")
    session = caller.open_session()
    accepted: list[str] = []
    enough = threading.Event()

    def submit() -> None:
        try:
            for number in range(JOBS):
                job = caller.submit(SLOW, job=f"job-{number:03}", name=f"job {number:03}", sessionId=session)
                accepted.append(job)
                if number == JOBS // 2:
                    enough.set()
        except (OSError, AssertionError):
            pass  # the service is gone in the middle of a call
        enough.set()

    submitting = threading.Thread(target=submit)
    submitting.start()
    assert enough.wait(30)
    first.stop(signal.SIGKILL)
    submitting.join()
    with sqlite3.connect(tmp_path / "service.sqlite") as books:
        unfinished = books.execute("SELECT count(*) FROM jobs WHERE ended IS NULL").fetchone()[0]
    books.close()

    second = Caller(start_emulator(state=tmp_path), "crash")
    assert second.call("POST", f"/sessions/{session}:close").status == 200
    for job in accepted:
        document = second.ended(job)
        assert document["status"] == "Succeeded"
        assert sum(outcome_counts(blob_call(document["outputDataUri"], "GET").json()).values()) == 100
    assert second.session_status(session) == "Succeeded"
    with sqlite3.connect(tmp_path / "service.sqlite") as books:
        pending, jobs = books.execute("SELECT pending, (SELECT count(*) FROM jobs) FROM sessions").fetchone()
    books.close()
    assert (pending, jobs >= len(accepted)) == (0, True)
    assert unfinished > 0, "the kill came too late to show anything"


def test_a_stopped_service_keeps_its_sessions_results_keys_and_seed(
    tmp_path: Path, start_emulator: Callable[..., Emulator]
) -> None:
    first = Caller(start_emulator("--seed", "7", state=tmp_path), "stop")
    session = first.open_session()
    job = first.submit(sessionId=session, metadata={"sampling_value": "ab"})
    counts = outcome_counts(first.result(job))
    old_url = first.call("GET", f"/jobs/{job}").json()["outputDataUri"]
    assert first.emulator.stop() == 0

    second = Caller(start_emulator(state=tmp_path), "stop")
    assert second.session_status(session) == "Executing"
    assert outcome_counts(second.result(job)) == counts
    again = second.submit(sessionId=session, metadata={"sampling_value": "ab"})
    assert outcome_counts(second.result(again)) == counts
    new_address = second.emulator.endpoint + old_url.split("/", 3)[3]
    assert outcome_counts(blob_call(new_address, "GET").json()) == counts
