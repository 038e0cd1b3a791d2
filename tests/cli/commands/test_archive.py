"""`hybridloop runs report | export | verify | reproduce`, on this machine and on another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hybridloop.reports.bundle.archive import MANIFEST, RESULT
from tests.cli.shell_helpers import CommandResult, Shell, WorkspaceShell, run_in_process
from tests.conftest import Emulator

KEY = "taken-along"
SETTINGS = {"ansatz": "uccsd", "seed": 7, "precision": 0.005, "shots": 1000, "batching": "off"}
OPTIONS = "--ansatz uccsd --seed 7 --precision 0.005 --shots 1000 --batching off"
RUN = ("run", "vqe", "h2", *OPTIONS.split(), "--run-key", KEY)


def begun(at: WorkspaceShell, key: str) -> str:
    """Begin a run of this key for the plain host; return the key."""
    at.begin_plainly(key, "vqe", "h2", **SETTINGS)
    return key


@pytest.fixture(scope="module")
def at(plain_shell: Shell, emulator: Emulator) -> WorkspaceShell:
    """Return the workspace in which the run was made."""
    found = plain_shell.at(emulator, KEY)
    begun(found, KEY)
    assert found.shell.json_inside(*RUN)["status"] == "converged"
    return found


def hybridloop(at: WorkspaceShell, *arguments: str) -> CommandResult:
    return run_in_process(at.shell.environ, "runs", *arguments)


def test_a_report_is_written_to_the_requested_path(at: WorkspaceShell, tmp_path: Path) -> None:
    result = hybridloop(at, "report", KEY, "--output", str(tmp_path / "night.html"))
    assert (result.code, result.out) == (0, "")
    assert f"the report of run {KEY}" in result.err
    assert (tmp_path / "night.html").read_text("utf-8").startswith("<!doctype html>")
    nowhere = hybridloop(at, "report", KEY, "--output", str(tmp_path / "nowhere" / "night.html"))
    assert nowhere.code == 2
    assert "can't be written" in nowhere.err


def test_a_bundle_is_verified_without_a_journal_and_changes_are_detected(
    at: WorkspaceShell, run_command: Callable[..., CommandResult], home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    exported = hybridloop(at, "export", KEY, "--output", str(folder))
    assert exported.code == 0, exported.err
    seal = json.loads((folder / MANIFEST).read_text())["seal"]
    assert seal in exported.err
    there = run_command("runs", "verify", str(folder), "--json")
    assert there.code == 0, there.err
    document = json.loads(there.out)
    assert (document["agrees"], document["seal"]) == (True, seal)
    assert f"whole, sealed with {seal}" in run_command("runs", "verify", str(folder)).out
    assert run_command("runs", "report", str(folder), "--output", str(tmp_path / "there.html")).code == 0
    assert not home.exists()
    text = (folder / RESULT).read_text().replace('"seed": 7', '"seed": 8')
    (folder / RESULT).write_text(text)
    damaged = run_command("runs", "verify", str(folder))
    assert (damaged.code, damaged.out) == (1, "")
    assert "result.json does not match its checksum in manifest.json" in damaged.err


def test_a_run_is_reproduced_to_the_last_bit(at: WorkspaceShell, tmp_path: Path) -> None:
    assert hybridloop(at, "export", KEY, "--output", str(tmp_path / "b.zip")).code == 0
    names = [f"{KEY}-again", f"{KEY}-again-2"]
    first = at.shell.json_inside("runs", "reproduce", KEY)
    again = at.shell.json_inside("runs", "reproduce", str(tmp_path / "b.zip"))
    assert [first["again"], again["again"]] == names
    for found in (first, again):
        assert (found["before"], found["identical"], found["agrees"]) == (KEY, True, True)
    assert set(at.session_statuses()) == {"Succeeded"}


def test_a_stopped_repetition_resumes(at: WorkspaceShell) -> None:
    key = begun(at, f"{KEY}-by-hand")
    assert run_in_process(at.shell.environ, *RUN[:-1], key, "--max-jobs", "1").code == 3
    stopped = hybridloop(at, "reproduce", KEY, "--run-key", key)  # the cap of the last call applies
    assert stopped.code == 3
    assert f"it is stopped; resume it with: hybridloop runs resume {key}" in stopped.out
    assert hybridloop(at, "resume", key, "--max-jobs", "100", "--quiet").code == 0
    found = at.shell.json_inside("runs", "reproduce", KEY, "--run-key", key)
    assert (found["again"], found["identical"]) == (key, True)


def test_unknown_and_unfinished_runs_are_refused(at: WorkspaceShell) -> None:
    assert "there is no run 'nowhere'" in hybridloop(at, "reproduce", "nowhere").err
    assert "there is no bundle" in hybridloop(at, "verify", "./nowhere.zip").err
