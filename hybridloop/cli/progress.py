"""How a run is going: a live view on a terminal, a plain line a round elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridloop.cli.output import say
from hybridloop.runs.live import LiveFeed, LiveState
from hybridloop.runs.live_text import plus_minus

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from hybridloop.runs.live import RoundUpdate

DRAWN_PER_S = 4.0
_STYLES = {"converged": "bold green", "failed": "bold red", "stopped": "bold yellow", "parked": "bold yellow"}
_LABEL_WIDTH = 8


@dataclass(frozen=True, slots=True)
class Shown:
    """What a run is to tell, so that it is shown: its rounds, or all of how it goes."""

    on_progress: Callable[[RoundUpdate], None] | None
    feed: LiveFeed


def line(update: RoundUpdate) -> str:
    """One round in words."""
    progress = update.progress
    return (
        f"round {progress.round:>3}  {progress.phase:<6}  "
        f"{'energy' if update.unit == 'hartree' else 'value'} {progress.value:+.6f} "
        f"{plus_minus(progress.standard_error)}  "
        f"jobs {update.jobs:>5}  session {update.session_status.lower()}"
    )


@contextmanager
def shown(*, quiet: bool) -> Iterator[Shown]:
    """Show a run on standard error until the block ends; if a signal ends it, say what it leaves behind."""
    feed = LiveFeed()
    try:
        if quiet:
            yield Shown(None, feed)
        elif not sys.stderr.isatty() or os.environ.get("TERM", "").lower() in ("", "dumb", "unknown"):
            yield Shown(lambda update: say(line(update)), feed)
        else:
            with _live(feed):
                yield Shown(None, feed)
    except (KeyboardInterrupt, SystemExit):
        say(f"hybridloop: {left_behind(feed.state())}")
        raise


def left_behind(state: LiveState) -> str:
    """What an interrupted run leaves at the service, in words: its session is closed by then."""
    if state.standing is None or not state.standing.meter.jobs:
        return "nothing was submitted"
    return "the session has been closed; its jobs in flight were left to the service, which finishes and bills them"


@contextmanager
def _live(feed: LiveFeed) -> Iterator[None]:
    """Draw the feed until the block ends; then it is taken back, unless it is all that a terminal is told of the run.

    What is written to standard error meanwhile, as warnings are, goes above it.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    view = Live(
        get_renderable=lambda: drawn(feed.state(), console),
        console=console,
        refresh_per_second=DRAWN_PER_S,
        redirect_stdout=False,  # it may be a file
        transient=sys.stdout.isatty(),
    )
    with view:
        console.show_cursor(show=True)  # whatever ends this process, the terminal has its cursor
        try:
            yield
        except BaseException:
            view.transient = False  # no result follows
            raise


def drawn(state: LiveState, console: Console) -> RenderableType:
    """A run as it goes, a line for each fact, cut where the terminal ends."""
    from rich.table import Table
    from rich.text import Text

    from hybridloop.runs.live_text import ASCII, BLOCKS, rows, title

    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=_LABEL_WIDTH, no_wrap=True, style="dim")
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_row("run", Text(title(state), style="bold"))
    is_utf8 = console.encoding.lower().startswith("utf")
    for name, said in rows(state, blocks=BLOCKS if is_utf8 else ASCII):
        grid.add_row(name, Text(said, style=_STYLES.get(state.status, "") if name == "status" else ""))
    return grid
