"""Ctrl-C and SIGTERM in the midst of a run, with real processes: the session is closed, and nothing is spilt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest

from hybridloop.stack.processes import wait_until
from tests.cli.processes import PATIENCE_S, Shell, WorkspaceShell, ignores
from tests.conftest import Emulator, running_emulator

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
LONG_RUN = ("run", "vqe", "h2", "--ansatz", "hardware-efficient", "--optimizer", "cobyla", "--max-rounds", "5000")

SCRIPT = """
import threading
import hybridloop as hl
with hl.open_session("ionq.simulator") as session:
    print(session.id, flush=True)
    threading.Event().wait()
"""

# every look at a round's jobs takes a second, so that no run ends before all are in their midst
SLOWLY = {"rules": [{"fault": "slow-answer", "operation": "list", "seconds": 1}]}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slow_service() -> Iterator[Emulator]:
    with running_emulator() as emulator:
        emulator.admin("faults", SLOWLY)
        yield emulator


@contextmanager
def runs_in_their_midst(
    at: dict[signal.Signals, WorkspaceShell],
) -> Iterator[dict[signal.Signals, subprocess.Popen[str]]]:
    """One run for each signal that is to end it, side by side, each past its first round."""
    with ExitStack() as running:
        runs = {number: running.enter_context(mine.shell.start(*LONG_RUN)) for number, mine in at.items()}
        for run in runs.values():
            running.callback(run.kill)
        for run in runs.values():
            assert run.stderr is not None
            assert run.stderr.readline().startswith("round   1")
        assert [mine.session_statuses() for mine in at.values()] == [["Executing"], ["Executing"]]
        yield runs


def last_words(run: subprocess.Popen[str]) -> str:
    """The rest of standard error once the run has ended; it must have printed no result."""
    out, err = run.communicate(timeout=PATIENCE_S)
    assert out == ""
    assert "Traceback" not in err
    return err


def test_a_signal_closes_the_session(shell: Shell, slow_service: Emulator) -> None:
    at = {number: shell.at(slow_service, f"ended-by-{number.name}") for number in CODES}
    with runs_in_their_midst(at) as runs:
        for number, run in runs.items():
            run.send_signal(number)
        for number, run in runs.items():
            assert "a session that was open has been closed" in last_words(run)
            assert run.returncode == CODES[number]
    assert [mine.session_statuses() for mine in at.values()] == [["Succeeded"], ["Succeeded"]]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows which signals a process ignores")
def test_a_second_signal_while_it_closes_does_not_cut_the_close_short(shell: Shell, slow_service: Emulator) -> None:
    at = {number: shell.at(slow_service, f"ended-twice-from-{number.name}") for number in CODES}
    with runs_in_their_midst(at) as runs:
        os.kill(slow_service.process.pid, signal.SIGSTOP)  # the service is silent, so that the close takes its time
        try:
            for first, run in runs.items():
                run.send_signal(first)
            for run in runs.values():
                assert wait_until(partial(ignores, run, *CODES), within_s=PATIENCE_S)
                for second in CODES:
                    run.send_signal(second)
        finally:
            os.kill(slow_service.process.pid, signal.SIGCONT)
        for first, run in runs.items():
            last_words(run)
            assert run.returncode == CODES[first]
    assert [mine.session_statuses() for mine in at.values()] == [["Succeeded"], ["Succeeded"]]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_a_signal_closes_the_session_of_a_plain_script(
    number: signal.Signals, code: int, at_workspace: WorkspaceShell
) -> None:
    with at_workspace.shell.start_python("-c", SCRIPT) as process:
        assert process.stdout is not None
        opened = process.stdout.readline().strip()
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE_S) == code
    (session,) = at_workspace.workspace.list_sessions()
    assert (session.id, session.details.status) == (opened, "Succeeded")
