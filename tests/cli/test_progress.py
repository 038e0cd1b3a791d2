"""Live view: drawn from a run's state for any terminal size and encoding, and on a real terminal, which is restored."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from hybridloop.budget.cost_summary import CostSummary
from hybridloop.cli.progress import describe_interruption, render, show_jobs, show_progress, show_stages
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.estimate.planner import plan_run
from hybridloop.results.live import Best, LiveState
from hybridloop.runtime.stages import announce, stages_to
from hybridloop.settings import ProblemText
from hybridloop.targets import find_target
from tests.cli.progress_helpers import STATE
from tests.cli.shell_helpers import Shell
from tests.forked_processes import ForkedPython
from tests.waiting import PATIENCE_S, eventually

HIDDEN, VISIBLE = "\x1b[?25l", "\x1b[?25h"


def text_of(state: LiveState, width: int, *, encoding: str = "utf-8", **options: object) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(record=True, width=width, file=file, **options)  # type: ignore[arg-type]  # by name
    console.print(render(state, console))
    return console.export_text()


def test_a_wide_terminal_shows_all_facts() -> None:
    outcome = text_of(STATE, 100)
    for fact in (
        "vqe of lih on ionq.qpu.forte-1",
        "running, 1 h 2 min",
        "angles searched on ionq.qpu.forte-1",
        "-7.882362 ± 0.000712 hartree",
        "-7.883001 ± 0.000900 in round 11, noisy",
        "12 search  █▅▄▂▁",
        "4 in flight, 412 done, 1 lost, 3 retried",
        "83f07da9-535c-5d2d-8137-d164c097f4c8 executing, idle: 9 min 43 s left",
        "812.50 USD billed, 12.10 reserved, 825.00 estimated, the cap is 1000",
        "417 of 500 jobs",
        "6 h 56 min until the deadline",
    ):
        assert fact in outcome


def test_a_target_that_does_not_sample_has_no_error_bar_but_its_rounding() -> None:
    exact = replace(STATE, standard_error=0.0, best=Best(11, -7.883001, 0.0))
    lines = [line.strip() for line in text_of(exact, 100).splitlines()]
    assert "energy   -7.882362 ± rounding hartree" in lines
    assert "best     -7.883001 ± rounding in round 11" in lines


def test_an_interruption_states_jobs_in_flight_or_that_nothing_was_submitted() -> None:
    assert STATE.snapshot is not None
    closed = replace(STATE.snapshot, session_status="Succeeded")
    assert "closed; its jobs in flight were left" in describe_interruption(replace(STATE, snapshot=closed))
    idle = replace(STATE, snapshot=replace(closed, in_flight=0))
    assert describe_interruption(idle) == "the session has been closed, with no job in flight"
    assert describe_interruption(replace(idle, algorithm="sqd")).endswith("nothing is paid again")
    opened = replace(STATE, snapshot=replace(closed, meter=CostSummary()))
    assert describe_interruption(LiveState()) == describe_interruption(opened) == ("nothing was submitted")


@pytest.mark.parametrize("status", ["unknown", "Executing", "Waiting"])
@pytest.mark.parametrize("jobs", [0, 4])
def test_an_interruption_whose_close_failed_does_not_claim_a_closed_session(status: str, jobs: int) -> None:
    assert STATE.snapshot is not None
    left = replace(STATE.snapshot, session_status=status, in_flight=jobs)
    for snapshot in (left, replace(left, meter=CostSummary())):
        text = describe_interruption(replace(STATE, snapshot=snapshot))
        assert "may still be open" in text
        assert "has been closed" not in text


def test_without_a_terminal_a_line_says_how_many_jobs_of_a_long_round_have_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    looks = count()

    def state() -> LiveState:
        assert STATE.snapshot is not None
        return replace(STATE, snapshot=replace(STATE.snapshot, done=next(looks) // 3))

    with show_jobs(state, 0.001):
        eventually(lambda: next(looks) > 30)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"round {STATE.round + 1:>3}  4 jobs in flight, 0 done"
    assert len(lines) == len(set(lines)) > 1


def test_work_of_seconds_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with show_stages(0.001, 0.001):
        eventually(lambda: "preparing the run" in capsys.readouterr().err)
        announce("counting")
        eventually(lambda: "counting" in capsys.readouterr().err)
        announce("dry run")
        eventually(lambda: "dry run" in capsys.readouterr().err)
        announce("counting")  # of another target
    assert capsys.readouterr().err == ""


def test_a_plan_announces_each_dry_round_and_its_gates() -> None:
    stages: list[str] = []
    with stages_to(stages.append):
        plan = plan_run("vqe", ProblemText(name="h2"), VqeSettings(seed=7), find_target("ionq.simulator"))
    rounds = [stage for stage in stages if stage.startswith("dry run, round ")]
    assert len(rounds) >= plan.rounds.expected
    assert any(stage.startswith("counting the gates of ") for stage in stages)


@pytest.mark.parametrize("width", [20, 32, 40, 60, 80, 132])
def test_no_line_is_wider_than_the_terminal_and_none_is_broken(width: int) -> None:
    lines = text_of(STATE, width).rstrip("\n").split("\n")
    assert len(lines) == len(text_of(STATE, 200).rstrip("\n").split("\n"))
    assert max(map(cell_len, lines)) <= width


def test_a_narrow_terminal_still_has_the_energy_and_the_jobs() -> None:
    outcome = text_of(STATE, 40)
    assert "-7.882362 ± 0.000712" in outcome
    assert "4 in flight, 412 done" in outcome


def test_markup_in_a_problems_name_is_shown_as_text() -> None:
    outcome = text_of(LiveState("vqe", "[bold red]h2[/]", "t"), 80)
    assert "vqe of [bold red]h2[/] on t" in outcome


def test_characters_that_cannot_be_encoded_are_replaced() -> None:
    outcome = text_of(STATE, 100, encoding="ascii")
    assert "@+=._" in outcome
    assert "█" not in outcome


def test_without_colours_no_colour_codes_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    state = LiveState("vqe", "h2", "t", status="failed")

    def sent() -> str:
        file = io.StringIO()
        console = Console(file=file, force_terminal=True, width=80, color_system="truecolor")
        console.print(render(state, console))
        return file.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    colours = re.compile(r"\x1b\[[0-9;]*3[0-9]")
    assert colours.search(sent())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours.search(sent())


@contextmanager
def terminal(width: int) -> Iterator[tuple[int, int]]:
    """Open a pseudo-terminal; output to its second end is read from the first."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def all_of(descriptor: int) -> str:
    """Return the output of a terminal until its last writer has closed it."""
    chunks: list[bytes] = []
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # on Linux: no process has the terminal open any more
            chunk = b""
        if not chunk:
            return b"".join(chunks).decode()
        chunks.append(chunk)


