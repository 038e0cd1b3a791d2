"""Runs of the command line on Prefect, killed at random moments and started again under the same key."""

from __future__ import annotations

import random
import signal
import subprocess
import time

import pytest

from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator
from tests.long_form import long_form, long_only
from tests.waiting import PATIENCE_S

RUN = ("run", "vqe", "h2", "--ansatz", "uccsd", "--seed", "7")
EXACTLY = ("value", "standard_error", "interval95", "parameters", "rounds", "shots", "history")
KILLS = 10


@long_form
@pytest.mark.slow
@long_only  # tests of the command line kill runs, too
def test_a_killed_command_started_again_with_its_key_gives_the_same_answer(
    stack_environ: dict[str, str], emulator: Emulator
) -> None:
    shell = Shell(stack_environ)
    reference = shell.at(emulator, "chaos-reference").shell.json(*RUN, "--run-key", "reference")
    start = time.monotonic()  # the local stack runs by now
    shell.at(emulator, "chaos-timed").shell.json(*RUN, "--run-key", "timed")
    took_s = time.monotonic() - start
    killed = draw = 0
    while killed < KILLS:
        draw += 1
        assert draw <= 4 * KILLS, f"of {draw} runs {killed} were killed before they ended"
        at = shell.at(emulator, f"chaos-{draw}")
        moments = random.Random(draw)
        for _ in range(2):
            with at.shell.start(*RUN, "--run-key", f"chaos-{draw}", "--quiet") as process:
                try:
                    process.wait(moments.uniform(0.4, 0.95) * took_s)
                except subprocess.TimeoutExpired:
                    process.kill()
                process.wait(PATIENCE_S)
                killed += process.returncode == -signal.SIGKILL
        found = at.shell.json(*RUN, "--run-key", f"chaos-{draw}")
        assert {name: found[name] for name in EXACTLY} == {name: reference[name] for name in EXACTLY}
        assert set(at.session_statuses()) <= {"Succeeded", "Failed", "TimedOut"}
        ledger = emulator.admin(f"ledger?run={at.shell.json('runs', 'show', f'chaos-{draw}')['uid']}")
        assert (len(ledger["entries"]), ledger["duplicates"]["count"]) == (reference["jobs"]["total"], 0)
