"""What a job will cost: what is expected and what it can't exceed, from its gates, its shots and the target's price.

The local service has formulas of its own for its bills, written apart from these: one is the other's witness.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from hybridloop.data import load
from hybridloop.sessions.gates import GateCounts
from hybridloop.sessions.targets import Target

Unit = Literal["USD", "HQC", "eHQC"]  # all that some target is priced in: what can be set aside, and so be capped
UNITS: tuple[Unit, ...] = get_args(Unit)

_CENT = 0.01
_SLACK = 1e-9  # of a step: a whole number of steps must not become one more by rounding


@dataclass(frozen=True, slots=True)
class Price:
    """A price in `unit`: what is expected, and what it can't exceed (None: nobody can say)."""

    unit: Unit
    expected: float
    upper: float | None

    @property
    def bound(self) -> dict[str, float] | None:
        """The upper bound by unit."""
        return None if self.upper is None else {self.unit: self.upper}


_PING = GateCounts(qubits=1, one_qubit=1, two_qubit=0, measurements=1)


def price_of_job(target: Target, counts: GateCounts, shots: int, *, debias: bool = True) -> Price:
    """The price of one job with so many shots; `debias` is IonQ's error mitigation, which is on by default there."""
    numbers = _price(target.name)
    unit: Unit = numbers["unit"]
    match numbers["rule"]:
        case "free":
            return Price(unit, 0.0, 0.0)
        case "gate shots":
            gates = numbers["one_qubit"] * counts.one_qubit + numbers["two_qubit"] * counts.two_qubit
            amount = numbers["debiased" if debias else "plain"] + gates * shots
            return Price(unit, amount, amount)
        case "credits":
            return _credits(unit, numbers, counts, shots)
        case "time":
            steps = math.ceil(shots * numbers["seconds_per_shot"] / numbers["step_seconds"] - _SLACK)
            return Price(unit, max(1, steps) * numbers["step"], None)
        case rule:
            raise ValueError(f"the price of {target.name} has a rule that is not known: {rule!r}")


def expected_of(target: Target, reserved: Mapping[str, float], shots: int) -> Mapping[str, float]:
    """What a job of so many shots was expected to cost, by unit, of which only is known what was set aside for it.

    A price by time goes by the shots alone; any other is expected within a cent of what was set aside.
    """
    if _price(target.name)["rule"] != "time":
        return reserved
    price = price_of_job(target, _PING, shots)
    return {price.unit: price.expected}


def ping_price(target: Target) -> Price:
    """The price of a job that only keeps a session alive: one gate and one measurement, one shot, no mitigation."""
    return price_of_job(target, _PING, 1, debias=False)


def unit_of(target: Target) -> Unit:
    """What the target's jobs are billed in."""
    unit: Unit = _price(target.name)["unit"]
    return unit


def _credits(unit: Unit, numbers: Mapping[str, Any], counts: GateCounts, shots: int) -> Price:
    """Quantinuum's credits. Charges have two decimals; which way they are rounded is not known, so the bound is up."""
    others = counts.qubits + counts.measurements + counts.resets
    weight = (
        numbers["one_qubit"] * counts.one_qubit + numbers["two_qubit"] * counts.two_qubit + numbers["other"] * others
    )
    amount = numbers["base"] + shots * weight / numbers["shots"]
    return Price(unit, round(amount, 2), round(math.ceil(amount / _CENT - _SLACK) * _CENT, 2))


def _price(name: str) -> Mapping[str, Any]:
    price: Mapping[str, Any] = _table()["targets"][name]
    return price


@cache
def _table() -> Any:
    return load("prices")
