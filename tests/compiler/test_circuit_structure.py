"""Extraction of a circuit's structure and angles: nothing is lost, and bound values do not change the structure."""

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

from hybridloop.compiler.circuit_structure import UnsupportedInstruction, extract_structure

NO_PARAMETERS = np.zeros((1, 0))


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
@settings(max_examples=25)
def test_a_circuit_rebuilt_from_structure_and_angles_is_the_same_unitary(qubits: int, depth: int, seed: int) -> None:
    circuit = random_circuit(qubits, depth, max_operands=min(qubits, 3), seed=seed)
    structure, angles = extract_structure(circuit)
    rebuilt = structure.circuit(angles(NO_PARAMETERS)[0].tolist())
    assert Operator(rebuilt).equiv(Operator(circuit))


@given(st.floats(-20, 20), st.floats(-20, 20))
def test_binding_before_or_after_extraction_gives_the_same_structure_and_angles(theta: float, phi: float) -> None:
    circuit = ansatz()
    values = {"theta": theta, "phi": phi}
    late, late_angles = extract_structure(circuit)
    early, early_angles = extract_structure(circuit.assign_parameters(values))
    row = np.array([[values[parameter.name] for parameter in circuit.parameters]])
    assert late.key == early.key
    np.testing.assert_allclose(late_angles(row), early_angles(NO_PARAMETERS), atol=1e-12)


def test_names_of_circuits_registers_and_parameters_do_not_change_the_structure() -> None:
    renamed = QuantumCircuit(QuantumRegister(2, "elsewhere"), ClassicalRegister(2, "bits"), name="other")
    renamed.ry(Parameter("a"), 0)
    renamed.cx(0, 1)
    renamed.rz(Parameter("b"), 1)
    renamed.rx(Parameter("c"), 0)
    renamed.barrier()
    renamed.measure([0, 1], [0, 1])
    assert extract_structure(renamed)[0].key == extract_structure(ansatz())[0].key


def test_an_additional_gate_or_swapped_qubits_change_the_structure() -> None:
    keys = {extract_structure(ansatz())[0].key}
    longer = ansatz()
    longer.h(0)
    swapped = QuantumCircuit(2, 2)
    swapped.ry(0.1, 0)
    swapped.cx(1, 0)
    keys |= {extract_structure(longer)[0].key, extract_structure(swapped)[0].key}
    assert len(keys) == 3


def test_composite_gates_are_unrolled_and_their_parameters_reach_the_angles() -> None:
    operator = SparsePauliOp(["ZZI", "XXI"], [1.0, 0.5])
    time = Parameter("t")
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    circuit.append(PauliEvolutionGate(operator, time), range(3))
    structure, angles = extract_structure(circuit)
    rebuilt = structure.circuit(angles(np.array([[0.37]]))[0].tolist())
    expected = Statevector(circuit.assign_parameters({time: 0.37}))
    assert Statevector(rebuilt).equiv(expected)


def test_the_qaoa_ansatz_of_qiskit_has_one_structure_for_all_angles() -> None:
    circuit = qaoa_ansatz(SparsePauliOp(["ZZI", "IZZ"], [1.0, 2.0]), reps=2)
    keys = {extract_structure(circuit.assign_parameters(point))[0].key for point in np.eye(4)}
    assert keys == {extract_structure(circuit)[0].key}


def test_nonaffine_expressions_are_evaluated_correctly() -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(1)
    circuit.rx(theta * theta, 0)
    circuit.rz(theta.sin(), 0)
    angles = extract_structure(circuit)[1](np.array([[0.5], [2.0]]))
    np.testing.assert_allclose(angles, [[0.25, math.sin(0.5)], [4.0, math.sin(2.0)]], atol=1e-12)


def test_control_flow_has_no_structure() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    with pytest.raises(UnsupportedInstruction):
        extract_structure(circuit)
