"""A Gaussian process over all angles at once, whose every sample is an energy of the right trigonometric form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

from hybridloop.algorithms.trigfit import VARIANCE_FLOOR, Frequencies

SMOOTHNESS = 2.0  # the weight of an angle's constant over that of a wave: how often an angle does not matter
JITTER = 1e-9  # of the signal's variance: points that are measured again make rows that are equal but for noise
CAUTION = 1.5  # standard errors: a step into what was not measured has to promise that much
SOFTEST = 0.02  # of the signal's spread, per square radian: curvatures below are taken for it


@dataclass(frozen=True, slots=True, eq=False)
class TrigProcess:
    """The energies told so far, conditioned on the kernel Π_i (γ + 2 mean_f cos(f Δ_i)) / (γ + 2), and a constant.

    K. A. Nicoli et al., NeurIPS 36 (2023), "Physics-informed Bayesian optimization of variational quantum circuits":
    the kernel's feature space is that of all products of each angle's waves, so that nothing but noise and what was not
    asked keeps it from the exact energy. Points (k, n) in radians, energies in hartree.
    """

    frequencies: tuple[Frequencies, ...]
    points: NDArray[np.float64]
    mean: float
    signal: float  # prior variance
    factor: NDArray[np.float64]  # Cholesky factor of the data's covariance
    weights: NDArray[np.float64]

    @classmethod
    def given(
        cls,
        frequencies: tuple[Frequencies, ...],
        points: NDArray[np.float64],
        values: NDArray[np.float64],
        variances: NDArray[np.float64],
    ) -> Self:
        """The process conditioned on energies at points, with their variances; at least one."""
        mean, signal = float(values.mean()), max(float(values.var()), float(variances.mean()), 1e-18)
        covariance = signal * (1.0 + _kernel(frequencies, points[:, None] - points[None]).prod(axis=-1))
        noise = np.maximum(variances, VARIANCE_FLOOR * variances.mean()) + JITTER * signal
        factor = np.linalg.cholesky(covariance + np.diag(noise))
        half = solve_triangular(factor, values - mean, lower=True)
        weights = solve_triangular(factor, half, lower=True, trans="T")
        return cls(frequencies, points, mean, signal, factor, weights)

    def value(self, point: NDArray[np.float64]) -> float:
        """Expected energy."""
        return self.mean + float(self._covariances(point) @ self.weights)

    def standard_error(self, point: NDArray[np.float64]) -> float:
        """Standard deviation of the energy there, given all that was told."""
        known = solve_triangular(self.factor, self._covariances(point), lower=True)
        return math.sqrt(max(2.0 * self.signal - float(known @ known), 0.0))

    def gradient(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected slope along each angle (n,)."""
        slope: NDArray[np.float64] = self._slopes(point) @ self.weights
        return slope

    def lowest(self, starts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """The lowest cautious energy that descents from these points find: expected, and `CAUTION` standard errors."""

        def cautious(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            covariances, slopes = self._covariances(point), self._slopes(point)
            known = solve_triangular(self.factor, covariances, lower=True)
            error = math.sqrt(max(2.0 * self.signal - float(known @ known), 1e-9 * self.signal))
            solved = solve_triangular(self.factor, known, lower=True, trans="T")
            value = self.mean + float(covariances @ self.weights) + CAUTION * error
            return value, slopes @ self.weights - CAUTION * (slopes @ solved) / error

        found = [minimize(cautious, start, jac=True, method="BFGS") for start in starts]
        point: NDArray[np.float64] = min(found, key=lambda outcome: float(outcome.fun)).x
        return point

    def noise_cost(self, point: NDArray[np.float64]) -> float:
        """Mean energy that not knowing the slopes costs at a minimum found there: Σ var(slope) / (2 curvature)."""
        known = solve_triangular(self.factor, self._slopes(point).T, lower=True)
        covariance = np.diag(self.signal * _stiffness(self.frequencies)) - known.T @ known
        curvatures, axes = np.linalg.eigh(self._curvature(point))
        variances = np.einsum("ik,ij,jk->k", axes, covariance, axes)
        return float((variances / (2.0 * np.maximum(curvatures, SOFTEST))).sum())

    def _curvature(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        step, axes = 1e-4, np.eye(len(point))
        rows = [self.gradient(point + step * axis) - self.gradient(point - step * axis) for axis in axes]
        hessian = np.array(rows) / (2.0 * step)
        symmetric: NDArray[np.float64] = (hessian + hessian.T) / 2.0
        return symmetric

    def _covariances(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """With each told energy, shape (k,)."""
        product: NDArray[np.float64] = _kernel(self.frequencies, point - self.points).prod(axis=1)
        return self.signal * (1.0 + product)

    def _slopes(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Their derivatives along each angle, shape (n, k)."""
        offsets = point - self.points
        factors, slopes = _kernel(self.frequencies, offsets), _kernel(self.frequencies, offsets, derivative=1)
        rows = [np.delete(factors, angle, axis=1).prod(axis=1) * slopes[:, angle] for angle in range(len(point))]
        return self.signal * np.array(rows)


def _kernel(
    frequencies: tuple[Frequencies, ...], offsets: NDArray[np.float64], *, derivative: int = 0
) -> NDArray[np.float64]:
    """Each angle's factor at the offsets (..., n), or its first derivative."""
    columns = []
    for angle, own in enumerate(frequencies):
        waves = [f**derivative * np.cos(f * offsets[..., angle] + derivative * math.pi / 2) for f in own]
        columns.append((SMOOTHNESS * (derivative == 0) + 2.0 * np.mean(waves, axis=0)) / (SMOOTHNESS + 2.0))
    return np.stack(columns, axis=-1)


def _stiffness(frequencies: tuple[Frequencies, ...]) -> NDArray[np.float64]:
    """Prior variance of the slope along each angle, over the signal's."""
    return np.array([2.0 * np.mean(np.square(own)) / (SMOOTHNESS + 2.0) for own in frequencies])
