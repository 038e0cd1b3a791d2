"""Which way a program is simulated, and what memory that takes: decided before anything is allocated."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from hybridloop.emulator.program import MEASURE, RESET, Operation, measures_only_at_the_end

MOST_BITS_AS_DISTRIBUTION = 20  # above, shots are drawn by the simulation instead of from 2^n written chances
MOST_QUBITS_AS_DENSITY_MATRIX = 8  # 50 ms for 100 gates; shot by shot is quicker above
CLIFFORD_FROM = 21  # qubits; below, a state vector is as quick and gives its chances at once

CLIFFORD_GATES = frozenset("x y z h s sdg sx sxdg id cx cy cz swap barrier".split())
ROTATIONS = frozenset(("rx", "ry", "rz"))  # Clifford at multiples of a quarter turn


class Method(enum.StrEnum):
    """Aer's simulation methods that are used here, by its names."""

    STATEVECTOR = "statevector"
    DENSITY_MATRIX = "density_matrix"
    STABILIZER = "stabilizer"


@dataclass(frozen=True, slots=True)
class Plan:
    """How to run a program: its operations, used qubits numbered without gaps, results in measured order.

    `as_distribution` says that all chances are computed and shots drawn from them; else each shot is run.
    """

    method: Method
    as_distribution: bool
    operations: tuple[Operation, ...]
    qubits: dict[int, int]
    results: tuple[int, ...]

    @property
    def needed_bytes(self) -> int:
        """16 bytes an amplitude, 40 for each written chance."""
        if self.method is Method.STABILIZER:
            return len(self.qubits) ** 2
        width = len(self.qubits) * (2 if self.method is Method.DENSITY_MATRIX else 1)
        return (16 << width) + (40 << len(self.results) if self.as_distribution else 0)


def plan_of(operations: Sequence[Operation], *, exact: bool, noisy: bool) -> Plan:
    """The plan for these operations; `exact` asks for the distribution itself, `noisy` for one under noise."""
    kept = tuple(operations)
    qubits = {q: i for i, q in enumerate(sorted({q for operation in kept for q in operation.qubits}))}
    results = tuple(o.result for o in kept if o.name == MEASURE and o.result is not None)
    at_the_end = measures_only_at_the_end(kept)
    is_clifford = all(_is_clifford(operation) for operation in kept)
    if noisy:
        small = at_the_end and len(qubits) <= MOST_QUBITS_AS_DENSITY_MATRIX
        method = Method.DENSITY_MATRIX if small else Method.STABILIZER if is_clifford else Method.STATEVECTOR
        return Plan(method, small, kept, qubits, results)
    if is_clifford and len(qubits) >= CLIFFORD_FROM:
        return Plan(Method.STABILIZER, exact and at_the_end, kept, qubits, results)
    as_distribution = at_the_end and (exact or len(results) <= MOST_BITS_AS_DISTRIBUTION)
    return Plan(Method.STATEVECTOR, as_distribution, kept, qubits, results)


def _is_clifford(operation: Operation) -> bool:
    if operation.name in ROTATIONS:
        quarters = operation.angles[0] / (math.pi / 2)
        return abs(quarters - round(quarters)) < 1e-12
    return operation.name in CLIFFORD_GATES or operation.name in (MEASURE, RESET)
