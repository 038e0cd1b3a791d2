"""State overlaps (fidelities) |⟨ψ(a)|ψ(b)⟩|², measured by compute-uncompute circuits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.observable import MeasurementGroup
from hybridloop.algorithms.optimizers.base import Optimizer, OverlapOptimizer
from hybridloop.algorithms.optimizers.missing_points import Fail, MissingPointPolicy, apply_missing_point_policy
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub


@dataclass(frozen=True, slots=True, eq=False)
class OverlapMeasurement:
    """Compute-uncompute measurement of overlaps of an ansatz's states (V. Havlíček et al., Nature 567 (2019) 209).

    The circuit is U(a), then the inverse of U(b), then a measurement of all qubits; the overlap is the probability of
    all zeros. The circuit's parameters are both points' angles, a's first.
    """

    circuit: QuantumCircuit

    @property
    def num_parameters(self) -> int:
        """Number of angles of one point."""
        return int(self.circuit.num_parameters) // 2

    @classmethod
    def of(cls, ansatz: Ansatz) -> Self:
        """Create the measurement for the states of an ansatz."""
        a, b = (ParameterVector(name, ansatz.num_parameters) for name in ("a", "b"))
        uncompute = ansatz.circuit.assign_parameters(list(b)).inverse()
        return cls(_measure_all(ansatz.circuit.assign_parameters(list(a)).compose(uncompute)))

    def pubs(self, pairs: NDArray[np.float64], shots: int) -> list[SamplerPub]:
        """PUBs that measure the overlaps of pairs (m, 2, n); none for m = 0."""
        if not len(pairs):
            return []
        return [SamplerPub.coerce((self.circuit, pairs.reshape(len(pairs), -1), shots))]

    def read(self, results: Sequence[MeasuredPub]) -> tuple[NDArray[np.float64], list[Estimate | FailedPoint]]:
        """Return the pairs as they were measured and an overlap for each, from the results of `pubs`."""
        pairs = [result.points.reshape(-1, 2, self.num_parameters) for result in results]
        overlaps: list[Estimate | FailedPoint] = [
            counts if isinstance(counts, FailedPoint) else all_zeros_fraction(counts)
            for result in results
            for counts in result
        ]
        return np.concatenate([np.zeros((0, 2, self.num_parameters)), *pairs]), overlaps


def overlap_pairs(optimizer: Optimizer, num_parameters: int) -> NDArray[np.float64]:
    """Pairs (m, 2, n) whose overlaps the optimizer asks for; m = 0 for an optimizer without overlaps."""
    return optimizer.ask_overlaps() if isinstance(optimizer, OverlapOptimizer) else np.zeros((0, 2, num_parameters))


def tell_overlaps(
    optimizer: Optimizer,
    pairs: NDArray[np.float64],
    overlaps: Sequence[Estimate | FailedPoint],
    on_lost: MissingPointPolicy,
) -> None:
    """Tell the optimizer the overlaps, if it asked for any. Raises JobFailed for a failed one under `Fail`.

    A penalty is an energy, not an overlap: under `Penalize`, failed overlaps are told as failed.
    """
    if isinstance(optimizer, OverlapOptimizer) and len(pairs):
        optimizer.tell_overlaps(
            pairs, apply_missing_point_policy(overlaps, on_lost) if isinstance(on_lost, Fail) else overlaps
        )


def overlap_circuit(circuit: QuantumCircuit, parameters: Sequence[float]) -> QuantumCircuit:
    """Build the compute-uncompute circuit with one point fixed: U(θ), the inverse of U(parameters), measurement."""
    return _measure_all(circuit.compose(circuit.assign_parameters(list(parameters)).inverse()))


def _measure_all(circuit: QuantumCircuit) -> QuantumCircuit:
    return MeasurementGroup("Z" * circuit.num_qubits, (), np.zeros(0)).measurement_circuit(circuit)


def all_zeros_fraction(counts: Counts) -> Estimate:
    """Estimate the probability of all zeros from counts.

    The variance uses Laplace's estimate (zeros + 1) / (shots + 2) of the probability, so that it is never 0.
    """
    zeros = int(counts.counts[~counts.outcomes.any(axis=1)].sum())
    fraction, smoothed = zeros / counts.shots, (zeros + 1) / (counts.shots + 2)
    variance = 0.0 if counts.exact else smoothed * (1.0 - smoothed) / counts.shots
    return Estimate(fraction, variance, counts.shots, counts.exact, 1.0 / counts.shots if counts.exact else 0.0)
