"""Energy variance: its value against dense matrices, what it proves, and its price."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.variance import MAX_SHOT_SHARE, EnergyVariance, measure_variance
from hybridloop.algorithms.estimation.variance import squared_observable as squared_of
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.spin_models import MORIYA, chain, dense, spin_model

TERMS = spin_model(3, chain(3), MORIYA, "Z")
HAMILTONIAN = SparsePauliOp.from_list(list(TERMS.items()))
MATRIX = dense(TERMS)
NOTHING = Ansatz("state", QuantumCircuit(3), np.zeros(0), ())


def state_and_moments(seed: int) -> tuple[NDArray[np.complex128], float, float]:
    generator = np.random.default_rng(seed)
    state = generator.normal(size=8) + 1j * generator.normal(size=8)
    state /= np.linalg.norm(state)
    image = MATRIX @ state
    energy = float(np.vdot(state, image).real)
    return state, energy, float(np.vdot(image, image).real) - energy**2


def test_the_variance_is_that_of_the_matrix_within_its_error() -> None:
    squared = squared_of(HAMILTONIAN)
    assert squared is not None
    deviations = []
    for seed in range(12):
        state, energy, variance = state_and_moments(seed)
        estimate = Estimate(energy, 1e-6, 10**6)
        found = measure_variance(squared, NOTHING, np.zeros(0), estimate, 20.0, 10**7, shot_rounds(seed, state))
        assert found is not None
        assert found.shots <= MAX_SHOT_SHARE * 10**7 + 100 * found.circuits
        deviations.append((found.value - variance) / found.standard_error)
    assert max(map(abs, deviations)) < 3.5  # twelve normal values: once in 180 seeds


@given(st.integers(0, 2**32))
def test_what_the_variance_proves_is_true(seed: int) -> None:
    _, energy, variance = state_and_moments(seed)
    levels = np.linalg.eigvalsh(MATRIX)
    proven = EnergyVariance(variance, 0.0, float(levels[-1]) - energy, 1.6e-3, 1, 1)
    assert 0.0 < proven.least_error <= energy - levels[0] + 1e-9
    assert proven.nearest_eigenvalue >= float(np.abs(levels - energy).min()) - 1e-9
    assert proven.warning is not None


def test_an_eigenstate_has_no_variance_and_no_warning() -> None:
    levels, vectors = np.linalg.eigh(MATRIX)
    squared = squared_of(HAMILTONIAN)
    assert squared is not None
    energy = Estimate(float(levels[0]), 5e-7, 10**7)
    for rounds in (shot_rounds(1, vectors[:, 0]),):
        found = measure_variance(squared, NOTHING, np.zeros(0), energy, 20.0, 10**7, rounds)
        assert found is not None
        assert abs(found.value) < 4 * found.standard_error
        assert found.warning is None
        assert f"{found.shots:,} shots" in found.summary


def test_a_large_operator_has_no_affordable_square() -> None:
    many = SparsePauliOp(["".join("XZ"[i >> q & 1] for q in range(7)) for i in range(101)], np.ones(101))
    assert squared_of(many) is None


def test_the_square_of_one_term_needs_no_circuit() -> None:
    squared = squared_of(SparsePauliOp("YY", 2.0))
    assert squared is not None
    nothing = Ansatz("state", QuantumCircuit(2), np.zeros(0), ())
    found = measure_variance(squared, nothing, np.zeros(0), Estimate(-2.0, 0.0, 9), 2.0, 9, noiseless_rounds())
    assert found is not None
    assert (found.value, found.circuits) == (0.0, 0)


def test_noise_hides_a_small_variance() -> None:
    assert EnergyVariance(0.05, 0.02, 10.0, 1.6e-3, 1, 1).warning is None
    assert EnergyVariance(0.09, 0.02, 10.0, 1.6e-3, 1, 1).least_error == pytest.approx(0.003)
