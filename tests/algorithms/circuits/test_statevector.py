"""State vectors of small circuits: compared with Qiskit's, and the lowest minima of spin models."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp, Statevector

from hybridloop.algorithms.choices import Rotations
from hybridloop.algorithms.circuits import simulated_start, statevector
from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.circuits.custom import circuit_ansatz
from hybridloop.algorithms.circuits.hamiltonian_variational import hamiltonian_variational
from hybridloop.algorithms.circuits.simulated_start import simulated_start_near
from hybridloop.algorithms.circuits.statevector import StatevectorModel
from hybridloop.algorithms.rounds import Counts
from tests.algorithms.batched_state_helpers import noiseless_rounds
from tests.value_helpers import known

MORIYA = SparsePauliOp.from_list([("IXX", 1.0), ("IZZ", 1.0), ("XYI", 0.4), ("YXI", -0.4), ("ZZI", 1.0)])
RNG = np.random.default_rng(5)


def paired() -> Ansatz:
    """Return two-qubit rotations between Clifford gates."""
    angles, circuit = ParameterVector("t", 6), QuantumCircuit(3)
    circuit.h(0)
    for number, name in enumerate(("rxx", "ryy", "rzz", "ryy", "rzz", "rxx")):
        getattr(circuit, name)(2.0 * angles[number] - 0.3, number % 3, (number + 1) % 3)
        circuit.s(number % 3)
        circuit.cx((number + 1) % 3, (number + 2) % 3)
    return circuit_ansatz(circuit, RNG)


@pytest.mark.parametrize("kind", ["layered", "variational", "paired"])
def test_energies_and_gradients_are_those_of_the_circuit(kind: str) -> None:
    ansatz = {
        "layered": lambda: hardware_efficient(3, RNG, rotations=Rotations.COMPLEX),
        "variational": lambda: hamiltonian_variational(MORIYA, 2),
        "paired": paired,
    }[kind]()
    model = known(StatevectorModel.of(ansatz.circuit, MORIYA))
    point = RNG.normal(size=ansatz.num_parameters)
    expected = Statevector(ansatz.circuit.assign_parameters(point)).expectation_value(MORIYA).real
    value, gradient = model.objective_and_gradient(point)
    assert value == pytest.approx(expected, abs=1e-10)
    shifts = 1e-5 * np.eye(len(point))
    slopes = [(model.energy(point + shift) - model.energy(point - shift)) / 2e-5 for shift in shifts]
    np.testing.assert_allclose(gradient, slopes, atol=1e-8)
    np.testing.assert_allclose(model.hessian(point), model.hessian(point).T)


def test_the_start_of_a_spin_model_is_its_ground_state_and_always_the_same() -> None:
    ansatz = hamiltonian_variational(MORIYA, 3)
    model = known(StatevectorModel.of(ansatz.circuit, MORIYA))
    start = known(simulated_start_near(model, ansatz.initial_point))
    assert model.energy(start.point) == pytest.approx(np.linalg.eigvalsh(MORIYA.to_matrix())[0], abs=1e-4)
    shorter = hamiltonian_variational(MORIYA, 1)
    quick = known(StatevectorModel.of(shorter.circuit, MORIYA))
    flat = np.zeros(shorter.num_parameters)  # where all slopes are 0: a random start has the lowest minimum
    one, other = (simulated_start_near(quick, flat) for _ in range(2))
    assert known(one).point.tolist() == known(other).point.tolist()


def test_the_rounds_of_the_tests_are_qiskits_distributions() -> None:
    circuit = QuantumCircuit(3, 3)
    angles = ParameterVector("t", 3)
    for gate in ("h", "sdg"):
        getattr(circuit, gate)([0, 1])
    for gate, angle in zip(("rx", "ry", "rz"), angles, strict=True):
        getattr(circuit, gate)(2.0 * angle - 0.3 * angles[0], 1)
    circuit.cx(1, 2)
    for gate, angle in zip(("rxx", "ryy", "rzz"), angles, strict=True):
        getattr(circuit, gate)(angle, 0, 2)
    points = RNG.normal(size=(2, 3))
    measured = circuit.copy()
    measured.measure(range(3), range(3))
    (found,) = noiseless_rounds()([SamplerPub.coerce((measured, points, 10**9))])
    for counts, point in zip(found, points, strict=True):
        assert isinstance(counts, Counts)
        expected = Statevector(circuit.assign_parameters(point)).probabilities_dict()
        assert {key: number / 10**9 for key, number in counts.bitstrings().items()} == pytest.approx(expected, abs=2e-9)


def test_a_circuit_of_too_many_operations_or_bytes_is_not_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    ansatz = hardware_efficient(12, RNG, reps=5)
    operator = SparsePauliOp("Z" * 12)
    model = known(StatevectorModel.of(ansatz.circuit, operator))
    with monkeypatch.context() as patch:
        patch.setattr(statevector, "MAX_BYTES", model.matrix.nnz * statevector.BYTES_PER_ELEMENT)
        assert StatevectorModel.of(ansatz.circuit, operator) is None
    monkeypatch.setattr(statevector, "MAX_OPERATIONS", 100 * model.operations)
    assert StatevectorModel.of(ansatz.circuit, operator) is None


def test_a_first_search_that_does_not_end_within_the_operations_gives_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    ansatz = hamiltonian_variational(MORIYA, 3)
    model = known(StatevectorModel.of(ansatz.circuit, MORIYA))
    monkeypatch.setattr(simulated_start, "MAX_OPERATIONS", 3 * model.operations)
    assert simulated_start_near(model, ansatz.initial_point) is None


def test_a_search_reports_its_operations_and_takes_no_more_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    ansatz = hamiltonian_variational(MORIYA, 3)
    model = known(StatevectorModel.of(ansatz.circuit, MORIYA))
    monkeypatch.setattr(simulated_start, "MAX_OPERATIONS", 500 * model.operations)
    seen: list[tuple[int, int]] = []
    start = known(simulated_start_near(model, ansatz.initial_point, lambda *each: seen.append(each)))
    assert seen == sorted(seen)
    assert seen[-1] == (start.searches, start.operations)
    assert start.operations <= 500 * model.operations
