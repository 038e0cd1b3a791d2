"""Progress of a run on standard error: a live view on a terminal, else lines, also for the jobs of a long round."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridloop.cli.output import print_message
from hybridloop.data.statuses import STATUSES
from hybridloop.results.fitted_text import fitted
from hybridloop.results.live import ITERATION, ROUND, STEP_LOST, LiveFeed, LiveState, name_of_progress
from hybridloop.results.live_text import error_text
from hybridloop.runtime.durations import format_elapsed
from hybridloop.runtime.escaping import escape_control
from hybridloop.runtime.json_log import is_json
from hybridloop.runtime.run_events import SIMULATION_RUNNING, RunEvent, observed_by
from hybridloop.runtime.signals import AFTER_THE_END
from hybridloop.runtime.stages import stages_to
from hybridloop.runtime.text_table import count_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from hybridloop.results.live import RoundUpdate

REFRESH_PER_S = 4.0
JOBS_EVERY_S = 10.0
FIRST_STAGE_S, STAGE_EVERY_S = 1.0, 5.0
NAME_WIDTH = 8  # of a fact in the live view
SPINNER, ASCII_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
_OPEN = frozenset({"waiting", "executing", "unknown"})  # unknown: its close failed
_MAY_BE_OPEN = (
    "the session may still be open (`hybridloop sessions close-orphans` closes it, else the service does after ten "
    "minutes)"
)
_COLORS = {0: "bold green", 1: "bold red"}  # by the status's exit code


@dataclass(frozen=True, slots=True)
class ProgressDisplay:
    """Receivers of a run's progress: a callback for each round, if any, and the feed of the live view."""

    on_progress: Callable[[RoundUpdate], None] | None
    feed: LiveFeed


def format_round(update: RoundUpdate) -> str:
    """Return one round, or one classical iteration, as a line."""
    progress = update.progress
    phase = f"{progress.phase:<6}  " if update.name == ROUND else ""
    return (
        f"{update.name} {progress.round:>3}  {phase}"
        f"{'energy' if update.unit == 'hartree' else 'value'} "
        f"{progress.value:+.6f} {error_text(progress.standard_error, update.name)}  "
        f"jobs {update.jobs:>5}  session {update.session_status.lower()}"
    )


@contextmanager
def show_progress(*, quiet: bool) -> Iterator[ProgressDisplay]:
    """Show a run on standard error until the block ends; if a signal ends it, print what happens to its jobs."""
    is_plain = is_json() or not sys.stderr.isatty() or os.environ.get("TERM", "").lower() in ("", "dumb", "unknown")
    feed = LiveFeed(on_search=print_message) if is_plain and not quiet else LiveFeed()
    try:
        if quiet:
            yield ProgressDisplay(None, feed)
        elif is_plain:
            with show_simulations(), show_jobs(feed.state):
                yield ProgressDisplay(lambda update: print_message(format_round(update)), feed)
        else:
            with _live_view(feed):
                yield ProgressDisplay(None, feed)
    except (KeyboardInterrupt, SystemExit) as signal:
        has_ended = AFTER_THE_END in getattr(signal, "__notes__", ())
        print_message(f"hybridloop: {AFTER_THE_END if has_ended else describe_interruption(feed.state())}")
        raise


@contextmanager
def show_simulations() -> Iterator[None]:
    """Print a line to standard error now and then while the block simulates a circuit for seconds."""

    def show(event: RunEvent) -> None:
        if event.kind == SIMULATION_RUNNING:
            print_message(event.message)

    with observed_by(show):
        yield


@contextmanager
def show_stages(first_s: float = FIRST_STAGE_S, every_s: float = STAGE_EVERY_S) -> Iterator[None]:
    """Print to standard error what the block does: from the second second on, now and then, each stage once."""
    ended, stages = threading.Event(), deque(["preparing the run"], maxlen=1)

    def show() -> None:
        wait_s, shown = first_s, set[str]()
        while not ended.wait(wait_s):
            if (stage := stages[0]) not in shown:
                shown.add(stage)
                print_message(stage)
            wait_s = every_s

    shower = threading.Thread(target=show, name="hybridloop-stages", daemon=True)
    shower.start()
    try:
        with stages_to(stages.append):
            yield
    finally:
        ended.set()
        shower.join()


