"""Checks of the tables and sessions of sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from azure.quantum import Workspace

from tests.conftest import Emulator

SIGMAS = 5.0


def check_table(rows: Iterable[Mapping[str, Any]]) -> None:
    """Assert that every point has its value, within its error of the exact one."""
    for row in rows:
        assert row["status"] in {"converged", "finished"}, row
        assert abs(row["value"] - row["exact"]) <= SIGMAS * row["standard_error"], row
        assert row["error"] == row["value"] - row["exact"]


def check_sessions(workspace: Workspace, service: Emulator, rows: Iterable[Mapping[str, Any]]) -> int:
    """Return the maximum number of sessions that were open at once; assert that all are closed and none is shared.

    Raises AssertionError also if a job was paid for twice.
    """
    sessions = {each.id: each.details for each in workspace.list_sessions()}
    of_points = [session for row in rows for session in row["sessions"]]
    assert len(set(of_points)) == len(of_points)
    assert {each: details.status for each, details in sessions.items() if each not in of_points} == {}
    assert [each for each in of_points if each not in sessions] == []
    assert {details.status for details in sessions.values()} <= {"Succeeded", "Failed"}
    accounts = [service.admin(f"ledger?session={each}&top=1") for each in sessions]  # other tests use the service, too
    assert [account["duplicates"] for account in accounts if account["duplicates"]["count"]] == []
    changes = [
        change
        for details in sessions.values()
        for change in ((details.creation_time, 1), (details.end_execution_time, -1))
    ]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    assert now == 0
    return most
