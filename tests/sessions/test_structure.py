"""Lifting a circuit into structure and angles loses nothing, and sees the same structure whatever is bound."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.circuit.library import PauliEvolutionGate, qaoa_ansatz
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector

from hybridloop.sessions.structure import NotLiftable, lift

NOTHING_BOUND = np.zeros((1, 0))


def ansatz() -> QuantumCircuit:
    theta, phi = Parameter("theta"), Parameter("phi")
    circuit = QuantumCircuit(2, 2)
    circuit.ry(theta, 0)
    circuit.cx(0, 1)
    circuit.rz(2 * phi - theta + 0.5, 1)
    circuit.rx(0.25, 0)
    circuit.measure([0, 1], [0, 1])
    return circuit


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_lifted_circuit_put_together_again_is_the_same_unitary(qubits: int, depth: int, seed: int) -> None:
    circuit = random_circuit(qubits, depth, max_operands=min(qubits, 3), seed=seed)
    lifted = lift(circuit)
    again = lifted.structure.circuit(lifted.angles(NOTHING_BOUND)[0].tolist())
    assert Operator(again).equiv(Operator(circuit))


@given(st.floats(-20, 20), st.floats(-20, 20))
def test_binding_first_or_last_gives_the_same_structure_and_angles(theta: float, phi: float) -> None:
    circuit = ansatz()
    values = {"theta": theta, "phi": phi}
    late, early = lift(circuit), lift(circuit.assign_parameters(values))
    row = np.array([[values[parameter.name] for parameter in circuit.parameters]])
    assert late.structure.key == early.structure.key
    np.testing.assert_allclose(late.angles(row), early.angles(NOTHING_BOUND), atol=1e-12)


def test_names_of_circuits_registers_and_parameters_do_not_count() -> None:
    one = ansatz()
    other = QuantumCircuit(QuantumRegister(2, "elsewhere"), ClassicalRegister(2, "bits"), name="other")
    other.ry(Parameter("a"), 0)
    other.cx(0, 1)
    other.rz(Parameter("b"), 1)
    other.rx(Parameter("c"), 0)
    other.barrier()
    other.measure([0, 1], [0, 1])
    assert lift(one).structure.key == lift(other).structure.key


def test_a_gate_more_or_a_qubit_swapped_is_another_structure() -> None:
    keys = {lift(ansatz()).structure.key}
    more = ansatz()
    more.h(0)
    swapped = QuantumCircuit(2, 2)
    swapped.ry(0.1, 0)
    swapped.cx(1, 0)
    keys |= {lift(more).structure.key, lift(swapped).structure.key}
    assert len(keys) == 3


def test_composite_gates_are_unrolled_and_their_parameters_reach_the_angles() -> None:
    operator = SparsePauliOp(["ZZI", "XXI"], [1.0, 0.5])
    time = Parameter("t")
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    circuit.append(PauliEvolutionGate(operator, time), range(3))
    lifted = lift(circuit)
    again = lifted.structure.circuit(lifted.angles(np.array([[0.37]]))[0].tolist())
    wanted = Statevector(circuit.assign_parameters({time: 0.37}))
    assert Statevector(again).equiv(wanted)


def test_qaoa_of_the_circuit_library_keeps_its_structure_over_angles() -> None:
    circuit = qaoa_ansatz(SparsePauliOp(["ZZI", "IZZ"], [1.0, 2.0]), reps=2)
    keys = {lift(circuit.assign_parameters(point)).structure.key for point in np.eye(4)}
    assert keys == {lift(circuit).structure.key}


def test_an_expression_that_is_no_affine_function_is_still_evaluated_rightly() -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(1)
    circuit.rx(theta * theta, 0)
    circuit.rz(theta.sin(), 0)
    angles = lift(circuit).angles(np.array([[0.5], [2.0]]))
    np.testing.assert_allclose(angles, [[0.25, math.sin(0.5)], [4.0, math.sin(2.0)]], atol=1e-12)


def test_control_flow_can_not_be_lifted() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    with pytest.raises(NotLiftable):
        lift(circuit)
