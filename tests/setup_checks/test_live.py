"""Live checks of the service: no difference at the local one, and each point in which a service differs is named."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridloop.azure.workspace import LocalService, connect, connection_string_of
from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.setup_checks.live.all_checks import GROUPS, LiveChecks
from hybridloop.setup_checks.live.assumptions import assumptions_by_group
from hybridloop.setup_checks.live.report import Finding, LiveReport, Verdict
from hybridloop.setup_checks.live.service import FREE_TARGETS, MAX_JOBS
from hybridloop.targets import find_target
from hybridloop.targets.prices import price_of_job
from tests.azure.hostile_helpers import CountedClock, HostileService
from tests.conftest import Emulator
from tests.long_form import long_form, long_only
from tests.paths import ROOT
from tests.prefect_server import own_environ
from tests.setup_checks.service_changes import POINTS, Point
from tests.waiting import PATIENCE_S, eventually

KEY = "canary-key-of-the-workspace-0123456789"
NEEDS_PENDING_JOB = {"job-cancel", "cancel-session", "session-closing"}  # jobs of the local service end at once
IN_EVERY_RUN = ("job-changed", "list-pages", "rows-order", "calls")


def run(workspace: Any, home: Path, **options: Any) -> tuple[dict[str, Finding], LiveReport]:
    checks = LiveChecks(workspace, environ={"HYBRIDLOOP_HOME": str(home)}, **options)
    findings = {finding.assumption.name: finding for finding in checks.findings()}
    return findings, checks.report()


def test_a_session_that_idles_times_out_as_assumed(azure_quantum_emulator: Emulator, tmp_path: Path) -> None:
    service = azure_quantum_emulator
    with ServiceClock(service.endpoint, service.admin_key) as clock:
        findings, _ = run(service.workspace("live"), tmp_path, groups=["idle"], idle=True, clock=clock)
    assert {name: finding.verdict for name, finding in findings.items()} == dict.fromkeys(
        ("idle-timeout", "idle-late-job"), Verdict.SAME
    )


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, id=point.check, marks=() if point.check in IN_EVERY_RUN else (long_form, long_only))
        for point in POINTS
    ],
)
def test_each_changed_point_is_found_and_named(point: Point, hostile: HostileService, tmp_path: Path) -> None:
    point.apply(hostile)
    needs_session = point.group in ("job", "programs", "refusals", "lists", "changes", "policy", "documents")
    groups = ["session", point.group] if needs_session else [point.group]
    groups += ["job"] if point.group == "documents" else []
    clock = CountedClock() if point.group == "calls" else None  # that group has no jobs to wait for
    findings, report = run(hostile.workspace, tmp_path, groups=groups, clock=clock)
    differences = [finding.assumption.name for finding in report.differences]
    assert point.check in differences, [(name, each.verdict, each.found) for name, each in findings.items()]


def test_a_second_report_says_what_changed(hostile: HostileService, tmp_path: Path) -> None:
    first, _ = run(hostile.workspace, tmp_path, groups=["session"])
    assert {finding.before for finding in first.values()} == {None}
    (point,) = (point for point in POINTS if point.check == "session-again")
    point.apply(hostile)
    second, report = run(hostile.workspace, tmp_path, groups=["session"])
    assert second["session-again"].before == "accepted, unchanged"
    assert [finding.assumption.name for finding in report.differences] == ["session-again"]


def test_a_target_that_costs_money_ends_the_checks(hostile: HostileService, tmp_path: Path) -> None:
    (point,) = (point for point in POINTS if point.check == "cost-total")
    point.apply(hostile)
    findings, report = run(hostile.workspace, tmp_path, groups=["session", "job", "programs", "rigetti"])
    assert "was billed" in findings["cost-total"].found
    assert findings["rows-count"].verdict is Verdict.NOT_SHOWN
    assert report.jobs_sent <= 3


def test_only_free_targets_are_used() -> None:
    counts = GateCounts(qubits=2, one_qubit=5, two_qubit=5, measurements=2)
    for name in FREE_TARGETS:
        assert price_of_job(find_target(name), counts, 1000).expected == 0.0


def test_the_table_has_all_groups() -> None:
    assert assumptions_by_group().keys() == GROUPS.keys()
    names = [name for rows in assumptions_by_group().values() for name in rows]
    assert len(names) == len(set(names))
    assert {point.check for point in POINTS} <= set(names)
    assert {(point.check, point.group) for point in POINTS} <= {
        (name, group) for group, rows in assumptions_by_group().items() for name in rows
    }


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("v1", marks=pytest.mark.slow),
        pytest.param("v2", marks=pytest.mark.claim("`hybridloop doctor --live` checks yours")),
    ],
)
def test_the_command_finds_the_local_service_as_assumed_closes_all_sessions_and_reports_without_keys_and_ids(
    start_emulator: Callable[..., Emulator], tmp_path: Path, kind: str
) -> None:
    service = start_emulator("--api-key", KEY, "--workspace-kind", kind)
    workspace = connect(LocalService(service.endpoint, KEY))
    done = doctor(tmp_path, connection_string_of(workspace), "--live", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (saved,) = (tmp_path / "live-checks").iterdir()
    assert json.loads(saved.read_text())["findings"] == document["findings"]
    assert saved.stat().st_mode & 0o077 == 0
    texts = [done.stdout, done.stderr, saved.read_text(), saved.name]
    for secret in (KEY, workspace.subscription_id):
        assert all(secret not in text for text in texts)
    assert "at most 40 jobs" in done.stderr
    found = {finding["check"]: finding["verdict"] for finding in document["findings"]}
    assert list(found) == [name for group, names in assumptions_by_group().items() if group != "idle" for name in names]
    assert {name for name, verdict in found.items() if verdict != Verdict.SAME} <= NEEDS_PENDING_JOB
    assert document["differences"] == 0
    assert 20 <= document["jobs"] <= MAX_JOBS
    sessions = workspace.list_sessions()
    assert len(sessions) == 5
    assert {session.details.status for session in sessions} <= {"Succeeded", "Failed"}


def test_without_a_terminal_nothing_is_sent_unless_asked_for(emulator: Emulator, tmp_path: Path) -> None:
    workspace = emulator.workspace("unasked")
    done = doctor(tmp_path, connection_string_of(workspace), "--live")
    assert (done.returncode, "--yes" in done.stderr) == (2, True)
    assert workspace.list_sessions() == []


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_killed_checks_leave_no_session_open(
    how: signal.Signals, start_emulator: Callable[..., Emulator], tmp_path: Path
) -> None:
    service = start_emulator()
    service.admin("targets", {"ionq.simulator": {"queue_s": 3600}})
    workspace = service.workspace("killed")
    process = subprocess.Popen(
        command("--live", "--yes"),
        env=environment(tmp_path, connection_string_of(workspace)),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: any(job.details.status == "Waiting" for job in workspace.list_jobs()))
    process.send_signal(how)
    process.wait(PATIENCE_S)
    assert workspace.list_sessions()
    ended = {"Succeeded", "Failed"}  # not TimedOut: that takes ten minutes
    eventually(lambda: all(each.details.status in ended for each in workspace.list_sessions()))
    eventually(lambda: all(job.details.status == "Cancelled" for job in workspace.list_jobs()))


def doctor(home: Path, connection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=environment(home, connection),
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "hybridloop", "doctor", *arguments]


def environment(home: Path, connection: str) -> dict[str, str]:
    environ = own_environ(str(home), os.environ)
    return {**environ, "AZURE_QUANTUM_CONNECTION_STRING": connection, "PYTHONPATH": str(ROOT)}


def test_the_table_of_fidelity_names_every_check() -> None:
    table = (ROOT / "docs" / "emulator.md").read_text(encoding="utf-8").partition("## Fidelity")[2]
    cells = [row.split("|")[3] for row in table.splitlines() if row.startswith("| ")][2:]
    named = {name for cell in cells for name in re.findall(r"`([a-z0-9-]+)`", cell)} - {"--idle"}
    names = {name for rows in assumptions_by_group().values() for name in rows}
    assert named == names
    assert all("`" in cell or cell.strip().startswith("none: ") for cell in cells)
