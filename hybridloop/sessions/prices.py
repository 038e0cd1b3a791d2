"""What a job will cost: what is expected and what it can't exceed, from its gates, its shots and the target's price.

The local service has formulas of its own for its bills, written apart from these: one is the other's witness.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from hybridloop.data import load
from hybridloop.sessions.targets import Target

Unit = Literal["USD", "EUR", "HQC", "eHQC"]
UNITS: tuple[Unit, ...] = get_args(Unit)

_CALL = re.compile(r"call void @__quantum__qis__(\w+?)__\w+\((.*)\)")
_DECLARED = re.compile(r'"required_num_qubits"="(\d+)"')
_QUBIT = re.compile(r"i64 (\d+) to %Qubit\*")
_MEASUREMENTS = {"m": 0, "mz": 0, "mresetz": 1}  # name -> resets that come with it
_CENT = 0.01
_SLACK = 1e-9  # of a step: a whole number of steps must not become one more by rounding


@dataclass(frozen=True, slots=True)
class GateCounts:
    """What one shot of a program asks of a machine; each qubit it declares is prepared once.

    A gate on N > 2 qubits counts as 6 (N - 2) two-qubit gates, as IonQ bills it.
    """

    qubits: int
    one_qubit: int
    two_qubit: int
    measurements: int
    resets: int = 0


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


def gate_counts(qir: str) -> GateCounts:
    """Count the instructions of QIR text; they do not depend on its angles, so once a template is enough.

    Both ways of a branch count: the profiles that targets take have no loops, so no more can be executed. Resets
    count wherever they stand, though some may be left out by the service.
    """
    one_qubit = two_qubit = measurements = resets = 0
    for name, operands in _CALL.findall(qir):
        if name in _MEASUREMENTS:
            measurements += 1
            resets += _MEASUREMENTS[name]
        elif name == "reset":
            resets += 1
        else:
            width = operands.count(",") + 1 - operands.count("double ") if operands else 0
            one_qubit += width == 1
            two_qubit += 1 if width == 2 else 6 * max(0, width - 2)
    declared = _DECLARED.search(qir)
    qubits = int(declared[1]) if declared else 1 + max(map(int, _QUBIT.findall(qir)), default=-1)
    return GateCounts(qubits, one_qubit, two_qubit, measurements, resets)


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
