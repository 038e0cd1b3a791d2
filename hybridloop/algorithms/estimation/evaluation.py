"""Evaluation of an observable on an ansatz: one call measures all points in one round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Estimate, GroupStatistics, combine, group_statistics
from hybridloop.algorithms.estimation.observable import MeasurementGroup, Observable
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub, RunRound, UnusablePoint
from hybridloop.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """An observable, the measured circuit of each of its groups, and the `RunRound` that runs them.

    `reduce_counts` turns a group's counts into statistics, or says why they cannot be used. `combine_groups` makes the
    estimate of the constant and the statistics of all groups. Error mitigation replaces both.
    """

    observable: Observable
    circuits: tuple[QuantumCircuit, ...]
    run_round: RunRound
    reduce_counts: Callable[[MeasurementGroup, Counts], GroupStatistics | UnusablePoint] = group_statistics
    combine_groups: Callable[[float, Sequence[GroupStatistics]], Estimate] = combine

    def energies(
        self, points: NDArray[np.float64], shots: int
    ) -> tuple[NDArray[np.float64], list[Estimate | FailedPoint]]:
        """Measure points (k, n) in one round, each group with these shots; return the points and their estimates."""
        measured, estimates, _ = self.energies_with_pubs(points, shots, [])
        return measured, estimates

    def energies_with_pubs(
        self, points: NDArray[np.float64], shots: int, others: Sequence[SamplerPub]
    ) -> tuple[NDArray[np.float64], list[Estimate | FailedPoint], list[MeasuredPub]]:
        """Measure points as `energies` does, with other PUBs in the same round, whose results are returned last."""
        results, other_results = self._run(points, [shots] * len(self.circuits), others)
        rows = [self._reduce(index, result) for index, result in results]
        measured = results[0][1].points if results else points
        return measured, [self._estimate([row[point] for row in rows]) for point in range(len(points))], other_results

    def measure_groups(
        self, points: NDArray[np.float64], shots: Sequence[int]
    ) -> list[list[GroupStatistics | FailedPoint]]:
        """Measure each group that gets shots, in one round; return for each the statistics of all points (k, n)."""
        return [self._reduce(index, result) for index, result in self._run(points, shots, [])[0]]

    def _run(
        self, points: NDArray[np.float64], shots: Sequence[int], others: Sequence[SamplerPub]
    ) -> tuple[list[tuple[int, MeasuredPub]], list[MeasuredPub]]:
        groups = [index for index, group_shots in enumerate(shots) if group_shots > 0]
        pubs = [SamplerPub.coerce((self.circuits[index], points, shots[index])) for index in groups]
        results = self.run_round([*pubs, *others]) if pubs or others else []
        return list(zip(groups, results[: len(groups)], strict=True)), results[len(groups) :]

    def _reduce(self, index: int, result: MeasuredPub) -> list[GroupStatistics | FailedPoint]:
        group = self.observable.groups[index]
        return [counts if isinstance(counts, FailedPoint) else self.reduce_counts(group, counts) for counts in result]

    def _estimate(self, column: Sequence[GroupStatistics | FailedPoint]) -> Estimate | FailedPoint:
        statistics: list[GroupStatistics] = []
        for entry in column:
            if isinstance(entry, FailedPoint):
                return entry
            statistics.append(entry)
        return self.combine_groups(self.observable.constant, statistics)


def evaluation(observable: Observable, ansatz: Ansatz, run_round: RunRound) -> Evaluation:
    """Build the evaluation of an observable on an ansatz, with each group's circuit made once for all rounds.

    Raises InputError for an ansatz with another number of qubits, or with classical bits.
    """
    if ansatz.circuit.num_qubits != observable.num_qubits:
        problem = f"its circuit has {ansatz.circuit.num_qubits} qubit(s), the problem has {observable.num_qubits}"
        raise InputError("ansatz", problem, "Build the ansatz for this problem and mapping.")
    if ansatz.circuit.num_clbits:
        problem = f"its circuit has {ansatz.circuit.num_clbits} classical bit(s)"
        raise InputError(
            "ansatz", problem, "Give a circuit without classical bits: the algorithm adds the measurements."
        )
    circuits = tuple(group.measurement_circuit(ansatz.circuit) for group in observable.groups)
    return Evaluation(observable, circuits, run_round)
