"""Selection of ADAPT-VQE's operators by the energy's derivatives, and the examination of a stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.adapt.operator_pool import OperatorPool, PoolDerivatives
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulated_start import simulated_minimum
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.observable import Grouping
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.optimizers.base import Stop
from hybridloop.algorithms.rounds import RunRound

DEFAULT_MAX_OPERATORS = 40
GAIN_DECIMALS = 9  # in hartree: gains that are equal up to rounding keep the pool's order
GRADIENT_TIE = 1e-7  # hartree per radian: gradients that differ by less are equal by symmetry
SAME_SHARE = 1e-4  # of small ones, and of gains for a gate, which are far below a gradient
SIGMAS = 3.0  # standard errors: a smaller gradient counts as noise
MARGIN = 2.0  # of further shots for gradients: what noise still hides is then well below the tolerance
MIN_SIMULATED_SLOPE = 1e-3  # hartree per radian: less is the search's own distance from the minimum
MAX_HIDDEN_CURVATURE = 0.02  # hartree per radian²: a tenth of a typical saddle's, which 4000 shots resolve
MIN_MEASURED_CURVATURE = 0.05  # hartree per radian²: a floor for measured curvatures, whose noise is about as large
MIN_CURVATURE = 0.2  # hartree per radian²: a floor for curvatures; softer excitations are nearly degenerate


@dataclass(frozen=True, slots=True)
class Selected:
    """Operators to append, and what they were selected by: the gradients of the whole pool, or a curvature."""

    operators: list[int]
    slopes: Sequence[Estimate]
    remaining_gain: float
    curvature: float | None = None
    is_simulated: bool = False


@dataclass(slots=True)
class Selector:
    """Selection of operators by the energy's derivatives, with the rounds and circuits that these took."""

    pool: OperatorPool
    run_round: RunRound
    sampling: Sampling
    tolerance: float
    max_operators: int
    most_shots: float  # of a round that measures gradients again
    grouping: Grouping  # of derivatives
    rounds: int = 0
    circuits: int = 0
    shots_taken: int = 0
    residue: float = 0.0  # hartree that the last slopes may promise, with what noise hides
    gradients: PoolDerivatives = field(init=False)
    curvatures: PoolDerivatives | None = None  # takes a multiple of the gradients' time to build
    lowest: float | None = None  # energy in hartree that circuits of the pool reach, by their simulation
    at_hartree_fock: tuple[NDArray[np.float64], NDArray[np.float64]] = field(init=False)

    def __post_init__(self) -> None:
        self.gradients = PoolDerivatives.gradients(self.pool, self.grouping)
        self.at_hartree_fock = self.pool.derivatives_at_hartree_fock()

    def select(self, ansatz: Ansatz, chosen: Sequence[int]) -> Selected | Stop:
        """Return the operators to append to a circuit of those chosen, at its initial point, or the reason to stop."""
        positive = np.maximum(np.diag(self.at_hartree_fock[1]), MIN_CURVATURE)
        counted = np.where(self.pool.independent, positive, np.inf)  # of others nothing is gained beside these
        count = len(chosen)
        if is_exact := not count:
            slopes = [Estimate(float(slope), 0.0, 0) for slope in self.at_hartree_fock[0]]
        else:
            slopes = self._measure(self.gradients, ansatz, self.sampling.shots)
            noise = _noise_cost(slopes, counted)
            if noise > self.tolerance and _is_noise(slopes[_steepest(slopes)]):
                affordable = self.most_shots / len(self.gradients.groups_measured)
                wanted = min(MARGIN * self.sampling.shots * noise / self.tolerance, affordable)
                if wanted > self.sampling.shots:
                    slopes = self._measure(self.gradients, ansatz, math.ceil(wanted))
        remaining = _remaining_gain(slopes, counted)
        self.residue = remaining + _noise_cost(slopes, counted)
        operators: list[int] = [self._first(slopes, positive, chosen)]
        curvature: float | None = None
        is_simulated = False
        stop = _check_slopes(slopes, counted, remaining, self.tolerance)
        unstable: tuple[list[int], float | None] | Stop | None = None
        if is_exact:
            unstable = self._unstable_at_hartree_fock(max(remaining, self.tolerance))
        elif stop is not None:
            unstable = self._unstable(ansatz, slopes, chosen)
        if isinstance(unstable, tuple):
            if is_exact and operators[0] not in unstable[0] and abs(slopes[operators[0]].value) > GRADIENT_TIE:
                # first the steepest operator, which then acts on a determinant
                operators, curvature = [*operators, *unstable[0]][-self.max_operators :], unstable[1]
            else:
                operators, curvature = unstable
        elif stop is not None:
            if isinstance(unstable, Stop) and stop.converged:
                is_stable = unstable.converged
                stop = replace(unstable, reason=f"{stop.reason}, {unstable.reason}") if is_stable else unstable
            examined = self._examine(ansatz, chosen, stop)
            if isinstance(examined, Stop):
                return examined
            operators, is_simulated = [examined], True
        if count + len(operators) > self.max_operators:
            if self.max_operators < DEFAULT_MAX_OPERATORS:
                reason = f"max_operators={self.max_operators}, as requested"
                return Stop(converged=False, reason=reason, is_requested=True)
            reason = f"the limit of {self.max_operators} operators was reached; raise max_operators"
            return Stop(converged=False, reason=reason)
        return Selected(operators, slopes, remaining, curvature, is_simulated)

    def _unstable_at_hartree_fock(self, least: float) -> tuple[list[int], float] | Stop:
        """Return the operator of the lowest curvature, or two in whose mixture it is, and it, if it gains over `least`.

        Along one exponential from a determinant the energy is E + g sin 2θ / 2 + h sin²θ / 2: for g = 0 its gain is
        −h / 2.
        """
        hessian = self.at_hartree_fock[1]
        curvatures = np.diag(hessian)
        lowest = 0.5 * np.add.outer(curvatures, curvatures) - np.hypot(
            0.5 * np.subtract.outer(curvatures, curvatures), hessian
        )
        np.fill_diagonal(lowest, curvatures)
        single = int(curvatures.argmin())
        if -0.5 * curvatures[single] > least:
            return [single], float(curvatures[single])
        pair = np.unravel_index(int(lowest.argmin()), lowest.shape)
        if -0.5 * lowest[pair] > least:
            return sorted(map(int, pair)), float(lowest[pair])
        if -0.5 * (softest := float(np.linalg.eigvalsh(hessian)[0])) > least:
            reason = f"a mixture of more than two operators has a curvature of {softest:.2g} hartree per square radian"
            return Stop(converged=False, reason=reason)
        return Stop(converged=True, reason="and no curvature is negative")

    def _first(self, slopes: Sequence[Estimate], curvatures: NDArray[np.float64], chosen: Sequence[int]) -> int:
        """Return the operator that ranks first, of those whose slopes are not noise if there are any."""
        values = np.array([0.0 if _is_noise(slope) else slope.value for slope in slopes])
        values = values if values.any() else np.array([slope.value for slope in slopes])
        return _first_largest(self.pool.ranks(values, curvatures, chosen).tolist())

    def _unstable(
        self, ansatz: Ansatz, slopes: Sequence[Estimate], chosen: Sequence[int]
    ) -> tuple[list[int], float | None] | Stop:
        """Measure all curvatures; return the lowest with its operator if it is negative beyond noise.

        Else return the operator of the largest gain, without a curvature, if the slopes that are not noise promise more
        by these curvatures.
        """
        self.curvatures = self.curvatures or PoolDerivatives.curvatures(self.pool, self.grouping)
        estimates = self._measure(self.curvatures, ansatz, self.sampling.shots)
        noises = [max(SIGMAS * each.expected_error, each.rounding_bound) for each in estimates]
        bounds = [estimate.value + noise for estimate, noise in zip(estimates, noises, strict=True)]
        lowest = int(np.argmin(bounds))
        if bounds[lowest] < 0.0 and -0.5 * estimates[lowest].value > self.tolerance:
            return [lowest], estimates[lowest].value
        measured = np.array([max(curvature.value, MIN_MEASURED_CURVATURE) for curvature in estimates])
        known = np.array([slope.value * (not _is_noise(slope)) for slope in slopes])
        if float((known**2 / (2.0 * measured))[self.pool.independent].sum()) > self.tolerance:
            return [_first_largest(self.pool.ranks(known, measured, chosen).tolist())], None
        least = min(estimate.value - noise for estimate, noise in zip(estimates, noises, strict=True))
        if least < -MAX_HIDDEN_CURVATURE:
            reason = f"shot noise may hide a curvature of {least:.2g} hartree per square radian; raise shots"
            return Stop(converged=False, reason=reason)
        return Stop(converged=True, reason=f"and no curvature is below {min(least, 0.0):.2g} hartree per square radian")

    def _examine(self, ansatz: Ansatz, chosen: Sequence[int], stop: Stop) -> Stop | int:
        """Return the steepest operator of a simulation that ends above the ground state; else the reason to stop."""
        circuit = self.pool.simulation(chosen)
        if circuit is None:
            return stop
        point = simulated_minimum(circuit, ansatz.initial_point)
        if self.lowest is None:
            self.lowest = circuit.lowest_reached
        if circuit.energy(point) - self.lowest <= self.tolerance:
            return stop
        every = [self.pool.generators_of(index) for index in range(len(self.pool))]
        slopes = np.array([circuit.appended(point, generators)[0].sum() for generators in every])
        if np.abs(slopes).max() < MIN_SIMULATED_SLOPE:
            return stop
        positive = np.maximum(np.diag(self.at_hartree_fock[1]), MIN_CURVATURE)
        return _first_largest(self.pool.ranks(slopes, positive, chosen).tolist())

    def _measure(self, derivatives: PoolDerivatives, ansatz: Ansatz, shots: int) -> list[Estimate]:
        self.rounds += 1
        self.circuits += len(derivatives.groups_measured)
        of_groups = list(map(self.sampling.whole_jobs, derivatives.shots_of(shots)))
        self.shots_taken += sum(of_groups)
        return derivatives.measure(ansatz, ansatz.initial_point, self.run_round, of_groups)


