"""QAOA's table of fixed angles, by the iteration that made it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.qaoa_angles import cut_fraction, optimal_angles
from tests.algorithms.qaoa_helpers import TABLE


@pytest.mark.parametrize("layers", TABLE)
def test_the_table_has_the_optimum_and_its_cut_fraction(layers: str) -> None:
    entry = TABLE[layers]
    betas, gammas = np.array(entry["beta"]), np.array(entry["gamma"])
    assert len(betas) == len(gammas) == int(layers)
    assert cut_fraction(betas, gammas) == pytest.approx(entry["cut_fraction"], abs=1e-12)
    if int(layers) > 5:
        return  # a slope of so many takes seconds
    for shift in 1e-5 * np.eye(2 * int(layers)):
        ahead, behind = (np.concatenate([betas, gammas]) + sign * shift for sign in (1, -1))
        slope = (cut_fraction(*np.split(ahead, 2)) - cut_fraction(*np.split(behind, 2))) / 2e-5
        assert abs(slope) < 1e-6


def test_one_layer_is_optimized_to_the_known_angles() -> None:
    # Z. Wang et al., Phys. Rev. A 97 (2018) 022304, for 3-regular graphs without triangles
    beta, gamma = optimal_angles(np.array([0.5, 0.5]))
    assert (beta, gamma) == pytest.approx((np.pi / 8, np.arctan(1 / np.sqrt(2))), abs=1e-4)
