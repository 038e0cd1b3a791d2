"""Numbers of a binary problem's final shots: in the problem's own objective, over feasible assignments alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaincinv

from hybridloop.algorithms.binary.ising import MAX_ENUMERATED_VARIABLES, Ising
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.estimation.estimates import (
    Estimate,
    GroupStatistics,
    combine,
    group_statistics,
    shot_energies,
)
from hybridloop.algorithms.estimation.observable import MeasurementGroup, observable
from hybridloop.algorithms.rounds import Counts, merge_counts

SAME_OBJECTIVE = 1e-9  # of its size: the values of equal assignments differ by rounding


@dataclass(frozen=True, slots=True, eq=False)
class FinalShots:
    """Counts of the final point over the circuit's qubits, of which `feasible` are those of feasible assignments."""

    problem: BinaryProblem
    counts: Counts
    feasible: Counts

    @classmethod
    def of(cls, problem: BinaryProblem, measured: Sequence[Counts]) -> FinalShots:
        """Pool the counts of one point."""
        counts = merge_counts(measured)
        is_feasible = problem.is_feasible(counts.bits)
        feasible = replace(counts, outcomes=counts.outcomes[is_feasible], counts=counts.counts[is_feasible])
        return cls(problem, counts, feasible)

    def objective(self, fraction: float = 1.0) -> Estimate | None:
        """Return the mean objective of the best `fraction` of the feasible shots, in the problem's sense; None: none.

        Their number is itself drawn; the error is that of a mean over as many shots.
        """
        if not self.feasible.shots:
            return None
        sign = self.problem.sign
        energy = observable(self.problem.objective.scaled(sign).widened(self.counts.num_bits).operator())
        discarded = self.counts.shots - self.feasible.shots
        statistics = [
            replace(
                cvar_statistics(fraction, replace(group, energy_range=self._range), self.feasible),
                shots=self.counts.shots,
                discarded=discarded,
            )
            for group in energy.groups
        ]
        estimate = combine(energy.constant, statistics)
        if not statistics:  # a constraint alone, without an objective
            estimate = replace(estimate, shots=self.feasible.shots)
        return replace(estimate, value=sign * estimate.value + 0.0)

    def whole(self) -> Estimate:
        """Return the mean objective of all shots, feasible or not, in the problem's sense."""
        energy = observable(self.problem.objective.widened(self.counts.num_bits).operator())
        return combine(energy.constant, [group_statistics(group, self.counts) for group in energy.groups])

    def cost(self, minimized: Ising, fraction: float) -> Estimate:
        """Return the mean of what was minimized over the best `fraction` of all shots, in the problem's sense."""
        cost = observable(minimized.operator())
        estimate = combine(cost.constant, [cvar_statistics(fraction, group, self.counts) for group in cost.groups])
        return replace(estimate, value=self.problem.sign * estimate.value + 0.0)

    @property
    def _range(self) -> float:
        """The range of the objective over feasible assignments; infinite where it takes more than an enumeration."""
        if self.problem.num_variables > MAX_ENUMERATED_VARIABLES or self.problem.extremes is None:
            return float("inf")
        best, worst = self.problem.extremes
        return abs(best - worst)

    def share_of(self, value: float) -> tuple[float, tuple[float, float]]:
        """Return the share of all shots with a feasible assignment of this objective, and its 95 % interval."""
        values = self.problem.objective.energies(self.feasible.bits[:, : self.problem.num_variables])
        is_same = np.abs(values - value) <= SAME_OBJECTIVE * max(1.0, abs(value))
        found, shots = int(self.feasible.counts[is_same].sum()), self.counts.shots
        return found / shots, share_interval(found, shots)


def share_interval(found: int, shots: int) -> tuple[float, float]:
    """Return the 95 % interval of a probability by the shots that showed it (C. J. Clopper and E. S. Pearson, 1934).

    Biometrika 26 (1934) 404.

    >>> [round(end, 4) for end in share_interval(0, 100)]
    [0.0, 0.0362]
    """
    low = 0.0 if not found else float(betaincinv(found, shots - found + 1, 0.025))
    high = 1.0 if found == shots else float(betaincinv(found + 1, shots - found, 0.975))
    return low, high


def cvar_statistics(fraction: float, group: MeasurementGroup, counts: Counts) -> GroupStatistics:
    """Return the statistics of the CVaR (conditional value at risk): the mean over the lowest `fraction` of the shots.

    It is the mean of ψ = q + min(E − q, 0) / fraction over all shots, with q the fraction's quantile (R. T. Rockafellar
    and S. Uryasev, J. Risk 2 (2000) 21). ψ is also its influence function, so the variance of ψ gives the error.
    """
    whole = group_statistics(group, counts)
    if fraction == 1:
        return whole
    energies = shot_energies(group, counts)
    order = np.argsort(energies, kind="stable")
    reached = np.cumsum(counts.counts[order]) >= fraction * counts.shots * (1 - 1e-12)
    quantile = float(energies[order][int(np.argmax(reached))])
    psi = quantile + np.minimum(energies - quantile, 0.0) / fraction
    mean = float(counts.counts @ psi) / counts.shots
    squares = float(counts.counts @ (psi - mean) ** 2)
    return replace(whole, mean=mean, squared_deviations=squares, rounding=whole.rounding * (1.0 / fraction))
