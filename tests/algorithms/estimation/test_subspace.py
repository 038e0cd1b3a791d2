"""Matrix of a subspace from energies of its states: fit, errors by bootstrap, allocation of shots."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.subspace import (
    BOOTSTRAP_DRAWS,
    MAX_BIAS,
    State,
    SubspaceMatrix,
    allocate_shots,
    measured_states,
)

PAIRS = list(combinations(range(4), 2))
STATES = measured_states(4, PAIRS, is_real=True)
MATRIX = np.array([[-1.1, 0.0, 0.1, 0.05], [0.0, -0.4, 0.15, 0.0], [0.1, 0.15, -0.3, 0.0], [0.05, 0.0, 0.0, 0.5]])


def energies_of(matrix: NDArray[Any], states: list[State]) -> NDArray[np.float64]:
    """Return the energy of each state."""
    vectors = np.zeros((len(states), len(matrix)), complex)
    for row, (i, j, phase) in enumerate(states):
        vectors[row, i] = 1.0
        if phase:
            vectors[row, [i, j]] = np.sqrt(0.5), phase * np.sqrt(0.5)
    energies: NDArray[np.float64] = np.einsum("si,ij,sj->s", vectors.conj(), matrix, vectors).real
    return energies


def test_each_basis_state_is_measured_and_each_pair_with_both_signs() -> None:
    assert measured_states(1, [], is_real=True) == [(0, 0, 0)]
    assert measured_states(2, [(0, 1)], is_real=True) == [(0, 0, 0), (1, 1, 0), (0, 1, 1), (0, 1, -1)]
    assert measured_states(2, [(0, 1)], is_real=False) == [(0, 0, 0), (1, 1, 0), (0, 1, 1), (0, 1, 1j)]
    assert len(set(STATES)) == len(STATES) == 16


def test_a_complex_matrix_with_uncoupled_pairs_is_fitted_with_its_errors() -> None:
    matrix = np.diag([-1.0, -0.2, 0.4, 0.4]).astype(complex)
    matrix[0, 2], matrix[2, 0], matrix[1, 3], matrix[3, 1] = 0.1 - 0.3j, 0.1 + 0.3j, 0.2j, -0.2j
    states = measured_states(4, [(0, 2), (1, 3)], is_real=False)
    assert len(states) == 8
    true, deviation = energies_of(matrix, states), 1e-3
    variances = np.full(len(states), deviation**2)
    fitted = SubspaceMatrix.fit(states, true, variances)
    np.testing.assert_allclose(fitted.matrix, matrix, atol=1e-12)
    np.testing.assert_allclose(fitted.values, np.linalg.eigvalsh(matrix), atol=1e-12)
    generator = np.random.default_rng(3)
    drawn = [SubspaceMatrix.fit(states, generator.normal(true, deviation), variances).values for _ in range(400)]
    # a standard deviation of 400 samples is known to 3.5 %; four times that
    for level in range(4):
        assert np.std(np.array(drawn)[:, level]) == pytest.approx(np.sqrt(fitted.variance(level)), rel=0.14)


@pytest.mark.parametrize("variance", [0.0, 1e-4])
def test_noiseless_energies_give_the_matrix(variance: float) -> None:
    variances = variance * np.arange(1.0, 17.0)
    fitted = SubspaceMatrix.fit(STATES, energies_of(MATRIX, STATES), variances)
    assert fitted.matrix == pytest.approx(MATRIX, abs=1e-12)
    assert fitted.values == pytest.approx(np.linalg.eigvalsh(MATRIX))


def test_errors_and_bias_of_the_bootstrap_are_those_of_repeated_measurements() -> None:
    generator = np.random.default_rng(1)
    deviations = np.linspace(2e-3, 8e-3, len(STATES))
    exact, true_energies = np.linalg.eigvalsh(MATRIX), energies_of(MATRIX, STATES)
    fits = [SubspaceMatrix.fit(STATES, generator.normal(true_energies, deviations), deviations**2) for _ in range(400)]
    values = np.array([fitted.values for fitted in fits])
    rare = np.zeros(len(STATES))
    drawn = fits[0].bootstrap(np.random.default_rng(2), rare)
    assert drawn.shape == (BOOTSTRAP_DRAWS, 4)
    # standard deviations of 400 and 1,000 draws are known to 4 % and 2 %: 15 % is over three of their errors
    assert drawn.std(axis=0) == pytest.approx(values.std(axis=0), rel=0.15)
    for level in range(4):
        assert fits[0].variance(level) ** 0.5 == pytest.approx(values[:, level].std(), rel=0.15)
        shift = values[:, level].mean() - exact[level]
        noise = 3 * values[:, level].std() / 20
        assert abs(shift) <= fits[0].shift_weights(level, 1e-3) @ deviations**2 + noise
    assert (drawn == fits[0].bootstrap(np.random.default_rng(2), rare)).all()
    assert np.ptp(fits[0].bootstrap(np.random.default_rng(2), deviations**2), axis=0).max() == 0.0


def test_allocated_shots_reach_the_precision_and_bound_the_shift_by_noise() -> None:
    precision, generator = 1e-3, np.random.default_rng(3)
    shot_variances = generator.uniform(0.01, 0.1, (len(STATES), 3))
    measured = np.full((len(STATES), 3), 1000)
    energies = energies_of(MATRIX, STATES)
    further = allocate_shots(STATES, energies, shot_variances, measured, [0, 1], precision)
    assert (further >= 0).all()
    fitted = SubspaceMatrix.fit(STATES, energies, (shot_variances / (measured + further)).sum(axis=1))
    for level in (0, 1):
        assert fitted.variance(level) <= precision**2
        assert fitted.shift_weights(level, precision) @ fitted.variances <= MAX_BIAS * precision
    # uniform shots of the same sum are less precise
    uniform = shot_variances.sum(axis=1) / (measured + further).mean()
    level_errors = [SubspaceMatrix.fit(STATES, energies, uniform).variance(level) for level in (0, 1)]
    assert max(level_errors) > 1.2 * precision**2


def test_rounding_errors_are_bounded() -> None:
    generator = np.random.default_rng(4)
    energies, bounds = energies_of(MATRIX, STATES), np.full(len(STATES), 1e-3)
    fitted = SubspaceMatrix.fit(STATES, energies, np.zeros(len(STATES)))
    for _ in range(20):
        wrong = SubspaceMatrix.fit(STATES, energies + generator.choice([-1e-3, 1e-3], len(STATES)), fitted.variances)
        assert np.abs(wrong.values - fitted.values).max() <= fitted.rounding_bound(bounds)
