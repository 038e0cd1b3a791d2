"""Limits over runs, as they stand for one run before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridloop.budget.caps import Caps
from hybridloop.errors import NOTHING_SUBMITTED, InputError
from hybridloop.journal import Journal, RunRecord
from hybridloop.journal.limits import LIMIT, LimitState
from hybridloop.runs.recorded import RESUMED
from hybridloop.targets import Target
from hybridloop.targets.prices import ONE_GATE, price_of_job


def limits_over(journal: Journal, target: Target, settings: Mapping[str, Any]) -> list[LimitState]:
    """Return the limits that jobs of a run on this target count against; `settings` are its record's."""
    unit = price_of_job(target, ONE_GATE, 1).unit
    return [state for state in journal.limits_of(target.name, settings) if state.limit.unit == unit]


def limit_waited_for(journal: Journal, record: RunRecord) -> str | None:
    """Return the name of the limit that ended a run, if it still lacks what the run's next jobs needed; else None."""
    last = [event for event in journal.events(record.uid) if event.kind in (RESUMED, LIMIT)][-1:]
    if not last or last[0].kind == RESUMED:
        return None
    name, needed = last[0].facts["limit"], last[0].facts["needed"]
    states = journal.limits_of(record.target, record.settings)
    return name if any(each.limit.name == name and each.left < needed for each in states) else None


def check_limits_bound(journal: Journal, target: Target, settings: Mapping[str, Any], caps: Caps) -> None:
    """Raise InputError, before anything is submitted, for jobs without a maximum price that count against a limit."""
    price = price_of_job(target, ONE_GATE, 1)
    if price.upper is not None or price.unit in caps.max_cost_per_job:
        return
    for state in limits_over(journal, target, settings):
        raise InputError(
            "max_cost_per_job",
            f"the maximum price of a job on {target.name} is unknown, so limit {state.limit.name} could be exceeded",
            f"Give the most that one job may cost, for example 5{price.unit}.",
            NOTHING_SUBMITTED,
        )
