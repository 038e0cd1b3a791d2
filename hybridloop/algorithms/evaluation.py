"""Measures an observable on an ansatz: points in, tallies out, one round a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.estimation import Estimate, Tally, combine, tally
from hybridloop.algorithms.measurement import MeasurementGroup, Observable
from hybridloop.algorithms.rounds import Counts, Lost, Measured, RunRound, Unreadable
from hybridloop.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """An observable, the measured circuit of each of its groups, and who runs them.

    `read` makes a tally of a group's counts, or says why it can't, `combined` an estimate of a tally for each; error
    mitigation brings its own.
    """

    observable: Observable
    circuits: tuple[QuantumCircuit, ...]
    run_round: RunRound
    read: Callable[[MeasurementGroup, Counts], Tally | Unreadable] = tally
    combined: Callable[[Observable, Sequence[Tally]], Estimate] = combine

    def energies(self, points: NDArray[np.float64], shots: int) -> tuple[NDArray[np.float64], list[Estimate | Lost]]:
        """The points (k, n) as they were measured and an estimate for each; one round, all groups with these shots."""
        measured, estimates, _ = self.energies_beside(points, shots, [])
        return measured, estimates

    def energies_beside(
        self, points: NDArray[np.float64], shots: int, others: Sequence[SamplerPub]
    ) -> tuple[NDArray[np.float64], list[Estimate | Lost], list[Measured]]:
        """The same, and the answers to other PUBs that share the round."""
        answers, further = self._run(points, [shots] * len(self.circuits), others)
        rows = [self._tallied(index, answer) for index, answer in answers]
        measured = answers[0][1].points if answers else points
        return measured, [self._estimate([row[point] for row in rows]) for point in range(len(points))], further

    def tallies(self, points: NDArray[np.float64], shots: Sequence[int]) -> list[list[Tally | Lost]]:
        """For each group that gets shots, in order: one tally for each of the points (k, n); one round in all."""
        return [self._tallied(index, answer) for index, answer in self._run(points, shots, [])[0]]

    def _run(
        self, points: NDArray[np.float64], shots: Sequence[int], others: Sequence[SamplerPub]
    ) -> tuple[list[tuple[int, Measured]], list[Measured]]:
        asked = [index for index, each in enumerate(shots) if each > 0]
        pubs = [SamplerPub.coerce((self.circuits[index], points, shots[index])) for index in asked]
        answers = self.run_round([*pubs, *others]) if pubs or others else []
        return list(zip(asked, answers[: len(asked)], strict=True)), answers[len(asked) :]

    def _tallied(self, index: int, answer: Measured) -> list[Tally | Lost]:
        group = self.observable.groups[index]
        return [each if isinstance(each, Lost) else self.read(group, each) for each in answer]

    def _estimate(self, column: Sequence[Tally | Lost]) -> Estimate | Lost:
        tallies: list[Tally] = []
        for each in column:
            if isinstance(each, Lost):
                return each
            tallies.append(each)
        return self.combined(self.observable, tallies)


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