def _steepest(slopes: Sequence[Estimate]) -> int:
    """Index of the largest gradient; of several that are equal by symmetry, the first in the pool."""
    return _first_largest([abs(slope.value) for slope in slopes])


def _first_largest(sizes: Sequence[float]) -> int:
    largest = max(sizes)
    least = largest - min(GRADIENT_TIE, SAME_SHARE * largest)
    return next(index for index, size in enumerate(sizes) if size >= least)


def _is_noise(slope: Estimate) -> bool:
    return abs(slope.value) <= max(SIGMAS * slope.expected_error, slope.rounding_bound)


def _remaining_gain(slopes: Sequence[Estimate], curvatures: NDArray[np.float64]) -> float:
    """Σ_k (g_k² − σ_k²) / 2 h_k in hartree, at least 0: noise adds its variance to each square."""
    gains = [
        (slope.value**2 - slope.variance) / (2.0 * float(curvature))
        for slope, curvature in zip(slopes, curvatures, strict=True)
    ]
    return max(0.0, math.fsum(gains))


def _noise_cost(slopes: Sequence[Estimate], curvatures: NDArray[np.float64]) -> float:
    """Gain in hartree that shot noise in the slopes may hide: Σ_k σ_k² / 2 h_k."""
    return math.fsum(slope.variance / (2.0 * float(h)) for slope, h in zip(slopes, curvatures, strict=True))


