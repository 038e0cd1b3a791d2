"""Fixed angles of QAOA: optimal ones for max-cut on 3-regular graphs without short cycles, by exact iteration.

`python -m benchmarks.qaoa_angles` prints the table of `hybridloop/data/qaoa_angles.json`, optimized again.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms.qaoa.circuit import interpolate_angles

MOST_LAYERS = 7
BRANCHES = 2  # of each node of the tree below its parent
_DIFFERENCE_RAD = 1e-6


def cut_fraction(betas: NDArray[np.float64], gammas: NDArray[np.float64]) -> float:
    """Return the expected share of edges cut, at angles (p,) of Π exp(−i β ΣX) exp(−i γ C) |+⟩.

    J. Basso et al., TQC 2022 (arXiv:2110.14206), section 3, for finite degrees: a sum over configurations of the
    2 p + 1 bits of one node, once for each step away from the edge. The phases depend on products of bits only, so each
    sum is a convolution, by Walsh-Hadamard transforms.
    """
    layers = len(betas)
    bits = 2 * layers + 1  # ordered 1 … p, 0, −p … −1; the middle one is measured
    spins = 1 - 2 * (np.arange(2**bits)[:, None] >> np.arange(bits) & 1)
    phases = np.concatenate([gammas, [0.0], -gammas[::-1]]) / 2.0
    turns = np.concatenate([betas, -betas[::-1]])
    weights = np.full(2**bits, 0.5, complex)
    for place, turn in enumerate(turns):
        same = spins[:, place] == spins[:, place + 1]
        weights *= np.where(same, np.cos(turn), 1j * np.sin(turn))
    angles = spins @ phases
    cosines = _transform(np.cos(angles).astype(complex))
    branch = np.ones(2**bits, complex)
    for _ in range(layers):
        branch = (_transform(_transform(weights * branch) * cosines) / 2**bits) ** BRANCHES
    node = np.asarray(spins[:, layers] * weights * branch, complex)
    sines = _transform(np.sin(angles).astype(complex))
    edge = node @ (_transform(_transform(node) * sines) / 2**bits)
    return 0.5 + float((0.5j * edge).real)


def _transform(values: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return the Walsh-Hadamard transform, unnormalized."""
    half = 1
    while half < len(values):
        parts = values.reshape(-1, 2, half)
        values = np.stack([parts[:, 0] + parts[:, 1], parts[:, 0] - parts[:, 1]], axis=1).reshape(-1)
        half *= 2
    return values


def optimal_angles(start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the local optimum (β, γ) near a start (2 p,)."""

    def missed(point: NDArray[np.float64]) -> float:
        return -cut_fraction(*np.split(point, 2))

    found = minimize(missed, start, method="BFGS", options={"gtol": 1e-8, "eps": _DIFFERENCE_RAD})
    return np.asarray(found.x, float)


def main() -> int:
    """Optimize one number of layers after the other, each from the one before, and print them."""
    table = {}
    point = np.array([np.pi / 8, np.arctan(1 / np.sqrt(2))])
    for layers in range(1, MOST_LAYERS + 1):
        if layers > 1:
            point = np.concatenate([interpolate_angles(half) for half in np.split(point, 2)])
        point = optimal_angles(point)
        betas, gammas = np.split(point, 2)
        table[str(layers)] = {"gamma": gammas.tolist(), "beta": betas.tolist()}
        table[str(layers)]["cut_fraction"] = cut_fraction(betas, gammas)
    print(json.dumps({"3-regular": table}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
