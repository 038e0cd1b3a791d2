"""Plausibility checks of a result: particle number, energy below the exact one, strong correlation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulated_start import MIN_REFERENCE_WEIGHT
from hybridloop.algorithms.estimation.estimates import Estimate, estimate_observable
from hybridloop.algorithms.estimation.observable import MeasurementGroup, observable
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.rounds import FailedPoint, RunRound
from hybridloop.errors import JobFailed

SECTOR_SHOTS = 4000
TOLERATED_SPREAD = 0.1  # squared electrons: one shot in ten wrong by one, as a noisy machine makes of a correct state
SIGMAS = 3.0  # standard errors: a smaller deviation counts as noise


@dataclass(frozen=True, slots=True)
class SectorCheck:
    """Measured particle number of a state against the problem's `electrons` (alpha, beta).

    `number` is ⟨N⟩; `spread` is ⟨(N_α − n_α)² + (N_β − n_β)²⟩, which is 0 only where every shot has these electrons.
    """

    electrons: tuple[int, int]
    number: Estimate
    spread: Estimate

    @property
    def in_sector(self) -> bool:
        """True if the state has the problem's electrons, up to noise."""
        return self.spread.value <= TOLERATED_SPREAD + SIGMAS * self.spread.standard_error

    @property
    def warning(self) -> str | None:
        """Warning for the user; None where the electrons are the right ones."""
        if self.in_sector:
            return None
        alpha, beta = self.electrons
        return (
            f"wrong particle number: the state has {self.number.value:.3g} electrons on average, the problem has "
            f"{alpha + beta} ({alpha} alpha, {beta} beta); the root mean square deviation is "
            f"{math.sqrt(self.spread.value):.2g}. The energy belongs to another charge or spin and may lie below the "
            "true one. Use the ansatz uccsd, which conserves the electrons, or the mapping parity, which conserves "
            "their parity."
        )


def check_sector(
    problem: ElectronicProblem,
    ansatz: Ansatz,
    point: NDArray[np.float64],
    run_round: RunRound,
    *,
    shots: int = SECTOR_SHOTS,
) -> SectorCheck | None:
    """Measure the electrons of the state at the point (n,) in one job; None where the ansatz can't change them.

    Raises JobFailed where that job failed.
    """
    if ansatz.conserves_electrons or not observable(problem.electron_deviation_operator).groups:
        return None
    all_qubits = MeasurementGroup("Z" * problem.encoding.num_qubits, (), np.zeros(0))
    circuit = all_qubits.measurement_circuit(ansatz.circuit)
    ((counts,),) = run_round([SamplerPub.coerce((circuit, point[None, :], shots))])
    if isinstance(counts, FailedPoint):
        failure = f"the job that measures the particle number failed ({counts.reason})"
        consequence = "The energy was measured, but it is not known to belong to the right number of electrons."
        raise JobFailed(failure, consequence, "Run again.")
    # both operators consist of I and Z alone
    diagonal = [observable(operator) for operator in (problem.number_operator, problem.electron_deviation_operator)]
    number, spread = (estimate_observable(measured, [counts] * len(measured.groups)) for measured in diagonal)
    return SectorCheck(problem.molecule.electrons, number, spread)


def below_exact_warning(value: float, standard_error: float, rounding_bound: float, exact: float | None) -> str | None:
    """Return a warning if an energy (hartree) is below the exact one by more than noise, else None."""
    if exact is None or value >= exact - max(SIGMAS * standard_error, rounding_bound):
        return None
    amount = f"{1e3 * (exact - value):.2f} mHa"
    sigmas = f" ({(exact - value) / standard_error:.1f} standard errors)" if standard_error else ""
    return (
        f"below the exact energy: the value is {amount} below{sigmas} the lowest energy of the molecule's spin, so its "
        "error is at least that large. Possible causes: errors of the machine, an error mitigation that overshoots, or "
        "a state of another spin or with another number of electrons."
    )


def strong_correlation_warning(molecule: Molecule, point: NDArray[np.float64]) -> str | None:
    """Return a warning if a UCCSD state has a low weight of its reference determinant, else None.

    An excitation by an angle θ leaves cos²θ of the determinant's weight; later excitations return little of it.
    For two electrons, or two holes, single and double excitations are complete and reach any state: no warning.
    """
    electrons = sum(molecule.electrons)
    weight = math.prod(np.cos(point).tolist()) ** 2
    if min(electrons, 2 * molecule.norb - electrons) <= 2 or weight >= MIN_REFERENCE_WEIGHT:
        return None
    return (
        f"strongly correlated: the state has {weight:.0%} of Hartree-Fock's determinant, below "
        f"{MIN_REFERENCE_WEIGHT:.0%}. Single and double excitations may then end millihartrees above the ground state, "
        "which the error bar, that of the measurement, does not include. Try adapt, which adds operators as needed."
    )
