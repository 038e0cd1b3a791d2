"""Warnings about an energy: below the exact one, or strong correlation; given where they hold and only there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.diagnostics import below_exact_warning, strong_correlation_warning
from hybridloop.algorithms.problems.electronic import ElectronicProblem


@given(st.floats(-2, 2), st.floats(1e-4, 1), st.floats(-10, 10))
def test_an_energy_more_than_three_standard_errors_below_the_exact_one_has_a_warning(
    exact: float, error: float, sigmas: float
) -> None:
    warning = below_exact_warning(exact + sigmas * error, error, 0.0, exact)
    if abs(sigmas + 3) > 1e-6:
        assert (warning is not None) == (sigmas < -3)


def test_an_exact_value_below_the_exact_energy_by_more_than_rounding_has_a_warning() -> None:
    assert below_exact_warning(-1.0009, 0.0, 1e-3, -1.0) is None
    warning = below_exact_warning(-1.0021, 0.0, 1e-3, -1.0)
    assert warning is not None
    assert "2.10 mHa below" in warning
    assert below_exact_warning(-99.0, 0.0, 0.0, None) is None  # no exact energy


def test_the_warning_states_the_weight_of_the_reference_determinant(
    problem_of: Callable[..., ElectronicProblem],
) -> None:
    problem = problem_of("H4_1")
    ansatz = uccsd(problem)
    rng, seen = np.random.default_rng(0), set()
    for scale in (0.02, 0.05, 0.07, 0.1, 0.12, 0.15):
        point = rng.normal(0.0, scale, ansatz.num_parameters)
        state = Statevector(ansatz.circuit.assign_parameters(point)).data
        weight = float(abs(state[problem.reference_state]) ** 2)
        warning = strong_correlation_warning(problem.molecule, point)
        if abs(weight - 0.9) > 0.02:
            assert (warning is not None) == (weight < 0.9)
            seen.add(warning is not None)
        if warning is not None:
            share = float(warning.split("the state has ")[1].split("%")[0]) / 100
            assert share == pytest.approx(weight, abs=0.03)
    assert seen == {True, False}


def test_two_electrons_have_no_warning_of_strong_correlation(
    problem_of: Callable[..., ElectronicProblem],
) -> None:
    for name in ("H2_2.5", "LiH_1.595_cas(2,3)"):
        assert strong_correlation_warning(problem_of(name).molecule, np.full(3, 0.7)) is None
