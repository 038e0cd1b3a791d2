"""Price of a job: its expected cost and its upper bound, from its gates, its shots and the target's price formula.

The emulator bills by its own formulas, written independently of these, so that each is tested against the other.
"""

from __future__ import annotations

import bisect
import fnmatch
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.data import load_table
from hybridloop.targets import Target

Unit = Literal["USD", "HQC", "eHQC"]  # the units in which targets bill, and so the units of caps
UNITS: tuple[Unit, ...] = get_args(Unit)

ADDED = 0.1  # to the least price of a job by its shots: fewer would save next to nothing
_CENT = 0.01
_SLACK = 1e-9  # of a step: rounding must not turn a whole number of steps into one more


@dataclass(frozen=True, slots=True)
class Price:
    """A price in `unit`: the expected amount (None: unknown), and its upper bound (None: unknown)."""

    unit: Unit
    expected: float | None
    upper: float | None

    @property
    def is_free(self) -> bool:
        """True if it is known to be zero."""
        return self.upper == 0.0

    @property
    def amounts(self) -> dict[str, float]:
        """The expected amount by unit; empty if unknown."""
        return {} if self.expected is None else {self.unit: self.expected}

    @property
    def bound(self) -> dict[str, float] | None:
        """The upper bound by unit; None if unknown."""
        return None if self.upper is None else {self.unit: self.upper}


# of the smallest program: keep-alive pings run it, and it tells a target's unit and whether its prices have a bound
ONE_GATE = GateCounts(qubits=1, one_qubit=1, two_qubit=0, measurements=1)


def price_of_job(target: Target, counts: GateCounts, shots: int, *, debias: bool = True) -> Price:
    """Return the price of one job; `debias` is the run's setting: see `Target.mitigates`."""
    numbers = _price_rule(target.name)
    unit: Unit = numbers["unit"]
    match numbers["rule"]:
        case "free":
            return Price(unit, 0.0, 0.0)
        case "gate shots":
            gates = numbers["one_qubit"] * counts.one_qubit + numbers["two_qubit"] * counts.two_qubit
            amount = numbers["debiased" if target.mitigates(shots, debias=debias) else "plain"] + gates * shots
            return Price(unit, amount, amount)
        case "credits":
            return _credits(unit, numbers, counts, shots)
        case "time":
            steps = math.ceil(shots * numbers["seconds_per_shot"] / numbers["step_seconds"] - _SLACK)
            return Price(unit, max(1, steps) * numbers["step"], None)
        case "unknown":
            return Price(unit, None, None)
        case rule:
            raise ValueError(f"the price of {target.name} has an unknown rule: {rule!r}")


def ping_price(target: Target) -> Price:
    """Return the price of a keep-alive ping: one gate, one measurement, one shot."""
    return price_of_job(target, ONE_GATE, 1)


def billing_unit(target: Target) -> Unit:
    """Return the unit in which the target bills."""
    unit: Unit = _price_rule(target.name)["unit"]
    return unit


def _credits(unit: Unit, numbers: Mapping[str, Any], counts: GateCounts, shots: int) -> Price:
    """Price in Quantinuum credits. Bills have two decimals with unknown rounding, so the upper bound is rounded up."""
    other = counts.qubits + counts.measurements + counts.resets
    weight = (
        numbers["one_qubit"] * counts.one_qubit + numbers["two_qubit"] * counts.two_qubit + numbers["other"] * other
    )
    amount = numbers["base"] + shots * weight / numbers["shots"]
    if "estimate" in numbers:
        return Price(unit, round(amount, 2), None)
    return Price(unit, round(amount, 2), round(math.ceil(amount / _CENT - _SLACK) * _CENT, 2))


def is_free(target: Target) -> bool:
    """Return True if jobs on the target are known to be free."""
    return price_of_job(target, ONE_GATE, 1).is_free


def is_price_of_shots(target: Target) -> bool:
    """Return True if the expected price of a job depends on its shots alone, not on its gates."""
    return bool(_price_rule(target.name)["rule"] == "time")


def priced_job_shots(target: Target) -> int | None:
    """Return the most shots of a job on a target where each job has a price of its own; None elsewhere."""
    return target.max_shots if target.samples and not is_free(target) else None


def cheap_shots(target: Target, counts: GateCounts, *, debias: bool = True) -> int:
    """Return the most shots of a job that add at most a tenth to its least price; the fewest where that is not known.

    Where the provider mitigates errors, these are at least as many as that takes.
    """
    first = target.fewest_shots(debias=debias)  # a job with fewer has another price

    def price(shots: int) -> float:
        return price_of_job(target, counts, shots, debias=debias).expected or 0.0

    if not (least := price(first)):
        return first
    most = (1.0 + ADDED) * least
    return max(first, first - 1 + bisect.bisect_right(range(first, 1 + target.max_shots), most, key=price))


def has_price(target: Target) -> bool:
    """Return True if a price of the target is published."""
    rule = _price_rule(target.name)
    return rule["rule"] != "unknown" and "estimate" not in rule


def price_estimate(target: Target) -> str | None:
    """Return what the expected price of a target without a published one follows; None if it is not known."""
    estimate: str | None = _price_rule(target.name).get("estimate")
    return estimate


def _price_rule(name: str) -> Mapping[str, Any]:
    rule: Mapping[str, Any] | None = _table()["targets"].get(name)
    if rule is None:
        unit = next(unit for pattern, unit in _table()["units"] if fnmatch.fnmatchcase(name, pattern))
        return {"rule": "unknown", "unit": unit}
    return rule


@cache
def _table() -> Any:
    return load_table("prices")


def prices_dated() -> str:
    """Return the day of the table of prices."""
    return str(load_table("prices")["dated"])
