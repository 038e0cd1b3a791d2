"""Standard streams that break: a run outlives its standard error, and a result that can't be printed is stored."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator, running_emulator
from tests.forked_processes import ForkedPython
from tests.waiting import PATIENCE_S

RUN = ("run", "vqe", "h2", "--ansatz", "uccsd", "--seed", "7")
OPTIONS = "--seed 7 --ansatz hardware-efficient --optimizer scipy:cobyla --batching off --max-rounds"
SEARCH = ("run", "vqe", "h2", *OPTIONS.split())

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slow_shell(shell: Shell) -> Iterator[Shell]:
    """Return a shell whose runs take a second for each poll, so that none ends before its standard error breaks."""
    with running_emulator() as emulator:
        emulator.admin("faults", {"rules": [{"fault": "slow-answer", "operation": "list", "seconds": 1}]})
        yield shell.at(emulator, "broken-streams").shell


@contextmanager
def on_a_terminal(shell: Shell, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start `hybridloop` with its standard error on a terminal; yield it and the terminal's other end."""
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "hybridloop", *arguments]
    environ = {**shell.environ, "TERM": "xterm"}
    with ForkedPython(command, env=environ, stdout=subprocess.PIPE, stderr=end, text=True) as run:
        os.close(end)
        try:
            yield run, terminal
        finally:
            run.kill()


def status_of(shell: Shell, key: str) -> str:
    return str(shell.json_inside("runs", "show", key)["status"])


def test_a_run_goes_on_when_the_reader_of_its_progress_leaves(slow_shell: Shell) -> None:
    with slow_shell.start(*SEARCH, "4", "--run-key", "no-reader") as run:
        try:
            assert run.stderr is not None
            assert run.stderr.readline().startswith("angles searched on ")
            assert run.stderr.readline().startswith("round   1")
            run.stderr.close()
            assert run.stdout is not None
            assert "no-reader" in run.stdout.read()
            assert run.wait(PATIENCE_S) in (0, 4)
        finally:
            run.kill()
    assert status_of(slow_shell, "no-reader") in ("measured", "finished")


def test_a_run_is_interrupted_when_its_terminal_closes(slow_shell: Shell) -> None:
    with on_a_terminal(slow_shell, *SEARCH, "5000", "--run-key", "no-terminal") as (run, terminal):
        shown = b""
        while b"energy" not in shown:
            shown += os.read(terminal, 4096)
        os.close(terminal)
        run.send_signal(signal.SIGHUP)
        assert run.wait(PATIENCE_S) == 143
    assert status_of(slow_shell, "no-terminal") == "interrupted"


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_full_standard_output_names_the_stored_run(form: tuple[str, ...], shell: Shell, emulator: Emulator) -> None:
    key = f"full{''.join(form)}"
    command = [sys.executable, "-m", "hybridloop", *RUN, "--quiet", "--run-key", key, *form]
    with (
        open("/dev/full", "w") as full,
        ForkedPython(command, env=dict(shell.environ), stdout=full, stderr=subprocess.PIPE, text=True) as run,
    ):
        _, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    assert err.startswith("hybridloop: the result can't be printed to standard output: No space left on device.")
    assert err.endswith(f"To see it: hybridloop runs show {key}\n")
    assert status_of(shell, key) == "converged"


def test_a_standard_output_that_is_closed_from_the_start_names_the_stored_run(shell: Shell, emulator: Emulator) -> None:
    command = [sys.executable, "-m", "hybridloop", *RUN, "--quiet", "--run-key", "closed"]
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command], env=dict(shell.environ), capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.endswith("To see it: hybridloop runs show closed\n")
    assert status_of(shell, "closed") == "converged"


# prints numbered lines while a timer's signal raises an error every half millisecond
INTERRUPTED = """
import signal
import sys
from hybridloop.cli.standard_streams import make_streams_safe

class Stopped(Exception):
    pass

def stop(*_):
    global printing
    if printing:
        printing = False
        raise Stopped

printing = False
make_streams_safe()
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for number in range(3000):
    try:
        printing = True
        print("line", number, file=sys.stderr, flush=True)
        printing = False
    except Stopped:
        pass
signal.signal(signal.SIGALRM, signal.SIG_IGN)
"""


def test_a_line_that_a_signal_interrupts_is_not_printed_twice() -> None:
    run = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    whole = [line for line in run.stderr.split("\n") if line.count("line") == 1]
    assert len(whole) > 1000
    assert len(set(whole)) == len(whole)
