"""Cost of a job: the usage of its program, and the bill that its target's price makes of it.

The formulas and their sources are in `prices.json`. They are written twice on purpose, here and for the client in
`hybridloop.budget`, so that each is tested against the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybridloop.emulator.model.program import MEASURE, RESET, Instruction, Program


@dataclass(frozen=True, slots=True)
class Usage:
    """Billable usage of a job: gates, preparations, measurements and resets of one shot, and the number of shots.

    A gate on N > 2 qubits counts as 6·(N-2) two-qubit gates.
    """

    one_qubit: int
    two_qubit: int
    preparations: int
    measurements: int
    resets: int
    shots: int


def count_usage(program: Program, shots: int) -> Usage:
    """Count the usage of a program; its operations count as they are, without compilation."""
    return count_instructions(program.instructions, program.declared_qubits, shots)


def count_instructions(instructions: Iterable[Instruction], preparations: int, shots: int) -> Usage:
    """Count the usage of instructions on so many prepared qubits."""
    one_qubit = two_qubit = measurements = resets = 0
    for operation in instructions:
        width = len(operation.qubits)
        if operation.name == MEASURE:
            measurements += 1
        elif operation.name == RESET:
            resets += 1
        elif width == 1:
            one_qubit += 1
        elif width > 1:
            two_qubit += 1 if width == 2 else 6 * (width - 2)
    return Usage(one_qubit, two_qubit, preparations, measurements, resets, shots)


@dataclass(frozen=True, slots=True)
class Price:
    """A target's price: a rule with its parameters `numbers`, and the unit of the amount.

    `dimensions` has the lines of a bill: (id, name, unit of measure).
    """

    rule: str
    unit: str
    dimensions: Sequence[Sequence[str]]
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        required = RULE_PARAMETERS.get(self.rule)
        if required is None or set(self.numbers) != required:
            raise ValueError(f"a price by the rule {self.rule!r} can't have the numbers {sorted(self.numbers)}")


@dataclass(frozen=True, slots=True)
class JobBill:
    """A job's cost `amount` in `unit`; each line is (id, name, unit of measure, quantity, unit price in USD)."""

    amount: float
    unit: str
    lines: tuple[tuple[str, str, str, float, float], ...]

    def to_json(self) -> str:
        return json.dumps([self.amount, self.unit, self.lines])

    @classmethod
    def from_json(cls, text: str) -> JobBill:
        amount, unit, lines = json.loads(text)
        return cls(amount, unit, tuple(tuple(line) for line in lines))

    def cost_estimate(self) -> dict[str, Any]:
        """Return the service's `costEstimate`; its total has only the quantities with a price in dollars."""
        events = [
            {
                "dimensionId": dimension,
                "dimensionName": name,
                "measureUnit": unit,
                "amountBilled": quantity,
                "amountConsumed": quantity,
                "unitPrice": unit_price,
            }
            for dimension, name, unit, quantity, unit_price in self.lines
        ]
        total = math.fsum(quantity * unit_price for *_, quantity, unit_price in self.lines)
        return {"currencyCode": "USD", "events": events, "estimatedTotal": round(total, 6)}


FREE, GATE_SHOTS, CREDITS, TIME = "free", "gate shots", "credits", "time"
RULE_PARAMETERS: dict[str, set[str]] = {
    FREE: set(),
    GATE_SHOTS: {"one_qubit", "two_qubit", "minimum", "minimum_mitigated"},
    CREDITS: {"base", "one_qubit", "two_qubit", "other", "divisor"},
    TIME: {"step", "step_s", "shot_s"},
}


def compute_bill(price: Price, usage: Usage, params: Mapping[str, Any]) -> JobBill:
    """Compute the bill of a job that succeeded; `params` are its inputParams."""
    amount, quantities = 0.0, [(0.0, 0.0)] * len(price.dimensions)
    if price.rule == GATE_SHOTS:
        quantities = _gate_shots(price.numbers, usage, params)
        amount = round(math.fsum(quantity * unit_price for quantity, unit_price in quantities), 6)
    elif price.rule == CREDITS:
        amount = _credits(price.numbers, usage)
        quantities = [(amount, 0.0)]
    elif price.rule == TIME:
        # the tolerance prevents that rounding adds a step to a whole number of steps
        steps = max(1, math.ceil(usage.shots * price.numbers["shot_s"] / price.numbers["step_s"] - 1e-9))
        amount = round(steps * price.numbers["step"], 6)
        quantities = [(float(steps), price.numbers["step"])]
    lines = [
        (str(dimension), str(name), str(unit), quantity, unit_price)
        for (dimension, name, unit), (quantity, unit_price) in zip(price.dimensions, quantities, strict=True)
    ]
    return JobBill(amount, price.unit, tuple(lines))


def _gate_shots(numbers: Mapping[str, float], usage: Usage, params: Mapping[str, Any]) -> list[tuple[float, float]]:
    minimum = numbers["minimum_mitigated" if _is_mitigated(params) else "minimum"]
    return [
        (float(usage.one_qubit * usage.shots), numbers["one_qubit"]),
        (float(usage.two_qubit * usage.shots), numbers["two_qubit"]),
        (1.0, minimum),
    ]


def _is_mitigated(params: Mapping[str, Any]) -> bool:
    """Return True unless the job turns debiasing off: error mitigation is on by default."""
    mitigation = params.get("error-mitigation")
    return not (isinstance(mitigation, Mapping) and mitigation.get("debias") is False)


def _credits(numbers: Mapping[str, float], usage: Usage) -> float:
    other = usage.preparations + usage.measurements + usage.resets
    gates = numbers["one_qubit"] * usage.one_qubit + numbers["two_qubit"] * usage.two_qubit
    weighted = gates + numbers["other"] * other
    return round(numbers["base"] + usage.shots * weighted / numbers["divisor"], 2)
