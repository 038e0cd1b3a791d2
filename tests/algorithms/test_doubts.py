"""Reasons to doubt an energy: said where they hold, and only there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.doubts import below_exact, strongly_correlated
from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.uccsd import uccsd


@given(st.floats(-2, 2), st.floats(1e-4, 1), st.floats(-10, 10))
def test_an_energy_is_doubted_beyond_three_standard_errors_below_the_exact_one(
    exact: float, error: float, sigmas: float
) -> None:
    said = below_exact(exact + sigmas * error, error, 0.0, exact)
    if abs(sigmas + 3) > 1e-6:
        assert (said is not None) == (sigmas < -3)


def test_an_exact_target_is_doubted_beyond_its_rounding() -> None:
    assert below_exact(-1.0009, 0.0, 1e-3, -1.0) is None
    said = below_exact(-1.0021, 0.0, 1e-3, -1.0)
    assert said is not None
    assert "2.10 mHa below" in said
    assert below_exact(-99.0, 0.0, 0.0, None) is None  # nothing is known


def test_the_determinants_weight_is_that_of_the_state(problem_of: Callable[..., ElectronicProblem]) -> None:
    problem = problem_of("H4_1")
    ansatz = uccsd(problem)
    rng, seen = np.random.default_rng(0), set()
    for scale in (0.02, 0.05, 0.07, 0.1, 0.12, 0.15):
        point = rng.normal(0.0, scale, ansatz.num_parameters)
        state = Statevector(ansatz.circuit.assign_parameters(point)).data
        weight = float(abs(state[problem.reference_state]) ** 2)
        said = strongly_correlated(problem.molecule, point)
        if abs(weight - 0.9) > 0.02:
            assert (said is not None) == (weight < 0.9)
            seen.add(said is not None)
        if said is not None:
            share = float(said.split("the state has ")[1].split("%")[0]) / 100
            assert share == pytest.approx(weight, abs=0.03)
    assert seen == {True, False}


def test_two_electrons_are_never_beyond_single_and_double_excitations(
    problem_of: Callable[..., ElectronicProblem],
) -> None:
    for name in ("H2_2.5", "LiH_1.595_cas(2,3)"):
        assert strongly_correlated(problem_of(name).molecule, np.full(3, 0.7)) is None
