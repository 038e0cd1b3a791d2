"""Recorded steps: classical iterations of a run as events of its journal, so that a resume repeats none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hybridloop.algorithms.steps import compute_each
from hybridloop.journal.held_run import HeldRun
from hybridloop.runtime.crash_points import crash_point

STEP = "step"  # event: the name of a step and its values


class RecordedSteps:
    """`Steps` of a run: recorded values are returned, others computed and written to the journal before their use.

    `check` is called before each step that this process computes, and raises if the run is to stop; `on_computed` is
    called after it.
    """

    def __init__(self, run: HeldRun, check: Callable[[], None], on_computed: Callable[[], None]) -> None:
        events = [event for event in run.journal.events(run.uid) if event.kind == STEP]
        self._recorded = {event.facts["name"]: event.facts["values"] for event in events}
        self._run = run
        self._check = check
        self._on_computed = on_computed

    def __call__(self, name: str, compute: Callable[[], dict[str, Any]], /) -> dict[str, Any]:
        """Return a step's values. Raises what `check` raises."""
        if name in self._recorded:
            values: dict[str, Any] = self._recorded[name]
            return values
        self._check()
        values = compute_each(name, compute)
        crash_point("iteration.before")
        self._run.journal.add_event(self._run.lease, STEP, {"name": name, "values": values})
        crash_point("iteration.after")
        self._on_computed()
        return values
