"""How much of one state is in another: |⟨ψ(a)|ψ(b)⟩|², from circuits that go there and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.lost import Fail, LostPoints, as_told
from hybridloop.algorithms.measurement import MeasurementGroup
from hybridloop.algorithms.optimizer import AsksOverlaps, Optimizer
from hybridloop.algorithms.rounds import Counts, Lost, Measured


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """Measures overlaps of an ansatz's states: U(a), then the inverse of U(b), and the share of zeros (V. Havlíček et
    al., Nature 567 (2019) 209). The circuit has both points' angles, a's first.
    """

    circuit: QuantumCircuit

    @property
    def angles(self) -> int:
        """Of one point."""
        return int(self.circuit.num_parameters) // 2

    @classmethod
    def of(cls, ansatz: Ansatz) -> Self:
        """For the states of an ansatz."""
        there, back = (ParameterVector(name, ansatz.num_parameters) for name in ("a", "b"))
        returned = ansatz.circuit.assign_parameters(list(back)).inverse()
        return cls(_measured(ansatz.circuit.assign_parameters(list(there)).compose(returned)))

    def pubs(self, pairs: NDArray[np.float64], shots: int) -> list[SamplerPub]:
        """What a round has to measure for pairs (m, 2, n); nothing for none."""
        if not len(pairs):
            return []
        return [SamplerPub.coerce((self.circuit, pairs.reshape(len(pairs), -1), shots))]

    def read(self, answers: Sequence[Measured]) -> tuple[NDArray[np.float64], list[Estimate | Lost]]:
        """The pairs as they were measured and an overlap for each, from the answers to `pubs`."""
        pairs = [each.points.reshape(-1, 2, self.angles) for each in answers]
        shares: list[Estimate | Lost] = [
            each if isinstance(each, Lost) else share_of_zeros(each) for one in answers for each in one
        ]
        return np.concatenate([np.zeros((0, 2, self.angles)), *pairs]), shares


def asked_overlaps(optimizer: Optimizer, angles: int) -> NDArray[np.float64]:
    """The pairs (m, 2, n) that the optimizer asks for; none where it is not one that does."""
    return optimizer.ask_overlaps() if isinstance(optimizer, AsksOverlaps) else np.zeros((0, 2, angles))


def tell_overlaps(
    optimizer: Optimizer, pairs: NDArray[np.float64], overlaps: Sequence[Estimate | Lost], on_lost: LostPoints
) -> None:
    """Hand the overlaps to the optimizer that asked. Raises JobFailed where a lost one ends the search.

    A penalty is an energy, not an overlap: where points are penalized, lost overlaps are told as lost.
    """
    if isinstance(optimizer, AsksOverlaps) and len(pairs):
        optimizer.tell_overlaps(pairs, as_told(overlaps, on_lost) if isinstance(on_lost, Fail) else overlaps)


def overlap_with(circuit: QuantumCircuit, parameters: Sequence[float]) -> QuantumCircuit:
    """The same with one point fixed: U(θ), then the inverse of U at these angles, then all qubits measured."""
    return _measured(circuit.compose(circuit.assign_parameters(list(parameters)).inverse()))


def _measured(circuit: QuantumCircuit) -> QuantumCircuit:
    return MeasurementGroup("Z" * circuit.num_qubits, (), np.zeros(0)).measured(circuit)


def share_of_zeros(counts: Counts) -> Estimate:
    """The share p of shots that are all zeros; its variance with one imagined shot of each kind, never quite 0."""
    zeros = int(counts.counts[~counts.outcomes.any(axis=1)].sum())
    share, smooth = zeros / counts.shots, (zeros + 1) / (counts.shots + 2)
    variance = 0.0 if counts.exact else smooth * (1.0 - smooth) / counts.shots
    return Estimate(share, variance, counts.shots, counts.exact, 1.0 / counts.shots if counts.exact else 0.0)
