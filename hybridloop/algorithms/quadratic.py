"""A model of second order around a point, fitted to noisy energies from several rounds at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.trigfit import DETERMINED, VARIANCE_FLOOR, Frequencies

REACH_RAD = 0.5  # no angle is changed by more in a step
NEAR_RAD = 0.8  # data further away in any angle hardly count: the model is of second order
MIXED = 0.1  # curvature between two angles that is expected, over the mean one along an angle
SOFTEST = 0.15  # the same for the softest direction: what noise makes softer, or bends down, is taken for it


@dataclass(frozen=True, slots=True, eq=False)
class QuadraticFit:
    """Energy (hartree), slopes (n,) and curvatures (n, n) at the centre; `covariance` (n, n) is the slopes'."""

    value: float
    standard_error: float
    slopes: NDArray[np.float64]
    curvatures: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def step(self) -> NDArray[np.float64]:
        """Newton's step, its directions never softer than `SOFTEST`, shortened to `REACH_RAD`."""
        stiffness, axes = self._axes()
        step: NDArray[np.float64] = -axes @ ((axes.T @ self.slopes) / stiffness)
        return step * min(1.0, REACH_RAD / max(float(np.abs(step).max()), 1e-12))

    def gain(self, step: NDArray[np.float64]) -> float:
        """How much lower the energy is to be after the step."""
        stiffness, axes = self._axes()
        return -float(self.slopes @ step + 0.5 * (stiffness * (axes.T @ step) ** 2).sum())

    def noise_cost(self) -> float:
        """Mean energy that noise in the slopes costs at a minimum found here: Σ var(slope) / (2 curvature)."""
        stiffness, axes = self._axes()
        variances = np.einsum("ik,ij,jk->k", axes, self.covariance, axes)
        return float((variances / (2.0 * stiffness)).sum())

    def _axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        curvatures, axes = np.linalg.eigh(self.curvatures)
        typical = max(float(np.abs(np.diag(self.curvatures)).mean()), 1e-9)
        return np.maximum(curvatures, SOFTEST * typical), axes


def fit_quadratic(
    frequencies: tuple[Frequencies, ...],
    data: Sequence[tuple[NDArray[np.float64], float, float]],
    centre: NDArray[np.float64],
) -> QuadraticFit | None:
    """The fit to (point, energy, variance) rows; None where they leave a slope or a curvature along an angle open.

    Where an angle has one frequency Ω, sin(Ωd)/Ω and (1 − cos Ωd)/Ω² stand for d and d²/2, which makes the shifts along
    it exact at any size. Curvatures between angles are not asked for: they come from what several rounds' points have
    between them, by ridge regression towards zero (A. E. Hoerl and R. W. Kennard, Technometrics 12 (1970) 55).
    """
    count = len(centre)
    if len(data) < 2 * count + 1:
        return None
    points, values, variances = (np.array(column, float) for column in zip(*data, strict=True))
    linear, square = _terms(frequencies, points - centre)
    own = np.hstack([np.ones((len(points), 1)), linear, square])
    root = _root_weights(variances, points - centre)
    plain = own * root[:, None]
    if np.linalg.cond(plain) > DETERMINED:
        return None
    first = np.linalg.lstsq(plain, values * root, rcond=None)[0]
    typical = max(float(np.abs(first[1 + count :]).mean()), 1e-9)
    upper = np.triu_indices(count, 1)
    rows = np.hstack([own, linear[:, upper[0]] * linear[:, upper[1]]]) * root[:, None]
    ridge = np.diag([0.0] * (2 * count + 1) + [1.0 / (MIXED * typical) ** 2] * len(upper[0]))
    inverse = np.linalg.inv(rows.T @ rows + ridge)
    solved = inverse @ (rows.T @ (values * root))
    curvatures = np.diag(np.array(solved[1 + count : 1 + 2 * count], float))
    curvatures[upper] = solved[1 + 2 * count :]
    curvatures.T[upper] = solved[1 + 2 * count :]
    if not variances.any():
        inverse = np.zeros_like(inverse)
    slopes = np.array(solved[1 : 1 + count], float)
    covariance = np.array(inverse[1 : 1 + count, 1 : 1 + count], float)
    return QuadraticFit(float(solved[0]), math.sqrt(inverse[0, 0]), slopes, curvatures, covariance)


def _terms(
    frequencies: tuple[Frequencies, ...], offsets: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What stands for d and for d²/2, each (k, n)."""
    linear, square = offsets.copy(), offsets**2 / 2.0
    for angle, own in enumerate(frequencies):
        if len(own) == 1:
            phase = own[0] * offsets[:, angle]
            linear[:, angle], square[:, angle] = np.sin(phase) / own[0], (1.0 - np.cos(phase)) / own[0] ** 2
    return linear, square


def _root_weights(variances: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square roots of the rows' weights: one over the variance, fading beyond `NEAR_RAD`."""
    mean = float(variances.mean())
    # energies without noise count as known to 1e-6 hartree: below that, third order speaks
    sharp = np.maximum(variances, VARIANCE_FLOOR * mean) if mean > 0 else np.full(len(variances), 1e-12)
    fading = 1.0 + (np.abs(offsets).max(axis=1) / NEAR_RAD) ** 6
    weights: NDArray[np.float64] = 1.0 / np.sqrt(sharp * fading)
    return weights
