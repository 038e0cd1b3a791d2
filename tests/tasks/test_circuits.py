"""Circuits of every kind in a session: counts agree with Qiskit's state vector."""

import numpy as np
import pytest
from azure.quantum import Workspace
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import QFTGate, RYGate
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Statevector

from hybridloop.tasks.session import OpenSession
from tests.session_helpers import open_run_session

SHOTS = 10_000


def phases() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    circuit.p(0.3, 0)
    circuit.cp(0.7, 0, 1)
    circuit.u(0.1, 0.2, 0.3, 2)
    circuit.cu(0.4, 0.5, 0.6, 0.7, 1, 2)
    circuit.h(range(3))
    return circuit


def controls() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.ry(0.8, 0)
    circuit.append(RYGate(1.1).control(2, ctrl_state=1, annotated=False), [0, 1, 2])
    circuit.ccx(0, 2, 1)
    circuit.cswap(0, 1, 2)
    return circuit


def prepared() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.initialize([0.1, 0.5, 0.5, np.sqrt(1 - 0.51)], [0, 1])
    circuit.append(QFTGate(2), [0, 1])
    return circuit


def assert_measured(session: OpenSession, circuit: QuantumCircuit) -> None:
    """Assert that the exact counts of the target that does not sample agree with the state vector."""
    wanted = Statevector.from_instruction(circuit).probabilities_dict()
    circuit = circuit.measure_all(inplace=False)
    found = session.sampler(shots=SHOTS).run([circuit]).result()[0].data.meas.get_counts()
    assert found.keys() <= {bits for bits, share in wanted.items() if share > 0}
    assert all(abs(found.get(bits, 0) - share * SHOTS) <= 1.01 for bits, share in wanted.items())


@pytest.mark.parametrize("circuit", [phases(), controls(), prepared()], ids=["phases", "controls", "prepared"])
def test_gates_outside_the_basis_are_translated_correctly(workspace: Workspace, circuit: QuantumCircuit) -> None:
    with open_run_session(workspace, "ionq.simulator") as session:
        assert_measured(session, circuit)


def test_random_circuits_give_their_own_distributions(workspace: Workspace) -> None:
    with open_run_session(workspace, "ionq.simulator") as session:
        for seed in range(6):
            assert_measured(session, random_circuit(3, 4, max_operands=3, seed=seed))


def test_a_global_phase_that_depends_on_a_parameter_changes_nothing(workspace: Workspace) -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(1, global_phase=theta)
    circuit.p(theta, 0)
    circuit.rx(2 * theta, 0)
    circuit.measure_all()
    with open_run_session(workspace, "ionq.simulator") as session:
        counts = session.sampler(shots=SHOTS).run([(circuit, [[0.4], [1.2]])]).result()[0].data.meas
    for point, angle in enumerate((0.4, 1.2)):
        assert abs(counts.get_int_counts(point)[1] - np.sin(angle) ** 2 * SHOTS) <= 1.01
