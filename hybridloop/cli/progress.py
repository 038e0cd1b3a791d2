"""How a run is going: one live line on a terminal, a plain line a round elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hybridloop.cli.output import say

if TYPE_CHECKING:
    from hybridloop.flows.context import Update


def line(update: Update) -> str:
    """One round in words."""
    progress = update.progress
    return (
        f"round {progress.round:>3}  {progress.phase:<6}  "
        f"{'energy' if update.unit == 'hartree' else 'value'} {progress.value:+.6f} ± {progress.standard_error:.6f}  "
        f"jobs {update.jobs:>5}  session {update.session_status.lower()}"
    )


@contextmanager
def shown(*, quiet: bool) -> Iterator[Callable[[Update], None]]:
    """A callback that shows each round on standard error until the block ends."""
    if quiet:
        yield lambda _: None
    elif not sys.stderr.isatty():
        yield lambda update: say(line(update))
    else:
        from rich.console import Console

        with Console(stderr=True).status("preparing the run …") as live:
            yield lambda update: live.update(line(update))
