"""A run has one owner: of several processes one resumes it, and a former owner changes nothing."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

from hybridloop.emulator.pytest_plugin import Emulator
from tests.chaos.process_helpers import KILLED, Reference, Trial, is_locked, wake_file
from tests.forked_processes import context
from tests.long_form import long_form, short_or_long
from tests.waiting import eventually

RESUMERS = 8
EXPIRED_S = 600.0  # a lease lasts a minute from its last renewal


@long_form
@pytest.mark.slow
def test_of_eight_processes_one_resumes_the_run_and_the_others_name_its_owner(
    service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference], form: str
) -> None:
    search = f"cobyla{form}"
    for _ in range(short_or_long(1, 20)):
        trial = Trial.of(service, tmp_path, search)
        assert trial.resume(crash_at="put.after:10") == KILLED
        together = context().Barrier(RESUMERS)
        outcomes = [trial.order.outcome.with_name(f"outcome-{n}.json") for n in range(RESUMERS)]
        resumers = [trial.start(outcome=path, start_together=together) for path in outcomes]
        for process in resumers:
            process.join(120)
        found = [trial.outcome(path) for path in outcomes]
        (winner,) = [n for n, outcome in enumerate(found) if outcome.answer]
        trial.check(undisturbed(search), outcomes[winner])
        for n, outcome in enumerate(found):
            if n != winner:
                assert outcome.error == "RunBusy"
                assert f"process {resumers[winner].pid} on {socket.gethostname()}" in outcome.text


@long_form
@pytest.mark.slow
@pytest.mark.parametrize(
    "at",
    short_or_long(
        ["put.before:21"],
        [f"{step}:{k}" for step in ("intent.before", "intent.after", "upload.before", "put.before") for k in (1, 21)]
        + [f"{step}:{k}" for step in ("put.after", "answer.before", "poll.before", "result.after") for k in (1, 21)]
        + [f"{step}:{k}" for step in ("commit.before", "commit.after", "step.before", "step.after") for k in (1, 21)]
        + ["open.before", "open.after"],
    ),
)
@pytest.mark.parametrize("wakes", short_or_long(["in the middle"], ["when it is over", "in the middle"]))
def test_a_paused_owner_whose_run_was_claimed_changes_nothing_when_it_wakes(
    service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference], at: str, wakes: str
) -> None:
    trial = Trial.of(service, tmp_path, "cobyla")
    with started_process(trial, crash_at=at, is_halted=True, outcome=tmp_path / "first.json") as first:
        wait_until_halted(first, trial)
        if wakes == "when it is over":
            assert trial.resume(ahead_s=EXPIRED_S) == 0
            assert trial.outcome().answer is not None, trial.outcome()
            wake_and_check(first, trial)
            found = trial.outcome(tmp_path / "first.json")
            if found.answer is not None:  # reading takes no lease: it found all rounds in the journal
                assert found.answer == undisturbed("cobyla").answer
                found = replace(found, error="LeaseLost")
        else:
            with started_process(trial, crash_at="intent.before:10", is_halted=True, ahead_s=EXPIRED_S) as second:
                wait_until_halted(second, trial)
                wake_and_check(first, trial)
                found = trial.outcome(tmp_path / "first.json")
                wake(second, trial)
                second.join(60)
                assert second.exitcode == 0
        assert found.error == "LeaseLost"
    trial.check(undisturbed("cobyla"))


@contextmanager
def started_process(trial: Trial, **changes: Any) -> Iterator[ForkServerProcess]:
    """Hold a process that is killed at the end of the block."""
    process = trial.start(**changes)
    try:
        yield process
    finally:
        process.kill()
        process.join()


def wake_and_check(process: ForkServerProcess, trial: Trial) -> None:
    """Wake a former owner, wait for its end, and assert that it changed nothing."""
    before = state_everywhere(trial)
    wake(process, trial)
    process.join(60)
    assert process.exitcode == 0
    assert state_everywhere(trial) == before


def wait_until_halted(process: ForkServerProcess, trial: Trial) -> None:
    """Wait until a process has stopped itself without holding the journal's write lock."""
    assert process.pid is not None
    pid, seen = process.pid, psutil.Process(process.pid)

    def is_stopped_without_lock() -> bool:
        if seen.status() != psutil.STATUS_STOPPED:
            return False
        if is_locked(trial.order.journal):
            os.kill(pid, signal.SIGCONT)  # lets that write end
            return False
        return True

    eventually(is_stopped_without_lock)


def wake(process: ForkServerProcess, trial: Trial) -> None:
    assert process.pid is not None
    wake_file(trial.order.journal, process.pid).touch()
    os.kill(process.pid, signal.SIGCONT)


def state_everywhere(trial: Trial) -> tuple[object, ...]:
    """Return the run's state at the service and in the journal."""
    return (trial.ledger()["entries"], trial.open_sessions(), *trial.journal_state())
