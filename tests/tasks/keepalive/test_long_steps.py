"""A step that holds the interpreter until the session has lapsed: no thread of the run can send a ping."""

from __future__ import annotations

import ctypes
import shlex
import sys

import pytest

from hybridloop.algorithms.rounds import Counts
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.settings.failure_policy import FailurePolicy
from hybridloop.settings.keep_alive import KeepAliveMode, KeepAliveSettings
from hybridloop.settings.session_options import SessionOptions
from hybridloop.tasks.session import OpenSession
from tests.conftest import Emulator
from tests.session_helpers import open_run_session, temporary_run
from tests.tasks.test_session_closing import ones

OPTIONS = SessionOptions(failure=FailurePolicy(max_renewals=3), keep_alive=KeepAliveSettings(KeepAliveMode.PING))
ADVANCE = """
import sys, urllib.request
url, key, seconds = sys.argv[1:]
headers = {"x-admin-key": key, "content-type": "application/json"}
request = urllib.request.Request(url, f'{{"advance": {seconds}}}'.encode(), headers)
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read()
"""


def hold_the_interpreter(service: Emulator, seconds: float) -> None:
    """Wait in a library call that keeps the interpreter lock, until so many seconds of the service have passed."""
    command = [sys.executable, "-I", "-c", ADVANCE, f"{service.endpoint}_admin/clock", service.admin_key, str(seconds)]
    assert ctypes.PyDLL(None).system(shlex.join(command).encode()) == 0


def measure_one(session: OpenSession) -> None:
    ((counts,),) = session.run_round([ones()])
    assert isinstance(counts, Counts)
    assert counts.bitstrings() == {"1": 10}


@pytest.mark.claim("A session does not time out")
@pytest.mark.parametrize("target", ["rigetti.sim.qvm", "quantinuum.qpu.h2-1"])
def test_a_session_that_lapsed_in_a_step_is_renewed_with_one_line_and_nothing_is_paid_twice(
    service: Emulator, clock: ServiceClock, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    with temporary_run(target, seed=1) as run:
        with open_run_session(service.workspace(), target, OPTIONS, run=run, clock=clock) as session:
            measure_one(session)
            hold_the_interpreter(service, 14 * 60.0)
            measure_one(session)
            measure_one(session)
        first, second = session.sessions.rows
        assert {ping.state for ping in run.journal.pings(run.uid)} <= {"lost"}
    assert [(row.ordinal, row.reason, row.status) for row in (first, second)] == [
        (0, "", "TimedOut"),
        (1, "TimedOut", "Succeeded"),
    ]
    line = f"session {first.id} lapsed during a step of 14 min; the next job opens another (renewal 1 of 3)"
    messages = [record.getMessage() for record in caplog.records]
    assert [message for message in messages if "lapse" in message] == [line]
    assert not any("kept alive" in message for message in messages)
    books = service.admin(f"ledger?run={run.uid}")
    assert (books["jobs"], books["duplicates"]["count"]) == (session.num_jobs, 0) == (3, 0)
    assert sum(entry["price"] for entry in books["entries"]) == pytest.approx(sum(session.cost.values()))
