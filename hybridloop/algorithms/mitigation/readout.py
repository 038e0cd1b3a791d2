"""Readout errors, qubit by qubit: measured once, then inverted in every expectation value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import Counts, Lost, RunRound
from hybridloop.errors import InputError, JobFailed

CALIBRATION_SHOTS = 20_000  # for each of the two circuits: a tenth or so of what a final measurement takes
CALIBRATION_JOBS = 2
LEAST_CONTRAST = 0.05  # of 1 − p(1|0) − p(0|1): the inverse stretches shot noise by its reciprocal, for each qubit


@dataclass(frozen=True, slots=True, eq=False)
class ReadoutErrors:
    """What each qubit is misread by: p(read 1 | is 0) and p(read 0 | is 1), both (qubits,), independent of the others.

    `shots` is what each was estimated from; None: they are known.
    """

    zero_as_one: NDArray[np.float64]
    one_as_zero: NDArray[np.float64]
    shots: int | None = None

    def __post_init__(self) -> None:
        contrast = 1.0 - self.zero_as_one - self.one_as_zero
        if not (np.isfinite(contrast).all() and contrast.min() >= LEAST_CONTRAST):
            qubit = int(np.argmin(np.where(np.isfinite(contrast), contrast, -1.0)))
            problem = (
                f"qubit {qubit} is read as 1 with probability {self.zero_as_one[qubit]:.3g} when it is 0, "
                f"and as 0 with {self.one_as_zero[qubit]:.3g} when it is 1"
            )
            raise InputError("mitigation", problem, "Nothing can be told from such a readout: leave readout out.")

    @property
    def values(self) -> NDArray[np.float64]:
        """What ⟨Z⟩ counts a qubit read as 0 and as 1 for, in place of 1 and −1, so that its mean is right: (qubits, 2).

        The row (1, −1) times the inverse of the qubit's matrix of readout probabilities (S. Bravyi et al., Phys. Rev. A
        103 (2021) 042605, tensored model).
        """
        contrast = 1.0 - self.zero_as_one - self.one_as_zero
        shift = self.zero_as_one - self.one_as_zero
        return np.stack([(1.0 + shift) / contrast, (shift - 1.0) / contrast], axis=1)

    @property
    def slopes(self) -> NDArray[np.float64]:
        """The derivatives of `values` by p(1|0) and by p(0|1): (2, qubits, 2)."""
        contrast = 1.0 - self.zero_as_one - self.one_as_zero
        zero, one = self.values.T
        by_zero_as_one = np.stack([(zero + 1.0) / contrast, (one + 1.0) / contrast], axis=1)
        by_one_as_zero = np.stack([(zero - 1.0) / contrast, (one - 1.0) / contrast], axis=1)
        return np.stack([by_zero_as_one, by_one_as_zero])

    @property
    def variances(self) -> NDArray[np.float64]:
        """Of p(1|0) and of p(0|1), as estimates from counts: (2, qubits); one imagined miss keeps them above 0."""
        rates = np.stack([self.zero_as_one, self.one_as_zero])
        if self.shots is None:
            return np.zeros_like(rates)
        return (rates * (1.0 - rates) + 1.0 / self.shots) / self.shots


def measure_readout_errors(num_qubits: int, run_round: RunRound, *, shots: int = CALIBRATION_SHOTS) -> ReadoutErrors:
    """Prepare all qubits in 0, then in 1: one round of two jobs, whatever the number of qubits.

    An exact target's distribution is taken at its word. Raises JobFailed where one of the two was lost.
    """
    pubs = [SamplerPub.coerce((_prepared(num_qubits, bit), None, shots)) for bit in (0, 1)]
    (zeros,), (ones,) = run_round(pubs)
    as_one, still_one = _rates(zeros), _rates(ones)
    is_exact = isinstance(zeros, Counts) and zeros.exact
    return ReadoutErrors(as_one, 1.0 - still_one, None if is_exact else shots)


def _prepared(num_qubits: int, bit: int) -> QuantumCircuit:
    circuit = QuantumCircuit(num_qubits, num_qubits, name=f"all-{bit}")
    if bit:
        circuit.x(range(num_qubits))
    circuit.measure(range(num_qubits), range(num_qubits))
    return circuit


def _rates(counts: Counts | Lost) -> NDArray[np.float64]:
    """How often each bit was 1: (bits,)."""
    if isinstance(counts, Lost):
        raise JobFailed(
            f"the calibration of the readout was lost ({counts.reason})",
            "Nothing else was measured yet.",
            "Run again, or leave readout out of the mitigation.",
        )
    return counts.counts @ bits_of(counts) / counts.shots


def bits_of(counts: Counts) -> NDArray[np.uint8]:
    """The outcomes' bits, lowest first: (k, bits)."""
    bits: NDArray[np.uint8] = np.unpackbits(counts.outcomes, axis=1)[:, ::-1][:, : counts.num_bits]
    return bits


def variance_of(slopes: Sequence[float], errors: ReadoutErrors) -> float:
    """What not knowing the readout errors exactly adds to a value's variance: to first order, Σ (∂value/∂p)² var p."""
    return math.fsum(np.square(slopes) * errors.variances.ravel())
