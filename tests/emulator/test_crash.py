"""SIGKILL and restart: every accepted job ends once, with a complete result."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.conftest import Emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, Caller, blob_call, outcome_counts
from tests.long_form import long_form, short_or_long
from tests.waiting import PATIENCE_S

JOBS = short_or_long(60, 200)
KILLS = short_or_long(1, 3)
# takes a few milliseconds, so that the kill comes while jobs run
SLOW = ASYMMETRIC_QIR.replace(
    b"block_0:\n",
    ("block_0:\n" + "  call void @__quantum__qis__h__body(%Qubit* inttoptr (i64 2 to %Qubit*))\n" * 60).encode(),
)


def job_details(number: int) -> tuple[str, dict[str, Any]]:
    """Return id and details of a job; every fourth has the same sampling value, hence the same counts."""
    metadata = {"place": f"run/main/{number}", "attempt": "0", "sampling_value": str(number % 4)}
    return f"job-{number:03}", {"name": f"job {number:03}", "metadata": metadata}


def submit_until_killed(
    caller: Caller, session: str, remaining: list[int], enough: int, enough_accepted: threading.Event
) -> None:
    """Submit one job after another, and remove from the list those whose acceptance was confirmed."""
    accepted = 0
    with contextlib.suppress(OSError, http.client.HTTPException):  # the service is killed during a call
        for number in list(remaining):
            job, details = job_details(number)
            url = str(caller.call("POST", "/storage/sasUri", {"containerName": f"job-{job}"}).json()["sasUri"])
            blob_call(url, "PUT", "/inputData", SLOW, **{"x-ms-blob-type": "BlockBlob"})
            reply = caller.call("PUT", f"/jobs/{job}", caller.document(url, sessionId=session, **details))
            assert reply.status == 200, reply.body
            remaining.remove(number)
            accepted += 1
            if accepted == enough:
                enough_accepted.set()
    enough_accepted.set()


@long_form
@pytest.mark.slow
def test_after_sigkills_every_accepted_job_ends_once_in_the_ledger_with_complete_blobs(
    tmp_path: Path, start_emulator: Callable[..., Emulator]
) -> None:
    remaining, port, session, unfinished = list(range(JOBS)), "0", "", 0
    for _ in range(KILLS):
        service = start_emulator("--port", port, state=tmp_path)
        port = str(urlsplit(service.endpoint).port)
        caller = Caller(service, "crash")
        session = session or caller.open_session()
        enough_accepted = threading.Event()
        arguments = (caller, session, remaining, JOBS // (KILLS + 2), enough_accepted)
        submitting = threading.Thread(target=submit_until_killed, args=arguments)
        submitting.start()
        assert enough_accepted.wait(60)
        workers = psutil.Process(service.process.pid).children(recursive=True)
        service.stop(signal.SIGKILL)
        submitting.join()
        assert psutil.wait_procs(workers, timeout=PATIENCE_S)[1] == [], "workers outlive their service"
        with contextlib.closing(sqlite3.connect(tmp_path / "service.sqlite")) as database:
            unfinished += database.execute("SELECT count(*) FROM jobs WHERE ended IS NULL").fetchone()[0]
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert remaining, "the last kill came too late"
    assert unfinished > 0, "the kills came too late to show anything"

    service = start_emulator("--port", port, state=tmp_path)
    caller = Caller(service, "crash")
    submit_until_killed(caller, session, remaining, 0, threading.Event())
    assert remaining == []
    assert caller.call("POST", f"/sessions/{session}:close").status == 200
    counts: dict[str, dict[str, int]] = {}
    for number in range(JOBS):
        job, details = job_details(number)
        document = caller.ended(job)
        assert document["status"] == "Succeeded"
        assert blob_call(document["inputDataUri"], "GET").body == SLOW
        result = outcome_counts(blob_call(document["outputDataUri"], "GET").json())
        assert sum(result.values()) == 100
        assert counts.setdefault(details["metadata"]["sampling_value"], result) == result
        blobs = blob_call(document["containerUri"], "GET", query="restype=container&comp=list").body
        assert re.findall(rb"<Name>(.*?)</Name>", blobs) == [b"inputData", b"outputData"]
    assert caller.session_status(session) == "Succeeded"
    account = service.admin("ledger")
    assert (account["jobs"], account["ended"], account["duplicates"]["count"]) == (JOBS, {"Succeeded": JOBS}, 0)
    assert sorted(entry["place"] for entry in account["entries"]) == sorted(f"run/main/{n}" for n in range(JOBS))


def test_a_restarted_service_has_its_sessions_results_keys_and_seed(
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


def test_a_job_whose_input_file_was_removed_from_the_state_folder_fails(
    tmp_path: Path, start_emulator: Callable[..., Emulator]
) -> None:
    service = start_emulator("--clock", "virtual", state=tmp_path)
    service.admin("targets", {"rigetti.sim.qvm": {"queue_s": 30}})
    caller = Caller(service)
    job = caller.submit()
    (tmp_path / "blobs" / f"job-{job}" / "inputData~").unlink()
    service.advance(60)
    document = caller.ended(job)
    assert (document["status"], document["errorData"]["code"]) == ("Failed", "InvalidInputData")
