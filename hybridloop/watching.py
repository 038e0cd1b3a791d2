"""What a caller sees of a run as it goes: a function of their own that is called, and a display in their notebook."""

from __future__ import annotations

import html
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from hybridloop.flows.live import LiveFeed, LiveState
from hybridloop.flows.live_text import rows, title

if TYPE_CHECKING:
    from hybridloop.flows.context import Update

DRAWN_EVERY_S = 0.5
_CELL = "text-align:left;padding:0 1em 0 0"

# Called after each round with its number from 1, the point in radians, its value and standard error.
Callback = Callable[[int, tuple[float, ...], float, float], None]


def told(on_progress: Callable[[Update], None] | None, callback: Callback | None) -> Callable[[Update], None] | None:
    """One listener for both."""
    if callback is None:
        return on_progress

    def listen(update: Update) -> None:
        progress = update.progress
        callback(progress.round, progress.point, progress.value, progress.standard_error)
        if on_progress is not None:
            on_progress(update)

    return listen


@contextmanager
def shown(feed: LiveFeed | None) -> Iterator[LiveFeed]:
    """A feed for a run: the one that is given, which somebody shows; else one that is shown in the notebook around us.

    In no notebook it is shown nowhere.
    """
    if feed is not None or not _is_notebook():
        yield feed or LiveFeed()
        return
    own = LiveFeed()
    with _displayed(own):
        yield own


def _is_notebook() -> bool:
    """Whether this runs in a kernel whose pages show HTML; IPython's own shell in a terminal does not."""
    if "IPython" not in sys.modules:  # it is imported by whoever runs in it
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None  # which a terminal's shell has none of


@contextmanager
def _displayed(feed: LiveFeed) -> Iterator[None]:
    """One display, which is drawn anew in its place until the block ends."""
    from IPython.display import display

    ended = threading.Event()
    drawn = _mime(feed.state())
    handle: Any = display(drawn, raw=True, display_id=True)

    def draw() -> None:
        nonlocal drawn
        now = _mime(feed.state())
        if now != drawn:
            drawn = now
            handle.update(now, raw=True)

    def draw_until_ended() -> None:
        while not ended.wait(DRAWN_EVERY_S):
            draw()

    # the kernel keeps in context variables which cell it is that shows something
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
    """The run as HTML and as text, for pages and for whoever shows no HTML."""
    said = list(rows(state))
    lines = "".join(
        f'<tr><th scope="row" style="{_CELL};font-weight:normal;opacity:.7">{html.escape(name)}</th>'
        f'<td style="{_CELL}">{html.escape(each)}</td></tr>'
        for name, each in said
    )
    caption = f'<caption style="{_CELL};font-weight:bold">{html.escape(title(state))}</caption>'
    return {
        "text/html": f"<table>{caption}{lines}</table>",
        "text/plain": "\n".join([title(state), *(f"{name:<8} {each}" for name, each in said)]),
    }
