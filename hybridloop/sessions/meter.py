"""The running meter of a run: what its jobs were expected to cost, what was billed, and what is set aside."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hybridloop.sessions.journal import Charge
from hybridloop.sessions.prices import expected_of
from hybridloop.sessions.targets import Target

_DECIMALS = 9  # of an amount: what is beyond is the arithmetic's


@dataclass(frozen=True, slots=True)
class Meter:
    """What counts against a run's caps so far, further attempts and pings included; amounts by unit.

    `estimated` is what its jobs were expected to cost. `billed` is what the service stated, and `reserved` the most
    that all other jobs may cost: those under way, and those of which it stated nothing. A cap holds billed + reserved.
    """

    jobs: int = 0
    shots: int = 0
    estimated: Mapping[str, float] = field(default_factory=dict)
    reserved: Mapping[str, float] = field(default_factory=dict)
    billed: Mapping[str, float] = field(default_factory=dict)

    @property
    def amounts(self) -> dict[str, float]:
        """What a cap holds: what was billed, and what is set aside for all else."""
        units = {**self.billed, **self.reserved}
        return {unit: self.billed.get(unit, 0.0) + self.reserved.get(unit, 0.0) for unit in units}


NOTHING = Meter()


def metered(
    jobs: int, shots: int, estimated: Mapping[str, float], taken: Mapping[str, float], billed: Mapping[str, float]
) -> Meter:
    """The meter of an account in which bills have taken the place of reservations in what is `taken`."""
    left = {unit: round(amount - billed.get(unit, 0.0), _DECIMALS) for unit, amount in taken.items()}
    return Meter(
        jobs,
        shots,
        {unit: round(amount, _DECIMALS) for unit, amount in estimated.items()},
        {unit: amount for unit, amount in left.items() if amount > 0.0},
        {unit: round(amount, _DECIMALS) for unit, amount in billed.items()},
    )


def meter_of(charges: Iterable[Charge], target: Target | None) -> Meter:
    """The meter of a run by its journal alone; of a target that is not known any more (None) nothing is estimated."""
    jobs = shots = 0
    amounts: dict[str, defaultdict[str, list[float]]] = {
        name: defaultdict(list) for name in ("estimated", "taken", "billed")
    }
    for each in charges:
        jobs, shots = jobs + 1, shots + each.shots
        known = each.reserved if each.billed is None else each.billed
        estimated = {} if each.may_be_unsent or target is None else expected_of(target, each.reserved, each.shots)
        for name, by_unit in (("estimated", estimated), ("taken", known), ("billed", each.billed or {})):
            for unit, amount in by_unit.items():
                amounts[name][unit].append(amount)
    totals = {name: {unit: math.fsum(parts) for unit, parts in by_unit.items()} for name, by_unit in amounts.items()}
    return metered(jobs, shots, totals["estimated"], totals["taken"], totals["billed"])
