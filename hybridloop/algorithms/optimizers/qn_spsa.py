"""QN-SPSA: SPSA along the quantum natural gradient, with the Fubini-Study metric sampled from state overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.spsa import Spsa, random_signs, shift_rad
from hybridloop.algorithms.rounds import FailedPoint

# floor of the metric's eigenvalues, relative to their mean: some directions hardly change the state
MIN_EIGENVALUE = 0.1
PRIOR_SAMPLES = 4.0  # weight of the identity in the metric, in samples per angle


@dataclass(slots=True)
class QnSpsa(Spsa):
    """QN-SPSA, quantum natural SPSA: J. Gacon et al., Quantum 5 (2021) 567.

    Slopes, gains, calibration, shots and termination are those of `Spsa`, with its settings. With each round's points
    it asks, for `resamplings` pairs of random directions Δ, Δ′ ∈ {±1}ⁿ, for four overlaps F of the state at θ with
    others: δF = F(θ + cΔ + cΔ′) − F(θ + cΔ) − F(θ − cΔ + cΔ′) + F(θ − cΔ). One sample of the metric is −δF / (4 c²)
    (ΔΔ′ᵀ + Δ′Δᵀ) / 2; its expectation is the Fubini-Study metric.

    The metric used is the mean of all samples with absolute eigenvalues. The identity counts for `PRIOR_SAMPLES`
    samples per angle, and no eigenvalue is below a tenth of their mean. The step is along metric⁻¹ slopes. The metric
    is divided by its mean eigenvalue, because the calibrated gain already sets the length of the step.

    A sample with a failed overlap is left out of the metric; failed points are treated as by `Spsa`.
    """

    _metric_sum: NDArray[np.float64] = field(init=False)  # sum of the metric's samples, (n, n)
    _samples: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        Spsa.__post_init__(self)  # not `super()`: `@dataclass(slots=True)` replaces the class
        self._metric_sum = np.zeros((len(self.point), len(self.point)))

    def ask_overlaps(self) -> NDArray[np.float64]:
        """Pair the present point with four shifted points for each pair of directions, (4 resamplings, 2, n)."""
        angles = len(self.point)
        if self.stop is not None:
            return np.zeros((0, 2, angles))
        shift = shift_rad(self.rounds, angles)
        first, second = shift * self._metric_directions()
        present = np.tile(self.point, (4 * self.resamplings, 1))
        shifted = np.concatenate([first + second, first, second - first, -first]) + self.point
        return np.stack([present, shifted], axis=1)

    def _metric_directions(self) -> NDArray[np.float64]:
        return random_signs(self.seed, (self.rounds, 1), (2, self.resamplings, len(self.point)))

    def tell_overlaps(self, pairs: NDArray[np.float64], overlaps: Sequence[Estimate | FailedPoint]) -> None:
        """Add the round's samples to the metric."""
        shift = shift_rad(self.rounds, len(self.point))
        count = self.resamplings
        quadruples = zip(*(overlaps[start : start + count] for start in range(0, 4 * count, count)), strict=True)
        for first, second, quadruple in zip(*self._metric_directions(), quadruples, strict=True):
            values = [overlap.value for overlap in quadruple if isinstance(overlap, Estimate)]
            if len(values) == 4:
                difference = values[0] - values[1] - values[2] + values[3]
                outer = np.outer(first, second)
                self._metric_sum = self._metric_sum - difference / (4.0 * shift**2) * (outer + outer.T) / 2.0
                self._samples += 1

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Estimate the gradient and step along the natural gradient."""
        self.tell_preconditioned(points, estimates, self._natural_gradient)

    def _natural_gradient(self, slopes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Inverse of the metric, normalized to a mean eigenvalue of 1, times the slopes."""
        eigenvalues, axes = np.linalg.eigh(self._metric_sum)
        sizes = np.abs(eigenvalues)
        mean = float(sizes.mean())
        if mean <= 0:
            return slopes
        prior = PRIOR_SAMPLES * len(slopes)
        metric = (self._samples * sizes / mean + prior) / (self._samples + prior)
        natural: NDArray[np.float64] = axes @ ((axes.T @ slopes) / np.maximum(metric, MIN_EIGENVALUE))
        return natural
