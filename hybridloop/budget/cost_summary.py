"""Cost summary of a run: what its jobs were expected to cost, what was billed, and what is still reserved."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hybridloop.budget.caps import Spending
from hybridloop.journal import Charge
from hybridloop.targets import Target
from hybridloop.targets.prices import ONE_GATE, is_price_of_shots, price_of_job

_DECIMALS = 9  # of an amount; later digits are rounding errors


@dataclass(frozen=True, slots=True)
class CostSummary:
    """Jobs, shots and amounts by unit that count against a run's caps so far, with retries and keep-alive pings.

    `estimated` is what its jobs were expected to cost. `billed` is what the service stated. `reserved` is the most that
    the other jobs can cost: those in flight, and those without a bill. A cap bounds billed + reserved.
    """

    jobs: int = 0
    shots: int = 0
    estimated: Mapping[str, float] = field(default_factory=dict)
    reserved: Mapping[str, float] = field(default_factory=dict)
    billed: Mapping[str, float] = field(default_factory=dict)

    @property
    def amounts(self) -> dict[str, float]:
        """The amounts that a cap bounds: billed + reserved."""
        units = {**self.billed, **self.reserved}
        return {unit: self.billed.get(unit, 0.0) + self.reserved.get(unit, 0.0) for unit in units}

    @property
    def spending(self) -> Spending:
        """The spending that a cap bounds."""
        return Spending(self.jobs, self.shots, self.amounts)


NO_COST = CostSummary()


def sum_costs(costs: Iterable[CostSummary]) -> CostSummary:
    """Return the sum of costs."""
    listed = list(costs)
    totals = {name: _sum([getattr(cost, name) for cost in listed]) for name in ("estimated", "reserved", "billed")}
    return CostSummary(sum(cost.jobs for cost in listed), sum(cost.shots for cost in listed), **totals)


def subtract_costs(after: CostSummary, before: CostSummary) -> CostSummary:
    """Return what was added to a cost; what is reserved may have become less, and is no less than nothing."""
    added = {
        name: _sum([getattr(after, name), {unit: -amount for unit, amount in getattr(before, name).items()}])
        for name in ("estimated", "reserved", "billed")
    }
    return CostSummary(after.jobs - before.jobs, after.shots - before.shots, **added)


def _sum(amounts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the sums by unit, without those below zero."""
    by_unit: defaultdict[str, list[float]] = defaultdict(list)
    for part in amounts:
        for unit, amount in part.items():
            by_unit[unit].append(amount)
    sums = {unit: round(math.fsum(parts), _DECIMALS) for unit, parts in by_unit.items()}
    return {unit: amount for unit, amount in sums.items() if amount >= 0.0}


def expected_cost(target: Target, reserved: Mapping[str, float], shots: int) -> Mapping[str, float]:
    """Return the expected cost by unit of a job of which only shots and reserved amounts are known.

    It is that of the shots, where the price depends on these alone, else the reserved amount: within a cent of a price
    with an upper bound, and up to the cap of a job above one without. There is none where the price is unknown.
    """
    price = price_of_job(target, ONE_GATE, shots)
    return price.amounts if price.expected is None or is_price_of_shots(target) else reserved


def summarize_totals(
    jobs: int, shots: int, estimated: Mapping[str, float], spent: Mapping[str, float], billed: Mapping[str, float]
) -> CostSummary:
    """Return the summary of totals; `spent` is the sum of all billed amounts and all open reservations."""
    reserved = {unit: round(amount - billed.get(unit, 0.0), _DECIMALS) for unit, amount in spent.items()}
    return CostSummary(
        jobs,
        shots,
        {unit: round(amount, _DECIMALS) for unit, amount in estimated.items()},
        {unit: amount for unit, amount in reserved.items() if amount > 0.0},
        {unit: round(amount, _DECIMALS) for unit, amount in billed.items()},
    )


def summarize_charges(charges: Iterable[Charge], target: Target | None) -> CostSummary:
    """Return the summary of a run's charges in the journal; without a target (None) nothing is estimated."""
    jobs = shots = 0
    amounts: dict[str, defaultdict[str, list[float]]] = {
        name: defaultdict(list) for name in ("estimated", "spent", "billed")
    }
    for charge in charges:
        jobs, shots = jobs + 1, shots + charge.shots
        spent = charge.reserved if charge.billed is None else charge.billed
        estimated = (
            {} if charge.may_be_unsent or target is None else expected_cost(target, charge.reserved, charge.shots)
        )
        for name, by_unit in (("estimated", estimated), ("spent", spent), ("billed", charge.billed or {})):
            for unit, amount in by_unit.items():
                amounts[name][unit].append(amount)
    totals = {name: {unit: math.fsum(parts) for unit, parts in by_unit.items()} for name, by_unit in amounts.items()}
    return summarize_totals(jobs, shots, totals["estimated"], totals["spent"], totals["billed"])
