"""Measures an observable on an ansatz: points in, tallies out, one round a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.estimation import Estimate, Tally, combine, tally
from hybridloop.algorithms.measurement import Observable
from hybridloop.algorithms.rounds import Lost, RunRound
from hybridloop.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """An observable, the measured circuit of each of its groups, and who runs them."""

    observable: Observable
    circuits: tuple[QuantumCircuit, ...]
    run_round: RunRound

    def energies(self, points: NDArray[np.float64], shots: int) -> list[Estimate | Lost]:
        """An estimate for each of the points (k, n), every group measured with the same shots, in one round."""
        rows = self.tallies(points, [shots] * len(self.circuits))
        columns = [[row[point] for row in rows] for point in range(len(points))]
        return [self._estimate(column) for column in columns]

    def tallies(self, points: NDArray[np.float64], shots: Sequence[int]) -> list[list[Tally | Lost]]:
        """For each group that gets shots, in order: one tally for each of the points (k, n); one round in all."""
        asked = [index for index, each in enumerate(shots) if each > 0]
        pubs = [SamplerPub.coerce((self.circuits[index], points, shots[index])) for index in asked]
        answers = self.run_round(pubs) if pubs else []
        return [
            [each if isinstance(each, Lost) else tally(self.observable.groups[index], each) for each in answer]
            for index, answer in zip(asked, answers, strict=True)
        ]

    def _estimate(self, column: Sequence[Tally | Lost]) -> Estimate | Lost:
        tallies: list[Tally] = []
        for each in column:
            if isinstance(each, Lost):
                return each
            tallies.append(each)
        return combine(self.observable, tallies)


def evaluation(observable: Observable, ansatz: Ansatz, run_round: RunRound) -> Evaluation:
    """Build each group's circuit, once for all rounds."""
    if ansatz.circuit.num_qubits != observable.num_qubits:
        problem = f"its circuit has {ansatz.circuit.num_qubits} qubit(s), the problem {observable.num_qubits}"
        raise InputError("ansatz", problem, "Build the ansatz for this problem and mapping.")
    if ansatz.circuit.num_clbits:
        problem = f"its circuit has {ansatz.circuit.num_clbits} classical bit(s)"
        raise InputError("ansatz", problem, "Leave measuring to the search: give a circuit without classical bits.")
    circuits = tuple(group.measured(ansatz.circuit) for group in observable.groups)
    return Evaluation(observable, circuits, run_round)
