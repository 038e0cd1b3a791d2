"""Gaussian process of measured energies with the trigonometric kernel, for pictures of the landscape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from hybridloop.algorithms.circuits.ansatz import Frequencies
from hybridloop.algorithms.optimizers.trigonometric_model import VARIANCE_FLOOR

SMOOTHNESS = 2.0  # γ, weight of an angle's constant relative to that of a wave
JITTER = 1e-9  # of the signal's variance: repeated points make rows that are equal apart from noise


@dataclass(frozen=True, slots=True, eq=False)
class TrigonometricProcess:
    """Gaussian process with the trigonometric kernel Π_i (γ + 2 mean_f cos(f Δ_i)) / (γ + 2), and a constant.

    K. A. Nicoli et al., NeurIPS 36 (2023), "Physics-informed Bayesian optimization of variational quantum circuits".
    The kernel's feature space is that of all products of each angle's waves, which contains the exact energy; the
    process differs from it only by noise and by points not yet measured. Points (k, n) in radians, energies in hartree.
    """

    frequencies: tuple[Frequencies, ...]
    points: NDArray[np.float64]
    mean: float
    signal: float  # prior variance
    factor: NDArray[np.float64]  # Cholesky factor of the data's covariance
    weights: NDArray[np.float64]

    @classmethod
    def condition(
        cls,
        frequencies: tuple[Frequencies, ...],
        points: NDArray[np.float64],
        values: NDArray[np.float64],
        variances: NDArray[np.float64],
    ) -> Self:
        """Condition the process on at least one point (k, n) with its energy and variance, each (k,)."""
        mean, signal = float(values.mean()), max(float(values.var()), float(variances.mean()), 1e-18)
        covariance = signal * (1.0 + _kernel(frequencies, points[:, None] - points[None]).prod(axis=-1))
        noise = np.maximum(variances, VARIANCE_FLOOR * variances.mean()) + JITTER * signal
        factor = np.linalg.cholesky(covariance + np.diag(noise))
        half = solve_triangular(factor, values - mean, lower=True)
        weights = solve_triangular(factor, half, lower=True, trans="T")
        return cls(frequencies, points, mean, signal, factor, weights)

    def value(self, point: NDArray[np.float64]) -> float:
        """Expected energy at a point (n,)."""
        return self.mean + float(self._covariances(point) @ self.weights)

    def standard_error(self, point: NDArray[np.float64]) -> float:
        """Posterior standard deviation of the energy at a point (n,)."""
        whitened = solve_triangular(self.factor, self._covariances(point), lower=True)
        return math.sqrt(max(2.0 * self.signal - float(whitened @ whitened), 0.0))

    def _covariances(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Prior covariances of the energy at a point with each measured energy, shape (k,)."""
        product: NDArray[np.float64] = _kernel(self.frequencies, point - self.points).prod(axis=1)
        return self.signal * (1.0 + product)


def _kernel(frequencies: tuple[Frequencies, ...], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factor of each angle in the kernel at the offsets (..., n)."""
    columns = []
    for angle, numbers in enumerate(frequencies):
        waves = [np.cos(f * offsets[..., angle]) for f in numbers]
        columns.append((SMOOTHNESS + 2.0 * np.mean(waves, axis=0)) / (SMOOTHNESS + 2.0))
    return np.stack(columns, axis=-1)
