"""Ctrl-C and SIGTERM during a run, with real processes: the session is closed, and no traceback is printed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from hybridloop.local_stack.processes import wait_until
from tests.cli.shell_helpers import Shell, WorkspaceShell, connection_string
from tests.conftest import Emulator, running_emulator
from tests.waiting import PATIENCE_S

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
OPTIONS = "--ansatz hardware-efficient --optimizer scipy:cobyla --max-rounds 5000 --batching off"
LONG_RUN = ("run", "vqe", "h2", *OPTIONS.split())

SCRIPT = """
import threading
import hybridloop as hl
with hl.open_session("ionq.simulator") as session:
    print(session.id, flush=True)
    threading.Event().wait()
"""

# every poll of a round's jobs takes a second, so that no run ends before all have passed their first round
SLOWLY = {"rules": [{"fault": "slow-answer", "operation": "list", "seconds": 1}]}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slow_service() -> Iterator[Emulator]:
    with running_emulator() as emulator:
        emulator.admin("faults", SLOWLY)
        yield emulator


@contextmanager
def runs_after_first_round(
    at: dict[signal.Signals, WorkspaceShell],
) -> Iterator[dict[signal.Signals, subprocess.Popen[str]]]:
    """Hold one run for each signal, side by side, each past its first round."""
    with ExitStack() as running:
        runs = {number: running.enter_context(mine.shell.start(*LONG_RUN)) for number, mine in at.items()}
        for run in runs.values():
            running.callback(run.kill)
        for run in runs.values():
            assert run.stderr is not None
            assert run.stderr.readline().startswith("angles searched on ")
            assert run.stderr.readline().startswith("round   1")
        open_ = (["Executing"], ["Waiting"])  # the second between two rounds, without a job in flight
        assert all(mine.session_statuses() in open_ for mine in at.values())
        yield runs


def remaining_stderr(run: subprocess.Popen[str]) -> str:
    """Return the rest of standard error after the run's end; assert that no result was printed."""
    out, err = run.communicate(timeout=PATIENCE_S)
    assert out == ""
    assert "Traceback" not in err
    return err


def interrupted(run: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a first signal, and wait until the run acknowledges it."""
    run.send_signal(number)
    assert run.stderr is not None
    assert any("a third leaves the session open" in line for line in run.stderr)


def test_a_second_signal_skips_the_wait_and_not_the_close(shell: Shell, slow_service: Emulator) -> None:
    at = {number: shell.at(slow_service, f"ended-twice-from-{number.name}") for number in CODES}
    at[signal.SIGTERM] = replace(at[signal.SIGTERM], shell=at[signal.SIGTERM].shell.as_new())
    with runs_after_first_round(at) as runs:
        with silent(slow_service):
            for first, run in runs.items():
                interrupted(run, first)
                run.send_signal(signal.SIGTERM)
        for first, run in runs.items():
            remaining_stderr(run)
            assert run.returncode == CODES[first]
    assert [mine.session_statuses() for mine in at.values()] == [["Succeeded"], ["Succeeded"]]


def test_a_third_signal_ends_a_run_whose_session_can_not_be_closed_yet(shell: Shell, slow_service: Emulator) -> None:
    mine = shell.at(slow_service, "ended-three-times")
    with runs_after_first_round({signal.SIGINT: mine}) as runs:
        (run,) = runs.values()
        with silent(slow_service):
            interrupted(run, signal.SIGINT)
            while run.poll() is None:
                run.send_signal(signal.SIGINT)
                wait_until(lambda: run.poll() is not None, within_s=0.05)
            assert run.returncode == CODES[signal.SIGINT]


@contextmanager
def silent(service: Emulator) -> Iterator[None]:
    """Let the service answer no request."""
    os.kill(service.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(service.process.pid, signal.SIGCONT)


def test_a_run_that_is_interrupted_before_its_first_job_says_that_nothing_was_submitted(
    shell: Shell, start_emulator: Callable[..., Emulator]
) -> None:
    service = start_emulator()
    service.admin("targets", {"rigetti.sim.qvm": {"availability": "Unavailable"}})
    mine = shell.at(service, "ended-before-it-began")
    with mine.shell.start(*LONG_RUN, "--run-key", "waits") as run:
        try:
            assert run.stderr is not None
            assert run.stderr.readline().startswith("angles searched on ")
            waits = run.stderr.readline()
            assert "The run waits for it, 30 min at most" in waits
            run.send_signal(signal.SIGINT)
            print(waits)
            result = remaining_stderr(run).splitlines()
        finally:
            run.kill()
    assert run.returncode == CODES[signal.SIGINT]
    assert result == [
        "hybridloop: run waits is interrupted; to resume it: hybridloop runs resume waits",
        "hybridloop: nothing was submitted",
        "hybridloop: interrupted",
    ]
    assert mine.session_statuses() == []


def test_an_interrupted_command_without_a_run_does_not_mention_jobs(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_service:
        address = f"http://127.0.0.1:{silent_service.getsockname()[1]}/"
        at = shell.with_variables(AZURE_QUANTUM_CONNECTION_STRING=connection_string(address, "key", "mine"))
        with at.start("targets") as command:
            try:
                silent_service.settimeout(PATIENCE_S)
                asked, _ = silent_service.accept()
                with asked:
                    command.send_signal(signal.SIGINT)
                    assert remaining_stderr(command) == "hybridloop: interrupted\n"
            finally:
                command.kill()
    assert command.returncode == CODES[signal.SIGINT]


@pytest.mark.claim("Ctrl-C, SIGTERM, cancelled in Prefect")
def test_a_signal_closes_the_session_of_a_plain_script(shell: Shell, emulator: Emulator) -> None:
    codes = {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 143}
    at = {number: shell.at(emulator, f"script-ended-by-{number.name}") for number in codes}
    with ExitStack() as running:
        scripts = {number: running.enter_context(mine.shell.start_python("-c", SCRIPT)) for number, mine in at.items()}
        for script in scripts.values():
            running.callback(script.kill)
        for number, script in scripts.items():
            assert script.stdout is not None
            opened = script.stdout.readline().strip()
            script.send_signal(number)
            assert script.wait(timeout=PATIENCE_S) == codes[number]
            (session,) = at[number].workspace.list_sessions()
            assert (session.id, session.details.status) == (opened, "Succeeded")
