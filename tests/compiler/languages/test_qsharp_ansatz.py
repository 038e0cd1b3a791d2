"""Q# operations as ansatz: their states, qubits and angles in order, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from qdk import Context, TargetProfile
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

import hybridloop as hl
from hybridloop.compiler.languages.qsharp_ansatz import QsharpAnsatz
from hybridloop.compiler.programs import CompiledPerPoint, PubCompiler
from hybridloop.errors import InputError

SOURCE = """
// operation Decoy(qs : Qubit[], angles : Double[]) : Unit {}
namespace Chemistry {
    struct Pair { First : Double, Second : Double }
    operation Ladder(qs : Qubit[], angles : Double[]) : Unit {
        X(qs[0]);
        Ry(angles[0] - 0.25, qs[1]);
        CNOT(qs[1], qs[2]);
        Rzz(-2.0 * angles[1], qs[0], qs[2]);
        Relabel([qs[0], qs[1]], [qs[1], qs[0]]);
        Rx(angles[1], qs[0]);
    }
    operation Pieces(first : Double, a : Qubit, b : Qubit, second : Double) : Unit {
        let pair = new Pair { First = first, Second = second };
        Rx(pair.First, a);
        if second > 1.0 { Z(b); }
        Ry(pair.Second, b);
        CNOT(b, a);
    }
    operation Measured(qs : Qubit[], angles : Double[]) : Unit { Rx(angles[0], qs[0]); let _ = M(qs[0]); }
    operation Helped(qs : Qubit[], angles : Double[]) : Unit {
        use helper = Qubit();
        Rx(angles[0], qs[0]);
        CNOT(qs[0], helper);
        CNOT(qs[0], helper);
    }
    operation Result(qs : Qubit[], angles : Double[]) : Unit is Adj + Ctl { Rx(angles[2], qs[0]); }
    operation Other(qs : Qubit[], count : Int) : Unit { X(qs[count]); }
}
"""


def ladder(first: float, second: float) -> QuantumCircuit:
    """Return the ladder as its Q# source has it; after the relabelling, qubit 0 is the former qubit 1."""
    circuit = QuantumCircuit(3)
    circuit.x(0)
    circuit.ry(first - 0.25, 1)
    circuit.cx(1, 2)
    circuit.rzz(-2.0 * second, 0, 2)
    circuit.swap(0, 1)
    circuit.rx(second, 0)
    return circuit


def pieces(first: float, second: float) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.rx(first, 0)
    if second > 1.0:
        circuit.z(1)
    circuit.ry(second, 1)
    circuit.cx(1, 0)
    return circuit


def fidelity(one: QuantumCircuit, other: QuantumCircuit) -> float:
    return float(abs(np.vdot(Statevector(one).data, Statevector(other).data)))


def test_an_operation_is_lifted_with_its_qubits_and_angles_in_order() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        circuit = hl.ansatz(SOURCE, operation="Ladder", num_qubits=3, num_angles=2)
    assert circuit.name == "Chemistry.Ladder"
    assert (circuit.num_qubits, circuit.num_clbits, circuit.num_parameters) == (3, 0, 2)
    for point in np.random.default_rng(3).uniform(-6.0, 6.0, (4, 2)):
        assert fidelity(circuit.assign_parameters(point), ladder(*point)) == pytest.approx(1.0, abs=1e-9)


