"""Request of a plot: its result, and its options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hybridloop.results.result import RunResult
from hybridloop.runs.stored_run import StoredRun


@dataclass(frozen=True, slots=True)
class PlotRequest:
    """A result to draw, and its run for what the result does not have, which is loaded from the journal.

    `axis` is the label of a curve's axis, `angles` are those along which a landscape is drawn (None: chosen).
    """

    result: RunResult
    load: Callable[[], StoredRun]
    axis: str = ""
    angles: Sequence[int] | None = None
