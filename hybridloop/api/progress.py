"""Progress of a run for its caller: callbacks, and a display in a notebook."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from hybridloop.descriptions.options import Callback
from hybridloop.results.live import LiveFeed, LiveState
from hybridloop.results.live_text import rows, title
from hybridloop.results.statuses import status_after
from hybridloop.runtime.stages import stages_to
from hybridloop.runtime.text_table import facts_as_html

if TYPE_CHECKING:
    from hybridloop.results.live import RoundUpdate

UPDATE_INTERVAL_S = 0.5


def combine_callbacks(
    on_progress: Callable[[RoundUpdate], None] | None, callback: Callback | None
) -> Callable[[RoundUpdate], None] | None:
    """Return one callback for both; None if there is neither."""
    if callback is None:
        return on_progress

    def call_both(update: RoundUpdate) -> None:
        progress = update.progress
        callback(progress.round, progress.point, progress.value, progress.standard_error)
        if on_progress is not None:
            on_progress(update)

    return call_both


@contextmanager
def show_progress(algorithm: str, problem: str, target: str, feed: LiveFeed | None) -> Iterator[LiveFeed]:
    """Yield a run's feed for the block: the given one, which its owner shows, else a new one, shown in notebooks.

    An error of the block ends the feed with the status of the run; the caller reports any other end.
    """
    displayed = feed is None and _is_notebook()
    feed = feed or LiveFeed()
    with _displayed(feed) if displayed else nullcontext(), stages_to(feed.set_stage):
        feed.prepare(algorithm, problem, target)
        try:
            yield feed
        except BaseException as error:  # Ctrl-C and SystemExit end a run as errors do
            feed.end(status_after(error), "")  # the reason is in the error
            raise


def _is_notebook() -> bool:
    """Return true in a kernel of a notebook, which shows HTML; IPython's terminal shell has no kernel."""
    if "IPython" not in sys.modules:  # a notebook has imported it
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


@contextmanager
def _displayed(feed: LiveFeed) -> Iterator[None]:
    """Show one display, updated in place until the block ends."""
    from IPython.display import display

    ended = threading.Event()
    shown = _mime(feed.state())
    handle: Any = display(shown, raw=True, display_id=True)

    def draw() -> None:
        nonlocal shown
        now = _mime(feed.state())
        if now != shown:
            shown = now
            handle.update(now, raw=True)

    def draw_until_ended() -> None:
        while not ended.wait(UPDATE_INTERVAL_S):
            draw()

    # the kernel keeps the current cell in context variables
    drawing = threading.Thread(
        target=copy_context().run, args=(draw_until_ended,), name="hybridloop-notebook", daemon=True
    )
    drawing.start()
    try:
        yield
    finally:
        ended.set()
        drawing.join()
        draw()


def _mime(state: LiveState) -> dict[str, str]:
    """Return the run as HTML, and as text for readers that show no HTML."""
    lines = list(rows(state))
    return {
        "text/html": facts_as_html(title(state), lines),
        "text/plain": "\n".join([title(state), *(f"{name:<8} {text}" for name, text in lines)]),
    }
