"""Live checks at a service that lacks targets, is busy or late, or repeats what must stay secret."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AzureKeyCredential
from azure.quantum import Workspace

from hybridloop.azure.transport import Transport
from hybridloop.azure.workspace import connection_string_of
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.errors import AccessDenied
from hybridloop.setup_checks.live import service as live_service
from hybridloop.setup_checks.live.all_checks import LiveChecks
from hybridloop.setup_checks.live.closing import ClosingProcess
from hybridloop.setup_checks.live.report import Finding, Verdict
from tests.azure.hostile_helpers import KEY, Answer, CountedClock, HostileService
from tests.conftest import Emulator
from tests.long_form import long_form, long_only
from tests.setup_checks.service_changes import SESSION, answers, in_items, refused
from tests.setup_checks.test_live import command, environment
from tests.waiting import PATIENCE_S

SUBSCRIPTION = "deadbeef-1111-2222-3333-abcdefabcdef"


def findings_of(workspace: Any, home: Path, *groups: str, clock: Any = None) -> dict[str, Finding]:
    checks = LiveChecks(workspace, environ={"HYBRIDLOOP_HOME": str(home)}, groups=groups, clock=clock)
    return {finding.assumption.name: finding for finding in checks.findings()}


def differences(findings: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.found for name, finding in findings.items() if finding.verdict is Verdict.DIFFERENT}


@pytest.mark.parametrize("provider", ["rigetti", "quantinuum"])
def test_a_provider_that_the_workspace_lacks_is_not_shown(
    provider: str, hostile: HostileService, tmp_path: Path
) -> None:
    answers("list", in_items(lambda v: [each for each in v if each["id"] != provider]), "providerStatus")(hostile)
    hostile.changes["open"] = lambda _: Answer(403, {}, refused("InvalidJobDefinition", "no such provider"))
    findings = findings_of(hostile.workspace, tmp_path, provider)
    assert {finding.verdict for finding in findings.values()} == {Verdict.NOT_SHOWN}
    (reason,) = {finding.found for finding in findings.values()}
    assert reason.startswith("the workspace has no ")
    assert f"the provider {provider} was not added" in reason


def test_a_target_that_is_down_is_not_shown(hostile: HostileService, tmp_path: Path) -> None:
    hostile.changes["submit"] = lambda _: Answer(409, {}, refused("TargetUnavailable", "down"))
    findings = findings_of(hostile.workspace, tmp_path, "quantinuum")
    assert {finding.verdict for finding in findings.values()} == {Verdict.NOT_SHOWN}
    assert "takes no jobs at present" in findings["program-adaptive"].found


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_no_difference(status: int, hostile: HostileService, tmp_path: Path) -> None:
    hostile.changes["job"] = lambda _: Answer(status, {}, b"")
    findings = findings_of(hostile.workspace, tmp_path, "session", "job", clock=CountedClock())
    assert differences(findings) == {}
    assert "the service was busy" in findings["job-ended"].found
    assert findings["job-changed"].verdict is Verdict.SAME  # the failure is that of its own check


@long_form
@long_only
def test_one_throttled_call_of_many_is_no_difference(hostile: HostileService, tmp_path: Path) -> None:
    numbers = iter(range(10_000))
    hostile.changes["list"] = lambda answer: (
        Answer(429, {"Retry-After": "1"}, b"")
        if "/quotas" in hostile.current and next(numbers) == 20  # the 21st of 200
        else answer
    )
    findings = findings_of(hostile.workspace, tmp_path, "calls", clock=CountedClock())
    assert differences(findings) == {}
    assert findings["calls-retry-after"].found == "stated"


def test_a_session_whose_status_follows_late_is_no_difference(hostile: HostileService, tmp_path: Path) -> None:
    shown: dict[str, str] = {}

    def late(session: dict[str, Any]) -> dict[str, Any]:
        before = shown.get(session["id"], session["status"])
        shown[session["id"]] = session["status"]
        return {**session, "status": before}

    answers("list", late, SESSION)(hostile)
    assert differences(findings_of(hostile.workspace, tmp_path, "session", "policy", "closing")) == {}


def test_a_job_that_fails_in_passing_is_tried_again(hostile: HostileService, tmp_path: Path) -> None:
    first: list[str] = []

    def failed(job: dict[str, Any]) -> dict[str, Any]:
        first.extend([job["id"]] if not first else [])
        error = {"status": "Failed", "errorData": {"code": "ProviderTimeout", "message": None}}
        return {**job, **error} if job["id"] in first else job

    answers("job", failed)(hostile)
    findings = findings_of(hostile.workspace, tmp_path, "quantinuum")
    assert {finding.verdict for finding in findings.values()} == {Verdict.SAME}


def test_jobs_that_do_not_end_are_bounded(
    hostile: HostileService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_service, "JOB_LIMIT_S", 20.0)  # in place of five minutes of polls
    answers("job", lambda job: {**job, "status": "Waiting"})(hostile)
    findings = findings_of(hostile.workspace, tmp_path, "session", "programs", "abort", clock=CountedClock())
    assert differences(findings) == {}
    assert "2 jobs on ionq.simulator had not ended" in findings["abort-session"].found


def test_what_the_service_repeats_stays_secret(hostile: HostileService, tmp_path: Path) -> None:
    workspace = Workspace(
        subscription_id=SUBSCRIPTION,
        resource_group="canary(group)",
        name="canaryspace",
        location="eastus",
        credential=AzureKeyCredential(KEY),
        _quantum_endpoint=hostile.endpoint,
    )
    echo = (
        f"{KEY} /subscriptions/{SUBSCRIPTION.upper()}/resourceGroups/Canary%28Group%29/CANARYSPACE"
        " https://canarystorage.blob.core.windows.net/x?sig=canary"
    )
    hostile.changes["submit"] = lambda _: Answer(400, {}, refused(f"E {echo}", echo))
    checks = LiveChecks(workspace, environ={"HYBRIDLOOP_HOME": str(tmp_path)}, groups=["session", "job", "refusals"])
    found = " ".join(finding.found for finding in checks.findings())
    text = f"{found} {json.dumps(checks.report().to_json())}".lower()
    assert "redacted" in text
    assert not [word for word in (KEY, SUBSCRIPTION, "canary") if word in text]
    hostile.changes["list"] = lambda _: Answer(401, {}, refused("E", echo))
    with pytest.raises(AccessDenied) as raised:
        list(LiveChecks(workspace, environ={"HYBRIDLOOP_HOME": str(tmp_path)}).findings())
    assert "canary" not in str(raised.value).lower()


def test_a_service_that_refuses_at_the_terminal_gets_nothing(emulator: Emulator, tmp_path: Path) -> None:
    workspace = emulator.workspace("refused")
    terminal, end = pty.openpty()
    with os.fdopen(terminal, "wb"), os.fdopen(end, "rb") as stdin:
        os.write(terminal, b"n\n")
        done = subprocess.run(
            command("--live"),
            env=environment(tmp_path, connection_string_of(workspace)),
            cwd=tmp_path,
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    assert (done.returncode, "Nothing was sent." in done.stderr) == (1, True)
    assert workspace.list_sessions() == []


@long_form
@long_only
def test_a_session_that_arrives_after_the_end_is_closed(hostile: HostileService) -> None:
    transport = Transport(hostile.workspace)
    identifier = "11111111-2222-4333-8444-0123456789ab"
    body = {"itemType": "Session", "name": "late", "providerId": "ionq", "target": "ionq.simulator"}
    statuses = iter((404, 429))
    hostile.changes["close"] = lambda answer: Answer(next(statuses, answer.status), {}, answer.body)

    def rewrite(method: str, path: str, content: bytes) -> tuple[str, str, bytes]:
        hostile.rewrite = None
        opening.start()
        return "GET", path, content  # the first request to close it does nothing

    opening = threading.Thread(target=transport.call, args=("PUT", f"/sessions/{identifier}"), kwargs={"body": body})
    with ClosingProcess() as closing:
        closing.add(identifier, transport.sign("POST", f"/sessions/{identifier}:close", None))
        hostile.rewrite = rewrite
    opening.join()
    assert transport.call("GET", f"/sessions/{identifier}")["status"] == "Succeeded"
    assert next(statuses, None) is None


@long_form
@long_only
@pytest.mark.parametrize("fault", ["throttled", "error", "reset-after-commit", "answer-dropped", "truncated", "empty"])
def test_faults_and_latency_are_no_difference(
    fault: str, start_emulator: Callable[..., Emulator], tmp_path: Path
) -> None:
    service = start_emulator("--clock", "virtual", "--latency", "recorded")
    rule = {"fault": fault, "probability": 0.03, **({"status": 503} if fault == "error" else {})}
    if fault == "throttled":
        rule |= {"retry_after": 3}
    service.admin("faults", {"rules": [rule]})
    with ServiceClock(service.endpoint, service.admin_key) as clock:
        checks = LiveChecks(service.workspace("busy"), environ={"HYBRIDLOOP_HOME": str(tmp_path)}, clock=clock)
        findings = {finding.assumption.name: finding for finding in checks.findings()}
    assert differences(findings) == {}
