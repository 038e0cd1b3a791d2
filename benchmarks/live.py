"""Cost of the live view: CPU time of drawing, and runs on a terminal with the view and with --quiet in turn.

Run it with `python -m benchmarks.live`. The bound is on the CPU time of drawing: runs differ by more than that.
"""

from __future__ import annotations

import io
import os
import pty
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path

from benchmarks.bounds import Bound, Side, conclude, machine
from benchmarks.local import WORKSPACE, local_service
from hybridloop.cli.progress import REFRESH_PER_S, render, show_progress
from hybridloop.results.live import MOST_VALUES
from tests.cli.progress_helpers import STATE
from tests.preparation_helpers import settings_for

TURNS = 5
DRAWINGS = 200
MOST_PERCENT = 2.0
SETTINGS = {"seed": 7, "ansatz": "hardware-efficient", "optimizer": "trust-region", "max_rounds": 20, "precision": 0.01}


def main() -> int:
    """Measure, print the figures, and return the exit code."""
    print(f"machine    {machine()}")
    with tempfile.TemporaryDirectory() as home:
        os.environ["HYBRIDLOOP_HOME"] = home
        os.environ["PREFECT_PROFILES_PATH"] = str(Path(home) / "no-profiles.toml")
        os.environ.pop("PREFECT_API_URL", None)
        from hybridloop import local_stack as stack

        try:
            return _measured()
        finally:
            stack.down()


def _measured() -> int:
    wall: dict[bool, list[float]] = {True: [], False: []}
    with local_service() as service, _terminal() as terminal:
        for is_quiet in wall:  # imports, and starts Prefect
            _seconds(service.workspace(WORKSPACE), terminal, is_quiet=is_quiet)
        for turn in range(TURNS):
            for is_quiet in (turn % 2 == 0, turn % 2 == 1):  # alternate which one comes first
                wall[is_quiet].append(_seconds(service.workspace(WORKSPACE), terminal, is_quiet=is_quiet))
        drawing_s = _seconds_of_drawing(terminal)
    print(f"a run of {SETTINGS['max_rounds']} rounds, median of {TURNS} (lowest to highest)")
    for name, is_quiet in (("--quiet", True), ("live view", False)):
        values = wall[is_quiet]
        print(f"  {name:<10} {statistics.median(values):6.2f} s ({min(values):.2f} to {max(values):.2f})")
    print(f"drawing once takes {1e3 * drawing_s:.2f} ms of a processor, {REFRESH_PER_S:g} times a second")
    percent = 100.0 * REFRESH_PER_S * drawing_s
    return conclude([Bound("a run's time that drawing takes", percent, Side.AT_MOST, MOST_PERCENT, "%")])


def _seconds_of_drawing(terminal: io.TextIOBase) -> float:
    """Return the median CPU seconds of drawing a state in which every field is set."""
    from rich.console import Console
    from rich.live import Live

    console = Console(file=terminal, force_terminal=True, width=120)  # type: ignore[arg-type]  # it is a text file
    state = replace(STATE, values=tuple(-7.0 - 0.001 * each for each in range(MOST_VALUES)))
    taken = []
    with Live(console=console, auto_refresh=False, get_renderable=lambda: render(state, console)) as view:
        for _ in range(DRAWINGS):
            before = time.thread_time()
            view.refresh()
            taken.append(time.thread_time() - before)
    return statistics.median(taken)


def _seconds(workspace: object, terminal: io.TextIOBase, *, is_quiet: bool) -> float:
    """Return the seconds of a whole run."""
    from hybridloop.api import algorithms as calls
    from hybridloop.inputs.sources import ResolvedSettings
    from hybridloop.results.live import View
    from hybridloop.settings import ProblemText

    started = time.perf_counter()
    with redirect_stderr(terminal), show_progress(quiet=is_quiet) as seen:
        calls.run(
            "vqe",
            ProblemText(name="h2"),
            ResolvedSettings(settings_for("vqe", SETTINGS), {}),
            workspace=workspace,
            view=View(seen.on_progress, seen.feed),
        )
    return time.perf_counter() - started


@contextmanager
def _terminal() -> Iterator[io.TextIOBase]:
    """Open a pseudo-terminal; its output is read and dropped."""
    os.environ["TERM"] = "xterm-256color"
    ours, theirs = pty.openpty()
    reader = threading.Thread(target=_read, args=(ours,), daemon=True)
    reader.start()
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        yield terminal
    reader.join(timeout=5.0)


def _read(descriptor: int) -> None:
    try:
        while os.read(descriptor, 65536):
            pass
    except OSError:  # on Linux: no process has the terminal open any more
        pass


if __name__ == "__main__":
    sys.exit(main())
