"""A scan from the command line: killed, resumed, verified."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from hybridloop.cli.result_output import print_result
from hybridloop.results.result import RunResult
from tests.cli.shell_helpers import WorkspaceShell
from tests.long_form import long_form, long_only

SCAN = ("run", "scan", "h2-0.3", "h2", "--seed", "7", "--precision", "0.002", "--run-key", "curve")


@long_form
@pytest.mark.slow
@long_only
def test_a_killed_scan_resumes_and_measures_every_point_once(
    at_workspace: WorkspaceShell, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dying = at_workspace.shell.with_variables(HYBRIDLOOP_CRASH_AT="put.after:15")
    assert dying.run(*SCAN, "--quiet").returncode == -signal.SIGKILL
    result = at_workspace.shell.json("runs", "resume", "curve", "--quiet")
    assert (result["status"], result["resumed"]) == ("converged", True)
    points = result["table"]
    assert [row["point"] for row in points] == ["h2-0.3", "h2"]
    assert all(abs(row["error"]) <= 4 * row["standard_error"] <= 0.008 for row in points)
    assert result["shots"] == sum(row["shots"] for row in points)
    assert at_workspace.session_statuses() == ["Succeeded"]
    assert at_workspace.shell.json("runs", "verify", "curve")["agrees"] is True
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(home))  # the plot is written here
    print_result(RunResult.from_dict(result), as_json=False)
    assert "point   energy     standard_error" in capsys.readouterr().out
