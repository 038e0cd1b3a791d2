"""Lower bound of a quadratic energy by eigenvalues (C. Delorme and S. Poljak, Math. Program. 62 (1993) 557)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.binary.ising import Ising
from hybridloop.algorithms.minimization import minimize

MAX_SPINS = 2000  # a dense matrix of more takes minutes
MATRIX_WORK = 8e9  # operations of eigenvalues, in matrix sizes cubed: a second or two
STEPS = (2, 200)  # fewest and most eigenvalue decompositions
SMOOTHINGS = (0.1, 0.02, 0.004)  # of the lowest eigenvalue, relative to the mean size of all
ROUNDING = 1e-12  # of the matrix's norm: errors of eigenvalues

Array = NDArray[np.float64]


def spectral_bound(energy: Ising) -> float:
    """Return a lower bound of an energy: n · λmin(A + diag u) with Σ u = 0, and terms of three spins or more apart.

    sᵀ A s is the energy of the spins s, with a further spin for the terms of one. Each u gives a bound; L-BFGS looks
    for the best one by the slopes of a smooth approximation of λmin. The bound is −∞ for too many spins.
    """
    count = energy.num_variables + 1
    if count > MAX_SPINS:
        return -math.inf
    matrix, left = np.zeros((count, count)), energy.offset
    for spins, value in energy.terms.items():
        if len(spins) > 2:
            left -= abs(value)
        else:
            i, j = (*spins, count - 1)[:2]
            matrix[i, j] = matrix[j, i] = value / 2.0
    used = np.abs(matrix).any(axis=0)
    matrix = matrix[np.ix_(used, used)]
    if not len(matrix):
        return left
    steps = int(np.clip(MATRIX_WORK / len(matrix) ** 3 / len(SMOOTHINGS), *STEPS))
    shifts, lowest = np.zeros(len(matrix)), -math.inf
    scale = float(np.abs(np.linalg.eigvalsh(matrix)).mean())
    for smoothing in SMOOTHINGS:
        tried = [shifts]

        def negative(point: Array, width: float = smoothing * scale, tried: list[Array] = tried) -> tuple[float, Array]:
            values, vectors = np.linalg.eigh(matrix + np.diag(point - point.mean()))
            weights = np.exp(-(values - values[0]) / width)
            slopes = (vectors**2) @ (weights / weights.sum())
            tried.append(point)
            return width * math.log(weights.sum()) - values[0], slopes.mean() - slopes

        minimize(negative, shifts, {"maxfun": steps})
        bounds = [np.linalg.eigvalsh(matrix + np.diag(each - each.mean()))[0] for each in (tried[0], tried[-1])]
        best = int(np.argmax(bounds))
        shifts, lowest = (tried[0], tried[-1])[best], max(lowest, float(bounds[best]))
    norm = float(np.abs(matrix + np.diag(shifts - shifts.mean())).sum(axis=1).max())
    return left + len(matrix) * (lowest - ROUNDING * norm)
