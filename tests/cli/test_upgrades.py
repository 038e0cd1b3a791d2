"""A run of a version with other choices is refused before anything is sent, and can still be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hybridloop.journal import journal_url, open_journal, provenance
from tests.cli.shell_helpers import CommandResult, WorkspaceShell
from tests.conftest import Emulator

KEY = "night"
RUN = ("run", "vqe", "h2", "--seed", "7", "--precision", "0.005", "--run-key", KEY)


@pytest.fixture
def hybridloop(
    plain_workspace: WorkspaceShell,
    inside: Callable[..., CommandResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., CommandResult]:
    """Run `hybridloop` in a journal that has one run, stopped by a cap, of a version with other choices."""
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", journal_url(tmp_path / "journal.db"))
    shell = plain_workspace.shell.with_variables(HYBRIDLOOP_JOURNAL=journal_url(tmp_path / "journal.db"))
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "CHOICES_VERSION", "0")
        replace(plain_workspace, shell=shell).begin_plainly(KEY, "vqe", "h2", seed=7, precision=0.005)
        assert inside(shell.environ, *RUN, "--max-shots", "1").code == 3
    return lambda *arguments: inside(shell.environ, *arguments)


def test_a_run_of_other_choices_is_refused_with_both_ways_out_before_anything_is_sent(
    hybridloop: Callable[..., CommandResult], emulator: Emulator
) -> None:
    sent = len(emulator.admin("ledger")["entries"])
    for command in (("runs", "resume", KEY, "--max-shots", "10000000"), RUN):
        refused = hybridloop(*command)
        assert refused.code == 2
        assert "was started by hybridloop " in refused.err
        assert "Install that version to resume it, or start a new run from its last point" in refused.err
        assert "--initial-point" in refused.err
    assert len(emulator.admin("ledger")["entries"]) == sent
    with open_journal() as journal:
        record = journal.run(KEY)
        assert record.status == "stopped"
        assert len(journal.sessions(record.uid)) == 1


def test_a_run_of_other_choices_is_shown_reported_and_exported(
    hybridloop: Callable[..., CommandResult], tmp_path: Path
) -> None:
    report, bundle = str(tmp_path / "report.html"), str(tmp_path / "night.zip")
    for command in (
        ("runs", "list"),
        ("runs", "show", KEY),
        ("runs", "report", KEY, "--no-plan", "--output", report),
        ("runs", "export", KEY, "--output", bundle),
    ):
        done = hybridloop(*command)
        assert (done.code, done.err) == (0, done.err), command
    assert KEY in hybridloop("runs", "list").out
