"""Costs of a sweep's points for trackers: the points run in other processes, and the journal has what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from hybridloop.budget.cost_summary import NO_COST, CostSummary, sum_costs, summarize_charges
from hybridloop.budget.tracker import Account, account_open, are_tracked
from hybridloop.flows.sweep_execution.spec import Point, SweepSpec, points_of
from hybridloop.journal import Journal, open_journal
from hybridloop.journal.limits import Period, RunLimit
from hybridloop.runs.run import run_of_key
from hybridloop.targets import recorded_target
from hybridloop.targets.prices import UNITS


@contextmanager
def points_tracked(spec: SweepSpec) -> Iterator[None]:
    """Let trackers count what the points of a sweep cost in the block."""
    if not are_tracked():
        yield
        return
    targets = {point.key: point.settings.target for point in points_of(spec)}
    accounts = [Account(key, targets[key], cost, lambda cost=cost: cost) for key, cost in _costs(targets).items()]  # type: ignore[misc]
    try:
        with ExitStack() as opened:
            for account in accounts:
                opened.enter_context(account_open(account))
            yield
    finally:
        costs = _costs(targets)
        for account in accounts:
            account.read = lambda cost=costs[account.run]: cost  # type: ignore[misc]


def _costs(targets: Mapping[str, str]) -> dict[str, CostSummary]:
    """Return what the runs of these keys have cost so far."""
    with open_journal() as journal:
        return {key: _cost(journal, key, target) for key, target in targets.items()}


def set_cap(journal: Journal, spec: SweepSpec) -> None:
    """Hold the points of a sweep to its `max_cost`, by a limit for each unit; a cap of an earlier start is replaced."""
    for unit in UNITS:
        name = f"sweep {spec.name} {unit}"
        if unit in (spec.max_cost or {}):
            scope = {"sweep": spec.name}
            journal.put_limit(RunLimit(name, unit, (spec.max_cost or {})[unit], Period.EVER, scope, counts_local=True))
        else:
            journal.remove_limit(name)


def cost_of_points(journal: Journal, points: Iterable[Point]) -> dict[str, float]:
    """Return the amounts by unit that all points have cost so far: what was billed, and what is reserved."""
    costs = [_cost(journal, point.key, point.settings.target) for point in points]
    return sum_costs(costs).amounts


def _cost(journal: Journal, key: str, target: str) -> CostSummary:
    record = run_of_key(journal, key)
    return NO_COST if record is None else summarize_charges(journal.charges(record.uid), recorded_target(target))
