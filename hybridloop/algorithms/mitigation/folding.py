"""Folded and twirled circuits: gates whose noise is amplified, between random Paulis that make it stochastic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Qubit

from hybridloop.algorithms.circuits.basis import keep_gates, to_basis, two_qubit_gates
from hybridloop.algorithms.estimation.estimates import Evaluation, GroupStatistics
from hybridloop.algorithms.estimation.observable import Observable
from hybridloop.errors import InputError

TWIRLS = 4  # circuits of a group: no more jobs than the shots need, at 10,000 a job and the default precision


def factors_in_order(count: int) -> list[int]:
    """Return the place of the scale factor, of so many, of each copy of a group, in the order they are measured in.

    Each of the `TWIRLS` variants of the Paulis has all factors, up and down in turn: a machine that drifts changes all
    of them alike.
    """
    ascending = list(range(count))
    return [place for variant in range(TWIRLS) for place in (ascending[::-1] if variant % 2 else ascending)]


@dataclass(frozen=True, slots=True, eq=False)
class FoldedEvaluation(Evaluation):
    """An evaluation of copies of groups; `factors` has the place of the scale factor of each copy."""

    factors: tuple[int, ...] = ()

    def gates(self, count: int) -> tuple[float, ...]:
        """Return the gates on two qubits of a circuit, on average for each of so many scale factors."""
        pairs = list(zip(self.circuits, self.factors, strict=False))
        return tuple(fmean(two_qubit_gates(circuit) for circuit, at in pairs if at == k) for k in range(count))


def fold(evaluation: Evaluation, scales: Sequence[int], weights: Sequence[float]) -> FoldedEvaluation:
    """Return an evaluation of the weighted mean over scale factors, each group with `TWIRLS` circuits at each of them.

    These differ in their random Paulis, always the same. Factor 1 alone is a twirl.
    """
    generator = np.random.default_rng(0)
    bare = len(evaluation.observable.groups)
    sources = [to_basis(circuit) for circuit in evaluation.circuits[:bare]]
    paulis = [draw_paulis(source, generator) for source in sources]
    groups, circuits, order = [], [], factors_in_order(len(scales))
    for copy, place in enumerate(order):
        for group in evaluation.observable.groups:
            groups.append(replace(group, coefficients=weights[place] / TWIRLS * group.coefficients))
        drawn = zip(sources, paulis, strict=True)
        circuits += [fold_gates(source, scales[place], of, copy // len(scales)) for source, of in drawn]
    factors = tuple(place for place in order for _ in range(bare))

    def weigh(statistics: Sequence[GroupStatistics]) -> list[GroupStatistics]:
        return _with_shared_scatter(evaluation.weigh(statistics), factors, bare)

    return FoldedEvaluation(
        Observable(evaluation.observable.operator, evaluation.observable.constant, tuple(groups)),
        (*circuits, *evaluation.circuits[bare:]),
        evaluation.run_round,
        evaluation.reduce_counts,
        evaluation.combine_groups,
        weigh,
        evaluation.calibration,
        factors,
    )


def _with_shared_scatter(
    statistics: Sequence[GroupStatistics], factors: Sequence[int], bare: int
) -> list[GroupStatistics]:
    """Return statistics in which copies of a group at a factor have the same scatter, which few shots show badly."""
    shared = list(statistics)
    for number in range(bare):
        for place in set(factors):
            copies = [k for k in range(number, len(factors), bare) if factors[k] == place]
            if any(statistics[k].is_exact for k in copies):
                continue
            squares = math.fsum(statistics[k].squared_deviations for k in copies)
            kept = sum(statistics[k].kept for k in copies)
            for k in copies:
                shared[k] = replace(statistics[k], squared_deviations=squares * statistics[k].kept / kept)
    return shared


def draw_paulis(circuit: QuantumCircuit, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Draw the Paulis before each two-qubit gate of a circuit in the basis: x and z by variant, gate and qubit."""
    shape = (TWIRLS, two_qubit_gates(circuit), 2, 2)
    return generator.integers(0, 2, shape).astype(bool)


def fold_gates(circuit: QuantumCircuit, scale: int, paulis: NDArray[np.bool_], variant: int) -> QuantumCircuit:
    """Fold each gate of a circuit in the basis, G to G (G† G)^k with scale = 2k + 1, and twirl two-qubit gates.

    The folded circuit keeps its gates. Folding by gate amplifies noise, but not coherent errors in proportion to the
    angles, which a fold U U† U undoes. Twirling by random Paulis, which cancel around each gate, makes coherent errors
    stochastic (J. J. Wallman and J. Emerson, Phys. Rev. A 94 (2016) 052325). Copy c of a gate has the Paulis that were
    drawn for variant v + c: so each circuit has different ones at each copy, and over all variants each scale has
    exactly the scale's number of every Pauli, whose own noise then grows by the scale too.
    """
    folded = circuit.copy_empty_like(name=f"{circuit.name}-scale-{scale}")
    number = 0
    for item in circuit.data:
        if not isinstance(item.operation, Gate):
            folded.append(item)
            continue
        for copy in range(scale):
            gate = item.operation.inverse() if copy % 2 else item.operation
            before = after = np.zeros((0, 2), bool)
            if len(item.qubits) == 2:
                before = paulis[(variant + copy) % len(paulis), number]
                gate, after = _twirled(gate, before)
            _append_paulis(folded, item.qubits, before)
            folded.append(gate, item.qubits)
            _append_paulis(folded, item.qubits, after)
        number += len(item.qubits) == 2
    return keep_gates(folded)


def _append_paulis(circuit: QuantumCircuit, qubits: Sequence[Qubit], paulis: NDArray[np.bool_]) -> None:
    for qubit, (x, z) in zip(qubits, paulis.tolist(), strict=False):
        if x or z:
            getattr(circuit, "y" if x and z else "x" if x else "z")(qubit)


def _twirled(gate: Gate, before: NDArray[np.bool_]) -> tuple[Gate, NDArray[np.bool_]]:
    """Return a gate and the Paulis after it that equal the gate with those before it, (2, 2) of x and z by qubit."""
    (x0, z0), (x1, z1) = before.tolist()
    match gate.name:
        case "cx":
            return gate, np.array([[x0, z0 ^ z1], [x1 ^ x0, z1]])
        case "cz":
            return gate, np.array([[x0, z0 ^ x1], [x1, z1 ^ x0]])
        case "swap":
            return gate, before[::-1]
        case "rxx" | "ryy" | "rzz":  # Paulis that anticommute with the generator turn the angle's sign
            turned = {"rxx": z0 ^ z1, "rzz": x0 ^ x1, "ryy": x0 ^ z0 ^ x1 ^ z1}[gate.name]
            return gate.inverse() if turned else gate, before
    raise InputError("mitigation", f"the gate {gate.name} can't be folded or twirled", "Leave zne and twirl out.")
