"""Cirq's circuits with symbols and PennyLane's functions as ansatz: the libraries' own unitaries are the oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

import hybridloop as hl
from hybridloop.compiler.point_gate import PointGate
from hybridloop.compiler.programs import CompiledPerPoint
from hybridloop.errors import InputError
from hybridloop.inputs.circuits import circuit_text
from tests.compiler.languages.program_helpers import cirq, qml, sympy


def overlap(circuit: QuantumCircuit, unitary: NDArray[np.complex128]) -> float:
    """Return the overlap of a circuit with a unitary whose first qubit is the highest, 1 for equal up to a phase."""
    ours = Operator(circuit.reverse_bits()).data
    return float(abs(np.vdot(unitary, ours)) / len(unitary))


@pytest.mark.parametrize(
    "operation",
    [
        lambda q, a: cirq.CZ(q[0], q[1]) ** a,
        lambda q, a: cirq.CX(q[1], q[0]) ** (2 * a),
        lambda q, a: cirq.XX(q[0], q[1]) ** a,
        lambda q, a: cirq.YY(q[0], q[1]) ** a,
        lambda q, a: cirq.ZZ(q[1], q[0]) ** a,
        lambda q, a: cirq.ms(a)(q[0], q[1]),
        lambda q, a: cirq.ISWAP(q[0], q[1]) ** a,
        lambda q, a: cirq.SWAP(q[0], q[1]) ** a,
        lambda q, a: cirq.CCX(*q) ** a,
        lambda q, a: cirq.H(q[0]) ** a,
        lambda q, a: cirq.PhasedXPowGate(phase_exponent=a, exponent=0.3)(q[1]),
        lambda q, a: cirq.FSimGate(a, 0.2)(q[0], q[1]),
        lambda q, a: cirq.givens(a)(q[0], q[1]),
        lambda q, a: cirq.rx(a)(q[0]).controlled_by(q[1]),
        lambda q, a: cirq.ry(a)(q[0]).controlled_by(q[1]),
        lambda q, a: cirq.rz(a)(q[0]).controlled_by(q[1]),
        lambda q, a: (cirq.X**a).controlled()(q[1], q[0]),
        lambda q, a: cirq.PauliStringPhasor(cirq.X(q[0]) * cirq.Y(q[1]) * cirq.Z(q[2]), exponent_neg=a),
    ],
)
def test_a_cirq_operation_is_lifted_to_its_own_unitary(operation: Callable[[Any, Any], Any]) -> None:
    q, (a, b) = cirq.LineQubit.range(3), sympy.symbols("a b")
    circuit = cirq.Circuit(cirq.Y(q[2]) ** 0.25, operation(q, a), cirq.rx(b - a / 2)(q[0]), cirq.CX(q[0], q[2]))
    lifted = hl.ansatz(circuit)
    for point in ([0.37, 0.74], [-2.9, 5.1]):
        resolved = cirq.resolve_parameters(circuit, {"a": point[0], "b": point[1]})
        assert overlap(lifted.assign_parameters(point), cirq.unitary(resolved)) == pytest.approx(1.0, abs=1e-9)


def test_cirqs_symbols_are_sorted_with_numbers_by_value_or_as_they_are_named() -> None:
    names = ["t10", "t2", "alpha"]
    qubits = cirq.LineQubit.range(3)
    turns = [cirq.rx(sympy.Symbol(name))(qubit) for name, qubit in zip(names, qubits, strict=True)]
    circuit = cirq.Circuit(turns, cirq.measure(*qubits))

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
        (3, {}, "int is no circuit"),
    ],
)
def test_what_is_no_ansatz_is_refused_in_words(program: object, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        hl.ansatz(program, **options)


def test_a_cirq_circuit_that_measures_before_its_end_is_no_ansatz() -> None:
    qubit = cirq.LineQubit(0)
    with pytest.raises(InputError, match="measures"):
        hl.ansatz(cirq.Circuit(cirq.rx(sympy.Symbol("a"))(qubit), cirq.measure(qubit), cirq.X(qubit)))


def test_a_program_without_angles_is_a_circuit_to_sample() -> None:
    qubits = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(cirq.X(qubits[0]), cirq.I(qubits[1]))
    assert dict(hl.ansatz(circuit).count_ops()) == {"x": 1}
    assert "U(pi, 0, pi) q[0]" in str(circuit_text(circuit))
