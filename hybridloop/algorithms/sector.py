"""Which electrons a state has: measured where the circuit does not keep them, and said where they are wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.estimation import Estimate, combine, tally
from hybridloop.algorithms.measurement import MeasurementGroup, observable
from hybridloop.algorithms.rounds import Counts, Lost, RunRound
from hybridloop.errors import JobFailed

SECTOR_SHOTS = 4000
TOLERATED_SPREAD = 0.1  # squared electrons: a shot in ten is off by one; a noisy machine does that to a right state
SIGMAS = 3.0  # up to so many standard errors a deviation may be chance


@dataclass(frozen=True, slots=True)
class SectorCheck:
    """How far a state is from the problem's `electrons` (alpha, beta).

    `number` is ⟨N⟩; `spread` is ⟨(N_α − n_α)² + (N_β − n_β)²⟩, which is 0 only where every shot has them.
    """

    electrons: tuple[int, int]
    number: Estimate
    spread: Estimate

    @property
    def is_right(self) -> bool:
        """Whether the state has the electrons asked for, up to noise."""
        return self.spread.value <= TOLERATED_SPREAD + SIGMAS * self.spread.standard_error

    @property
    def warning(self) -> str | None:
        """What to tell the user; None where the electrons are the right ones."""
        if self.is_right:
            return None
        alpha, beta = self.electrons
        return (
            f"wrong particle number: the state has {self.number.value:.3g} electrons on average where the problem has "
            f"{alpha + beta} ({alpha} alpha, {beta} beta), and is {math.sqrt(self.spread.value):.2g} off in the root "
            "mean square, so its energy belongs to another charge or spin, and may lie below the one sought. "
            "Take uccsd, which keeps the electrons; the parity mapping keeps whether they are odd or even."
        )


def check_sector(
    problem: ElectronicProblem,
    ansatz: Ansatz,
    point: NDArray[np.float64],
    run_round: RunRound,
    *,
    shots: int = SECTOR_SHOTS,
) -> SectorCheck | None:
    """Ask the state at the point (n,) for its electrons, in one job; None where it can have no others."""
    if ansatz.conserves_electrons or not observable(problem.electron_deviation_operator).groups:
        return None
    everywhere = MeasurementGroup("Z" * problem.encoding.num_qubits, (), np.zeros(0))
    ((counts,),) = run_round([SamplerPub.coerce((everywhere.measured(ansatz.circuit), point[None, :], shots))])
    if isinstance(counts, Lost):
        raise JobFailed(
            f"the measurement of the electrons was lost ({counts.reason})",
            "The energy is known; whether it belongs to the right number of electrons is not.",
            "Run again.",
        )
    number, spread = (
        _estimate(operator, counts) for operator in (problem.number_operator, problem.electron_deviation_operator)
    )
    return SectorCheck(problem.molecule.electrons, number, spread)


def _estimate(operator: SparsePauliOp, counts: Counts) -> Estimate:
    """Of an operator of I and Z alone, from counts of all qubits as they are."""
    diagonal = observable(operator)
    return combine(diagonal, [tally(group, counts) for group in diagonal.groups])
