"""State vectors of small circuits: compared with Qiskit's, and the lowest minima of spin models."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector

from hybridloop.algorithms.circuits.ansatz import Rotations, hardware_efficient
from hybridloop.algorithms.circuits.hamiltonian_variational import hamiltonian_variational
from hybridloop.algorithms.circuits.simulated_start import simulated_start_near
from hybridloop.algorithms.circuits.statevector import MAX_WORK, StatevectorModel
from hybridloop.settings import ProblemText, VqeSettings
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.preparation_helpers import prepare_vqe

MORIYA = SparsePauliOp.from_list([("IXX", 1.0), ("IZZ", 1.0), ("XYI", 0.4), ("YXI", -0.4), ("ZZI", 1.0)])
RNG = np.random.default_rng(5)


@pytest.mark.parametrize("is_layered", [True, False])
def test_energies_and_gradients_are_those_of_the_circuit(*, is_layered: bool) -> None:
    ansatz = (
        hardware_efficient(3, RNG, rotations=Rotations.COMPLEX) if is_layered else hamiltonian_variational(MORIYA, 2)
    )
    model = StatevectorModel.of(ansatz.circuit, MORIYA)
    assert model is not None
    point = RNG.normal(size=ansatz.num_parameters)
    expected = Statevector(ansatz.circuit.assign_parameters(point)).expectation_value(MORIYA).real
    value, gradient = model.objective_and_gradient(point)
    assert value == pytest.approx(expected, abs=1e-10)
    shifts = 1e-5 * np.eye(len(point))
    slopes = [(model.energy(point + shift) - model.energy(point - shift)) / 2e-5 for shift in shifts]
    np.testing.assert_allclose(gradient, slopes, atol=1e-8)
    np.testing.assert_allclose(model.hessian(point), model.hessian(point).T)


def test_the_start_of_a_spin_model_is_its_ground_state() -> None:
    ansatz = hamiltonian_variational(MORIYA, 3)
    model = StatevectorModel.of(ansatz.circuit, MORIYA)
    assert model is not None
    start = simulated_start_near(model, ansatz.initial_point)
    assert model.energy(start.point) == pytest.approx(np.linalg.eigvalsh(MORIYA.to_matrix())[0], abs=1e-4)
    assert start.point.tolist() == simulated_start_near(model, ansatz.initial_point).point.tolist()


def test_a_circuit_that_takes_too_long_is_not_simulated() -> None:
    ansatz = hardware_efficient(12, RNG, reps=5)
    assert (1 << 12) * ansatz.circuit.size() > MAX_WORK
    assert StatevectorModel.of(ansatz.circuit, SparsePauliOp("Z" * 12)) is None


def test_a_pauli_sum_is_found_in_few_rounds() -> None:
    text = '{"terms": {"XY": 1.0, "YX": -1.0, "ZI": 1.0}}'
    prepared = prepare_vqe(ProblemText(name="sum", text=text), VqeSettings(), 0)
    outcome = prepared.measure(shot_rounds(0), lambda _: None)
    exact = prepared.facts.exact()
    assert exact is not None
    assert outcome.converged
    assert abs(outcome.value - exact) < 1.6e-3 + 4.0 * outcome.standard_error
    assert outcome.rounds <= 10