@contextmanager
def show_jobs(state: Callable[[], LiveState], every_s: float = JOBS_EVERY_S) -> Iterator[None]:
    """Print a line to standard error now and then while jobs are in flight, if more have ended since the last one."""
    ended = threading.Event()

    def show() -> None:
        shown: tuple[int, int] | None = None
        while not ended.wait(every_s):
            present = state()
            if present.snapshot is not None and present.snapshot.in_flight:
                jobs = (present.round + 1, present.snapshot.done)
                if jobs != shown:
                    flying = count_text(present.snapshot.in_flight, "job")
                    expected_s = present.snapshot.expected_s
                    time = "" if expected_s is None else f", about {format_elapsed(expected_s)} on the local service"
                    print_message(f"round {jobs[0]:>3}  {flying} in flight, {jobs[1]} done{time}")
                shown = jobs

    thread = threading.Thread(target=show, name="hybridloop-jobs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()  # it prints at most one line more


def describe_interruption(state: LiveState) -> str:
    """Return what an interrupted run leaves at the service, by its session's last row of the journal."""
    if state.snapshot is None:
        return "nothing was submitted"
    is_open = state.snapshot.session_status.lower() in _OPEN
    if not state.snapshot.meter.jobs:
        return f"nothing was submitted; {_MAY_BE_OPEN}" if is_open else "nothing was submitted"
    session = _MAY_BE_OPEN if is_open else "the session has been closed"
    if not state.snapshot.in_flight:
        lost = f"; {STEP_LOST}" if state.round and name_of_progress(state.algorithm) == ITERATION else ""
        return f"{session}, with no job in flight{lost}"
    return f"{session}; its jobs in flight were left to the service, which finishes and bills them"


@contextmanager
def _live_view(feed: LiveFeed) -> Iterator[None]:
    """Show the feed until the block ends. Other output to standard error, such as warnings, goes above it.

    The view is erased at the end if the result follows on the terminal; after an error it stays.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    view = Live(
        get_renderable=lambda: render(feed.state(), console),
        console=console,
        refresh_per_second=REFRESH_PER_S,
        redirect_stdout=False,  # it may be a file
        transient=sys.stdout.isatty(),
    )
    with view:
        console.show_cursor(show=True)  # so that the terminal has its cursor even if the process is killed
        try:
            yield
        except BaseException:  # after an error or a signal no result follows, so that the view stays
            view.transient = False
            raise


def render(state: LiveState, console: Console) -> RenderableType:
    """Return the state of a run as a grid with a line for each fact, of the clauses that the terminal's width holds."""
    from rich.table import Table
    from rich.text import Text

    from hybridloop.results.live_text import ASCII, BLOCKS, rows, title

    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=NAME_WIDTH, no_wrap=True, style="dim")
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_row("run", Text(escape_control(title(state)), style="bold"))
    is_utf8 = console.encoding.lower().startswith("utf")
    for name, text in rows(state, blocks=BLOCKS if is_utf8 else ASCII):
        if name == "status" and state.status not in STATUSES:  # it goes on
            frames = SPINNER if is_utf8 else ASCII_SPINNER
            text = f"{frames[int(state.elapsed_s * REFRESH_PER_S) % len(frames)]} {text}"
        (text,) = fitted(text, console.width - NAME_WIDTH - 1, 1) or [text]
        grid.add_row(name, Text(escape_control(text), style=_style(state.status) if name == "status" else ""))
    return grid


def _style(status: str) -> str:
    return _COLORS.get(STATUSES[status].exit_code, "bold yellow") if status in STATUSES else ""