def on_terminal(
    environ: Mapping[str, str],
    *command: str,
    width: int = 120,
    start: type[subprocess.Popen[bytes]] | type[ForkedPython] = ForkedPython,
) -> tuple[int, str]:
    """Run on a terminal; return the exit code and all output."""
    with terminal(width) as (ours, theirs):
        with start(command, env={**environ}, stdin=theirs, stdout=theirs, stderr=theirs) as run:
            os.close(theirs)
            seen = all_of(ours)
            return run.wait(timeout=PATIENCE_S), seen


VIEW = """
import logging, sys, time
sys.argv = ["hybridloop"]
from hybridloop.cli import _show_warnings
from hybridloop.cli.progress import show_progress
with _show_warnings(), show_progress(quiet=False) as seen:
    seen.feed.prepare("vqe", "h2", "here")
    logging.getLogger("hybridloop").warning("the target is waited for")
    print("from a library", file=sys.stderr)
    {then}
"""


def viewing(then: str, **variables: str) -> tuple[int, str]:
    environ = {**os.environ, "TERM": "xterm", **variables}
    return on_terminal(environ, sys.executable, "-c", VIEW.format(then=then))


def test_warnings_stand_above_the_view_and_the_terminal_keeps_its_cursor() -> None:
    code, seen = viewing("time.sleep(0)")
    assert code == 0
    last = seen.rpartition("\x1b[2K")[0]
    assert seen.index("hybridloop: the target is waited for") < last.rindex("vqe of h2 on here")
    assert "from a library" in seen
    assert seen.rindex(VISIBLE) > seen.rindex(HIDDEN)


@pytest.mark.parametrize(
    ("then", "code"), [("raise KeyboardInterrupt", -signal.SIGINT), ("import os; os._exit(3)", 3)], ids=str
)
def test_the_cursor_is_restored_however_the_process_ends(then: str, code: int) -> None:
    ended, seen = viewing(then)
    assert ended == code
    assert seen.rindex(VISIBLE) > seen.rindex(HIDDEN)


def test_a_run_that_is_interrupted_leaves_its_last_state() -> None:
    taken_back = "\x1b[1A\x1b[2K"
    assert taken_back in viewing("pass")[1].rpartition("vqe of h2 on here")[2]
    assert taken_back not in viewing("raise KeyboardInterrupt")[1].rpartition("vqe of h2 on here")[2]


@pytest.mark.parametrize("kind", ["dumb", ""])
def test_a_terminal_without_cursor_movement_gets_lines(kind: str) -> None:
    code, seen = viewing("pass", TERM=kind)
    assert code == 0
    assert "\x1b" not in seen


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(quiet=True) as seen:
        assert seen.on_progress is None
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_run_on_a_terminal_is_shown_in_place_and_then_its_result(shell: Shell, tmp_path: Path) -> None:
    options = ("--search", "measured", "--seed", "7", "--max-cost", "50USD")
    command = [sys.executable, "-m", "hybridloop", "run", "vqe", "h2", *options]
    # a process that imports for seconds, so that its stages are seen
    code, seen = on_terminal({**shell.environ, "TERM": "xterm"}, *command, start=subprocess.Popen)
    assert code == 0
    live, _, result = seen.rpartition("h2: -1.13")
    assert "preparing: reading the problem, choosing its circuit" in live
    assert "preparing: beginning the run in Prefect" in live
    assert "the cap is 50" in live
    assert re.search(r"[0-9]+ in flight, [0-9]+ done, 0 lost", live)
    assert "2 final" in live
    assert live.endswith("\x1b[2K")  # the view is removed
    assert " hartree, converged" in result