def _check_slopes(
    slopes: Sequence[Estimate], curvatures: NDArray[np.float64], remaining: float, tolerance: float
) -> Stop | None:
    """Return a stop where the slopes promise no more, or are within noise; None to append the steepest operator."""
    noise = _noise_cost(slopes, curvatures)
    steepest = slopes[_steepest(slopes)]
    if remaining <= tolerance and noise <= tolerance:
        reason = f"all operators of the pool together are expected to gain only {1e3 * remaining:.2g} mHa more"
        return Stop(converged=True, reason=reason)
    if _is_noise(steepest):
        reason = f"all gradients are within shot noise, which may hide a gain of {1e3 * noise:.2g} mHa; raise shots"
        return Stop(converged=False, reason=reason)
    return None


def expected_operators(pool: OperatorPool, tolerance: float, most: int) -> list[int]:
    """Return the operators of the largest gains at Hartree-Fock, until the others gain less than the tolerance."""
    gradient, hessian = pool.derivatives_at_hartree_fock()
    gains = gradient**2 / (2.0 * np.maximum(np.diag(hessian), MIN_CURVATURE)) * pool.independent
    order = np.argsort(-np.round(gains, GAIN_DECIMALS), kind="stable")
    left = gains.sum() - np.cumsum(gains[order])
    count = 1 + int(np.count_nonzero(left[:-1] > tolerance))
    return [*map(int, order[: min(count, most)])]
