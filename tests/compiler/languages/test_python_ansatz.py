"""Cirq's circuits with symbols and PennyLane's functions as ansatz: the libraries' own unitaries are the oracle."""

from __future__ import annotations

from typing import Any

import cirq
import numpy as np
import pennylane as qml
import pytest
import sympy
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

import hybridloop as hl
from hybridloop.compiler.point_gate import PointGate
from hybridloop.compiler.programs import CompiledPerPoint
from hybridloop.errors import InputError
from hybridloop.inputs.circuits import circuit_text

A, B = sympy.symbols("a b")
Q = cirq.LineQubit.range(3)


def overlap(circuit: QuantumCircuit, unitary: NDArray[np.complex128]) -> float:
    """Return the overlap of a circuit with a unitary whose first qubit is the highest, 1 for equal up to a phase."""
    ours = Operator(circuit.reverse_bits()).data
    return float(abs(np.vdot(unitary, ours)) / len(unitary))


@pytest.mark.parametrize(
    "operation",
    [
        cirq.CZ(Q[0], Q[1]) ** A,
        cirq.CX(Q[1], Q[0]) ** (2 * A),
        cirq.XX(Q[0], Q[1]) ** A,
        cirq.YY(Q[0], Q[1]) ** A,
        cirq.ZZ(Q[1], Q[0]) ** A,
        cirq.ms(A)(Q[0], Q[1]),
        cirq.ISWAP(Q[0], Q[1]) ** A,
        cirq.SWAP(Q[0], Q[1]) ** A,
        cirq.CCX(*Q) ** A,
        cirq.H(Q[0]) ** A,
        cirq.PhasedXPowGate(phase_exponent=A, exponent=0.3)(Q[1]),
        cirq.FSimGate(A, 0.2)(Q[0], Q[1]),
        cirq.givens(A)(Q[0], Q[1]),
        cirq.rx(A)(Q[0]).controlled_by(Q[1]),
        cirq.ry(A)(Q[0]).controlled_by(Q[1]),
        cirq.rz(A)(Q[0]).controlled_by(Q[1]),
        (cirq.X**A).controlled()(Q[1], Q[0]),
        cirq.PauliStringPhasor(cirq.X(Q[0]) * cirq.Y(Q[1]) * cirq.Z(Q[2]), exponent_neg=A),
    ],
    ids=str,
)
def test_a_cirq_operation_is_lifted_to_its_own_unitary(operation: cirq.Operation) -> None:
    circuit = cirq.Circuit(cirq.Y(Q[2]) ** 0.25, operation, cirq.rx(B - A / 2)(Q[0]), cirq.CX(Q[0], Q[2]))
    lifted = hl.ansatz(circuit)
    for point in ([0.37, 0.74], [-2.9, 5.1]):
        resolved = cirq.resolve_parameters(circuit, {"a": point[0], "b": point[1]})
        assert overlap(lifted.assign_parameters(point), cirq.unitary(resolved)) == pytest.approx(1.0, abs=1e-9)


def test_cirqs_symbols_are_sorted_with_numbers_by_value_or_as_they_are_named() -> None:
    names = ["t10", "t2", "alpha"]
    circuit = cirq.Circuit(
        [cirq.rx(sympy.Symbol(name))(Q[place]) for place, name in enumerate(names)], cirq.measure(*Q)
    )

    def qubit_of_angles(lifted: QuantumCircuit) -> list[int]:
        places = {item.params[0]: lifted.find_bit(item.qubits[0]).index for item in lifted.data}
        return [places[parameter] for parameter in lifted.parameters]

    assert qubit_of_angles(hl.ansatz(circuit)) == [2, 1, 0]  # alpha, t2, t10
    assert qubit_of_angles(hl.ansatz(circuit, symbols=["t10", "alpha", "t2"])) == [0, 2, 1]
    with pytest.raises(InputError, match="symbols: the Cirq circuit has the symbols alpha, t2, t10"):
        hl.ansatz(circuit, symbols=["t10"])


def of_one_number(angle: Any) -> None:
    """Use the array of angles as a number, which PennyLane takes as a batch of circuits."""
    qml.RY(angle, wires=0)


def layer(angles: Any) -> Any:
    """Return nothing that counts: an asymmetric circuit of PennyLane on the wires 3, 1 and 0."""
    qml.X(3)
    qml.RY(angles[0], wires=1)
    qml.CNOT([1, 0])
    qml.SingleExcitation(2.0 * angles[1], wires=[3, 1])
    return qml.expval(qml.Z(0))


@pytest.mark.parametrize("wires", [[0, 1, 3], [3, 0, 1]])
def test_a_qnode_and_its_function_are_lifted_to_their_own_unitary(wires: list[int]) -> None:
    node = qml.QNode(layer, qml.device("default.qubit", wires=wires))
    lifted = hl.ansatz(node, num_angles=2)
    point = np.array([0.7, -1.9])
    unitary = qml.matrix(layer, wire_order=wires)(point)
    assert overlap(lifted.assign_parameters(point), unitary) == pytest.approx(1.0, abs=1e-9)
    bare = hl.ansatz(layer, num_angles=2)  # its wires, sorted
    assert overlap(bare.assign_parameters(point), qml.matrix(layer, wire_order=[0, 1, 3])(point)) == pytest.approx(1.0)
    wide = hl.ansatz(layer, num_angles=2, num_qubits=4)
    assert wide.num_qubits == 4
    assert not wide.count_ops().keys() & {"id", "measure"}


def test_a_function_that_decides_on_an_angle_runs_in_loops_and_is_refused_in_stored_runs() -> None:
    def decides(angles: Any) -> None:
        if angles[0] > 0.1:
            qml.X(0)
        qml.RX(angles[0], 1)

    with pytest.warns(CompiledPerPoint, match="decides is compiled for each point"):
        circuit = hl.ansatz(decides, num_angles=1, num_qubits=2)
    assert isinstance(circuit.data[0].operation, PointGate)
    assert dict(circuit.assign_parameters([0.2]).decompose().count_ops()) == {"x": 1, "rx": 1}
    with pytest.raises(InputError, match="a run stores only Q# source"):
        hl.plan("vqe", "h2", ansatz=circuit)


@pytest.mark.parametrize(
    ("program", "options", "message"),
    [
        (layer, {}, "num_angles: the length of the function's array"),
        (layer, {"num_angles": 1}, "layer can't be called with an array of 1"),
        (of_one_number, {"num_angles": 1}, r"turns a gate by its whole array.*angles\[0\]"),
        (layer, {"num_angles": 3}, r"angle\[2\] of 3 angle"),
        (layer, {"num_angles": 2, "operation": "Layer"}, "operation: .* no such option"),
        (layer, {"num_angles": -1}, "num_angles: layer can't have -1 angles"),
        (cirq.Circuit(cirq.rx(A)(Q[0]), cirq.measure(Q[0]), cirq.X(Q[0])), {}, "measures"),
        (3, {}, "int is no circuit"),
    ],
)
def test_what_is_no_ansatz_is_refused_in_words(program: object, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        hl.ansatz(program, **options)


def test_a_program_without_angles_is_a_circuit_to_sample() -> None:
    circuit = cirq.Circuit(cirq.X(Q[0]), cirq.I(Q[1]))
    assert dict(hl.ansatz(circuit).count_ops()) == {"x": 1}
    assert "U(pi, 0, pi) q[0]" in str(circuit_text(circuit))
