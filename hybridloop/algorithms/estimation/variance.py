"""Energy variance ⟨H²⟩ − ⟨H⟩² of a state, which is 0 for eigenstates only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Estimate, combine, evaluation
from hybridloop.algorithms.estimation.final import neyman_allocation
from hybridloop.algorithms.estimation.observable import Observable, observable
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.algorithms.rounds import FailedPoint, RunRound

MAX_TERMS = 100  # of H: its square then has at most 5,000, grouped within seconds
MAX_SQUARED_TERMS = 1000
MAX_SHOT_SHARE = 0.15  # of the run's shots so far
MIN_SHOTS = 100  # per circuit
SIGMAS = 3.0  # standard errors: less counts as noise
TOLERATED_SIGMAS = 4.0  # standard errors of the energy, where those are more


@dataclass(frozen=True, slots=True)
class EnergyVariance:
    """Energy variance with its standard error, both in squared units of the operator, and its price.

    `spectrum` bounds the highest eigenvalue's distance from the energy, `tolerance` is the error of the energy that
    counts as none.
    """

    value: float
    standard_error: float
    spectrum: float
    tolerance: float
    circuits: int
    shots: int

    @property
    def least_error(self) -> float:
        """The least distance of the energy E from the lowest eigenvalue E_0, at three standard errors; 0 or above.

        A spectrum from E_0 to E_max allows a variance of at most (E_max − E) (E − E_0): R. Bhatia and C. Davis, Am.
        Math. Mon. 107 (2000) 353. So no state within the tolerance is doubted.
        """
        certain = max(0.0, self.value - SIGMAS * self.standard_error)
        return certain / self.spectrum if certain else 0.0

    @property
    def nearest_eigenvalue(self) -> float:
        """A bound of the distance to the nearest eigenvalue: the root of the variance, plus three standard errors.

        D. H. Weinstein, Proc. Natl. Acad. Sci. USA 20 (1934) 529.
        """
        return math.sqrt(max(0.0, self.value) + SIGMAS * self.standard_error)

    @property
    def warning(self) -> str | None:
        """Warning for the user; None where the variance proves no error above the tolerance."""
        if self.least_error <= self.tolerance:
            return None
        return (
            f"no eigenstate: the energy variance is {self.value:.2g} ± {self.standard_error:.1g}, so the energy is at "
            f"least {self.least_error:.2g} above the lowest eigenvalue. The circuit can't express the ground state, "
            "the search ended elsewhere, or the machine is noisy. Give more layers (layers) or another ansatz."
        )

    @property
    def summary(self) -> str:
        """Clause about value and price."""
        price = f"{self.circuits} circuits, {self.shots:,} shots"
        return (
            f"the energy variance is {self.value:.2g} ± {self.standard_error:.1g}, so an eigenvalue is within "
            f"{self.nearest_eigenvalue:.2g} of the energy; measured for {price}"
        )


def squared_observable(hamiltonian: SparsePauliOp) -> Observable | None:
    """Return H² in measurement groups; None where it has too many terms to be affordable."""
    if len(hamiltonian) > MAX_TERMS:
        return None
    squared = (hamiltonian @ hamiltonian).simplify()
    return observable(squared) if len(squared) <= MAX_SQUARED_TERMS else None


def measure_variance(
    squared: Observable,
    ansatz: Ansatz,
    point: NDArray[np.float64],
    energy: Estimate,
    highest: float,
    spent: int,
    run_round: RunRound,
) -> EnergyVariance | None:
    """Measure ⟨H²⟩ at a point (n,) in one round, and combine it with the energy; None if a job failed.

    `highest` bounds the largest eigenvalue. The shots bring ⟨H²⟩ to the error that ⟨H⟩² has from `energy`, but are at
    most `MAX_SHOT_SHARE` of those `spent`. They are allocated by the groups' coefficients.
    """
    tolerance = max(CHEMICAL_ACCURACY, TOLERATED_SIGMAS * energy.standard_error)
    spectrum = max(highest - energy.value, 0.0)
    error = 2.0 * abs(energy.value) * energy.standard_error
    wanted = max(error, tolerance * max(spectrum, 1e-9) / (2.0 * SIGMAS))
    variances = [float(np.sum(group.coefficients**2)) for group in squared.groups]
    shots = neyman_allocation(variances, [0] * len(variances), wanted**2, most=max(1, int(MAX_SHOT_SHARE * spent)))
    shots = [max(MIN_SHOTS, group_shots) for group_shots in shots]
    results, _ = evaluation(squared, ansatz, run_round).measure_groups(point[None, :], shots)  # none for a constant
    statistics = [result for (result,) in results if not isinstance(result, FailedPoint)]
    if len(statistics) < len(results):
        return None
    mean = combine(squared.constant, statistics)
    return EnergyVariance(
        value=mean.value - energy.value**2,
        standard_error=math.hypot(mean.standard_error + mean.rounding_bound, error),
        spectrum=spectrum,
        tolerance=tolerance,
        circuits=len(statistics),
        shots=sum(shots),
    )
