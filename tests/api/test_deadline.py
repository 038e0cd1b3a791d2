"""A deadline counts from the begin of the command, and again from that of each resume and extension."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.quantum import Workspace

import hybridloop as hl
from hybridloop.azure.workspace import connection_string_of
from hybridloop.errors import CapReached
from hybridloop.preparation import prepare
from hybridloop.runtime.clock import begun_s, steady_s
from tests.circuit_helpers import bell
from tests.cli.shell_helpers import run_in_process
from tests.conftest import Emulator


@pytest.fixture
def workspace(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path))
    workspace = emulator.workspace()
    monkeypatch.setenv("AZURE_QUANTUM_CONNECTION_STRING", connection_string_of(workspace))
    return workspace


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that lets seconds pass on the clock of deadlines."""
    clock_gettime, passed = time.clock_gettime, [0.0]
    monkeypatch.setattr(time, "clock_gettime", lambda which: clock_gettime(which) + passed[0])

    def wait(seconds: float) -> None:
        passed[0] += seconds

    return wait


def test_a_command_leaves_its_begin_to_no_later_call_of_its_process() -> None:
    before = begun_s()
    assert run_in_process(os.environ, "--version").code == 0
    between = steady_s()
    assert before < between <= begun_s()


def test_the_time_of_the_preparation_counts_and_a_resume_and_an_extension_have_the_whole_time_anew(
    workspace: Workspace,
    passing: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lasts_s = [3000.0]

    def preparing(*args: Any, **more: Any) -> Any:
        passing(lasts_s[0])
        return prepare(*args, **more)

    def ends(result: hl.RunResult, sessions: int) -> bool:
        assert len(list(workspace.list_sessions())) == sessions
        return not result.reason.startswith("deadline is reached: 40 min is the deadline, and 5")

    monkeypatch.setattr("hybridloop.flows.lifecycle.begin.prepare", preparing)
    assert not ends(hl.vqe("h2", run_key="k", seed=7, precision=0.05, host="plain", deadline="40m"), 0)
    assert not ends(hl.resume("k"), 0)
    lasts_s[0] = 1800.0
    assert ends(hl.resume("k"), 1)
    lasts_s[0] = 3000.0
    assert hl.resume("k", precision=0.0004).revision == 1  # nothing was measured
    assert "precision, and its result stays: deadline is reached: 40 min is the deadline, and 5" in caplog.text
    lasts_s[0] = 1800.0
    extended = hl.resume("k", precision=0.0004)
    assert ends(extended, 2)
    assert extended.revision == 2


@pytest.mark.usefixtures("workspace")
def test_a_scripts_deadline_counts_from_its_block(passing: Callable[[float], None]) -> None:
    block = hl.open_session("ionq.simulator", deadline="40m")
    passing(3000.0)  # until the block begins
    with block as session:
        assert session.run(bell(), shots=10).counts
        passing(3000.0)
        with pytest.raises(CapReached, match="deadline"):
            session.run(bell(), shots=10)