def test_an_operation_that_decides_on_an_angle_is_compiled_at_each_point_with_one_warning() -> None:
    points = np.array([[0.4, 0.3], [0.4, 1.3]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        circuit = hl.ansatz(SOURCE, operation="Pieces")
        measured = circuit.copy()
        measured.measure_all()
        compiled = PubCompiler("Base").compile_pub(SamplerPub.coerce((measured, points, 10)))
    assert [warning.category for warning in caught] == [CompiledPerPoint]
    assert "Chemistry.Pieces is compiled for each point" in str(caught[0].message)
    assert [payload.count(b"call void @__quantum__qis__z__body") for payload in compiled.payloads] == [0, 1]
    assert len(set(compiled.keys)) == 2
    undone = circuit.compose(circuit.inverse())
    for point in points:
        assert fidelity(circuit.assign_parameters(point), pieces(*point)) == pytest.approx(1.0, abs=1e-9)
        assert fidelity(undone.assign_parameters(point), QuantumCircuit(2)) == pytest.approx(1.0, abs=1e-9)


def test_a_stored_text_is_q_sharp_and_gives_the_same_operation() -> None:
    operation = QsharpAnsatz.find(SOURCE, "Pieces")
    text = operation.to_text()
    assert text.startswith("// hybridloop: operation Chemistry.Pieces, 2 qubits, 2 angles\n")
    again = QsharpAnsatz.from_text(text)
    assert again == operation
    assert again.key == operation.key != QsharpAnsatz.find(SOURCE + " ", "Pieces").key


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (SOURCE, {}, "ansatz: .* has the operations Chemistry.Ladder, Chemistry.Pieces"),
        (
            SOURCE,
            {"operation": "Other"},
            "no operation named Other of qubits and angles.*of one: Chemistry.Ladder, Chem",
        ),
        ("operation A(q : Qubit, a : Double) : Result { Ry(a, q); M(q) }", {}, "Give one that returns Unit"),
        (SOURCE, {"operation": "Decoy"}, "no operation named Decoy"),
        (
            SOURCE,
            {"operation": "Ladder", "num_angles": 2},
            r"num_qubits: .* not stated.*--ansatz FILE\.qs,num_qubits=2",
        ),
        (SOURCE, {"operation": "Ladder", "num_qubits": 3, "num_angles": 0}, "num_angles"),
        (SOURCE, {"operation": "Pieces", "num_qubits": 3}, "num_qubits: .* parameters are 2"),
        (SOURCE, {"operation": "Pieces", "symbols": ["a"]}, "symbols: .* no such option"),
        (SOURCE, {"operation": "Measured", "num_qubits": 1, "num_angles": 1}, "Measured is no circuit of gates"),
        (SOURCE, {"operation": "Helped", "num_qubits": 1, "num_angles": 1}, "qubits of its own"),
        (SOURCE, {"operation": "Result", "num_qubits": 1, "num_angles": 1}, "line 27: .*index out of range: 2"),
        ("operation A(q : Qubit, a : Double) : Unit {\n Foo(); }", {}, "line 2: name error: `Foo` not found"),
    ],
)
def test_what_is_no_ansatz_is_refused_in_words(source: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        hl.ansatz(source, **options)  # type: ignore[arg-type]


def test_a_users_own_interpreter_is_taken_and_keeps_its_state() -> None:
    own = Context(target_profile=TargetProfile.Base)
    own.eval("operation Mine(qs : Qubit[], angles : Double[]) : Unit { Ry(3.0 * angles[0], qs[1]); }")
    circuit = hl.ansatz(own.code.Mine, num_qubits=2, num_angles=1)
    assert [(item.name, item.qubits[0]) for item in circuit.data] == [("ry", circuit.qubits[1])]
    hl.ansatz("operation Yours(q : Qubit, a : Double) : Unit { Rx(a, q); }")
    assert vars(own.code).keys() == {"Mine"}
    keys = set()
    for again in (own, Context(target_profile=TargetProfile.Base)):  # as in two processes
        again.eval("operation Turn(qs : Qubit[], a : Double[]) : Unit { if a[0] > 0.5 { X(qs[0]); } Ry(a[0], qs[0]); }")
        with pytest.warns(CompiledPerPoint):
            keys.add(hl.ansatz(again.code.Turn, num_qubits=1, num_angles=1).data[0].name)
    assert len(keys) == 1
    unrestricted = Context()
    unrestricted.eval("operation Mine(qs : Qubit[], angles : Double[]) : Unit { Ry(angles[0], qs[0]); }")
    with pytest.raises(InputError, match=r"qdk.init\(target_profile=qdk.TargetProfile.Base\)"):
        hl.ansatz(unrestricted.code.Mine, num_qubits=2, num_angles=1)
