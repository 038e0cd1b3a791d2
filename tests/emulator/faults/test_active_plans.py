"""Active fault plans over HTTP: set, read and end them, read their log, and refuse invalid ones."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Emulator
from tests.emulator.http_helpers import Caller, raw_call


def test_the_log_lists_injected_faults_in_order_with_their_times(service: Emulator, caller: Caller) -> None:
    service.admin(
        "faults", {"rules": [{"fault": "job-fails", "job": "doomed"}, {"fault": "empty", "operation": "close"}]}
    )
    session = caller.open_session()
    job = caller.submit(name="doomed 1", sessionId=session)
    service.advance(5)
    caller.call("POST", f"/sessions/{session}:close")
    log = service.admin("faults/log")
    assert log["injected"] == 2
    first, second = log["log"]
    assert (first["number"], first["rule"], first["fault"], first["operation"]) == (1, 1, "job-fails", "submit")
    assert (first["job"], first["session"], first["path"]) == (job, session, f"{caller.base}/jobs/{job}")
    assert (second["rule"], second["job"], second["session"]) == (2, None, session)
    assert first["time"] < second["time"] == service.admin("clock")["now"]


def test_the_same_seed_and_calls_get_the_same_faults(service: Emulator) -> None:
    def statuses(seed: int) -> list[int]:
        plan = {"seed": seed, "rules": [{"fault": "error", "status": 503, "probability": 0.5}]}
        service.admin("faults", plan)
        caller = Caller(service, "same")
        return [caller.call("GET", f"/sessions/{number}").status for number in range(30)]

    assert statuses(1) == statuses(1) != statuses(2)


def test_a_plan_can_be_read_and_ended_and_an_invalid_one_does_not_replace_it(service: Emulator, caller: Caller) -> None:
    rule = {"fault": "error", "operation": ["list", "open"], "status": 503, "times": 3}
    shown = service.admin("faults", {"seed": 4, "rules": [rule]})
    assert shown == service.admin("faults") == {"seed": 4, "rules": [rule], "injected": 0}
    headers = {"x-admin-key": service.admin_key}
    bad = raw_call(service.endpoint, "POST", "/_admin/faults", b'{"rules": [{"fault": "error"}]}', headers)
    assert (bad.status, bad.json()["error"]["code"]) == (400, "InvalidFaultPlan")
    assert "rule 1: error needs status" in bad.json()["error"]["message"]
    assert caller.call("GET", "/sessions").status == 503
    assert raw_call(service.endpoint, "DELETE", "/_admin/faults", None, headers).json()["rules"] == []
    assert caller.call("GET", "/sessions").status == 200


def test_a_service_does_not_start_with_an_invalid_plan(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("rules:\n  - fault: error\n    status: 200\n")
    command = [sys.executable, "-m", "hybridloop.emulator", "--port", "0", "--in-memory", "--faults", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(f"hybridloop emulator: .*{re.escape(str(path))}: rule 1, status: .*\n", done.stderr)


def test_a_service_starts_with_the_plan_in_a_file(tmp_path: Path, start_emulator: Callable[..., Emulator]) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("rules:\n  - fault: error\n    status: 502\n    operation: providers\n")
    caller = Caller(start_emulator("--faults", str(path)))
    assert [caller.call("GET", path).status for path in ("/providerStatus", "/quotas")] == [502, 200]
