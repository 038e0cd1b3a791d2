"""Programs of all languages become circuits whose bits are in Qiskit's order; what is not taken is refused in words."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import Operator

from hybridloop.compiler.languages.convert import to_circuit
from hybridloop.compiler.languages.from_qsharp import QsharpProgram
from hybridloop.errors import InputError
from tests.compiler.languages.program_helpers import (
    OPENQASM_2,
    OPENQASM_3,
    QSHARP,
    cirq,
    cirq_circuit,
    pennylane_node,
    qiskit_circuit,
    qml,
    sympy,
)


def outcome(circuit: QuantumCircuit) -> str:
    """Return the one bit string that a circuit without superposition measures, a space between registers."""
    simulator = BasicSimulator()
    (bits,) = simulator.run(transpile(circuit, simulator), shots=1).result().get_counts()
    return str(bits)


def unitary(circuit: QuantumCircuit) -> np.ndarray[Any, Any]:
    """Return the matrix of a circuit's gates, big-endian as Cirq and PennyLane write theirs."""
    gates = circuit.remove_final_measurements(inplace=False)
    return np.asarray(Operator(gates.reverse_bits()).data)


def is_same(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> bool:
    """Return whether two unitary matrices differ by a phase alone."""
    return bool(abs(abs(np.vdot(left, right)) - len(left)) < 1e-9)


@pytest.mark.parametrize(
    "make",
    [
        qiskit_circuit,
        cirq_circuit,
        lambda: cirq_circuit().freeze(),
        pennylane_node,
        lambda: qml.tape.QuantumScript([qml.X(0)], [qml.counts(wires=[0, 1, 2])]),
        lambda: OPENQASM_2,
        lambda: OPENQASM_3,
        lambda: OPENQASM_3.encode(),
        lambda: f"// X on the first qubit\n/* of three */ {OPENQASM_3}",
    ],
    ids=["Qiskit", "Cirq", "frozen", "QNode", "tape", "OpenQASM 2", "OpenQASM 3", "bytes", "comments"],
)
def test_the_first_qubits_bit_is_the_rightmost_in_every_language(make: Callable[[], Any]) -> None:
    assert outcome(to_circuit(make(), "Base")) == "001"


def test_each_key_of_cirq_is_a_register_in_the_order_of_its_first_qubit() -> None:
    low, middle, high = qubits = cirq.LineQubit.range(3)
    measured = cirq.measure(low, middle, key="z pair"), cirq.measure(high, key="a", invert_mask=(True,))
    circuit = to_circuit(cirq.Circuit(cirq.X(low), *measured), "Base")
    assert [register.name for register in circuit.cregs] == ["z pair", "a"]
    assert outcome(circuit) == "1 01"
    assert circuit.data[-1].name == "measure"  # no gate follows the measurement whose bits are inverted
    each = to_circuit(cirq.Circuit(cirq.X(middle), cirq.measure_each(*qubits)), "Base")
    assert outcome(each) == "0 1 0"


def test_cirq_gates_keep_all_digits_of_their_angles() -> None:
    qubits = cirq.LineQubit.range(3)
    gates = cirq.Circuit(
        cirq.ry(2.498091544796509).on(qubits[0]),
        cirq.PhasedXPowGate(phase_exponent=0.3, exponent=0.7).on(qubits[1]),
        cirq.ISWAP(qubits[1], qubits[2]) ** 0.3,
        cirq.CircuitOperation(cirq.FrozenCircuit(cirq.CCX(*qubits), cirq.X(qubits[2]) ** 0.1)),
    )
    assert is_same(unitary(to_circuit(gates + cirq.measure(*qubits), "Base")), cirq.unitary(gates))


def test_pennylane_wires_have_the_order_of_the_device_and_bits_the_order_of_the_measurement() -> None:
    @qml.qnode(qml.device("default.qubit", wires=["a", "b", "c"]))  # type: ignore[untyped-decorator]  # PennyLane has no types
    def program(angle: float, *, flips: bool = False) -> Any:
        qml.RY(angle, wires="a")
        qml.QFT(wires=["a", "b", "c"])
        qml.adjoint(qml.QFT)(wires=["a", "b", "c"])
        if flips:
            qml.X("c")
        return qml.counts(wires=["c", "b"]), qml.sample(wires=["a"])

    assert outcome(to_circuit(functools.partial(program, np.pi, flips=True), "Base")) == "101"
    assert outcome(to_circuit(functools.partial(program, 0.0, flips=True), "Base")) == "001"
    tilted = functools.partial(program, 0.7)
    expected = qml.matrix(
        qml.tape.QuantumScript(qml.workflow.construct_tape(program)(0.7).operations), wire_order="abc"
    )
    assert is_same(unitary(to_circuit(tilted, "Base")), np.asarray(expected))


def test_a_file_is_read_by_its_path_or_its_name(tmp_path: Path) -> None:
    for path, text in ((tmp_path / "two.qasm", OPENQASM_2), (tmp_path / "three.qasm", OPENQASM_3)):
        path.write_text(text)
        assert outcome(to_circuit(path, "Base")) == outcome(to_circuit(str(path), "Base")) == "001"
        assert to_circuit(path, "Base").name == path.name


def needs_an_angle(angle: float) -> Any:
    qml.RX(angle, wires=0)
    return qml.counts()


def measures_early() -> Any:
    qml.cond(qml.measure(0), qml.X)(1)
    return qml.counts()


def expects() -> Any:
    return qml.expval(qml.Z(0))


def counts_an_observable() -> Any:
    return qml.counts(qml.X(0))


def node(measures: Callable[..., Any]) -> Callable[[], Any]:
    return lambda: qml.QNode(measures, qml.device("default.qubit", wires=3))


def of_cirq(*operations: Callable[[Any], Any]) -> Callable[[], Any]:
    """Return a maker of a circuit of Cirq; each operation is a function of its qubit."""
    return lambda: cirq.Circuit(operation(cirq.LineQubit(0)) for operation in operations)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            of_cirq(lambda q: cirq.X(q) ** sympy.Symbol("t"), lambda q: cirq.measure(q)),
            r"\(t\).*resolve_parameters",
        ),
        (of_cirq(lambda q: cirq.depolarize(0.1).on(q), lambda q: cirq.measure(q)), "no OpenQASM: Cannot output.*depol"),
        (of_cirq(*[lambda q: cirq.measure(q, key="k")] * 2), "measures the key 'k' more than once.*of its own"),
        (of_cirq(lambda _: cirq.measure(cirq.LineQid(0, 3))), "acts on a qudit"),
        (of_cirq(lambda q: cirq.X(q)), r"no measurement.*cirq\.measure"),
        (node(needs_an_angle), r"missing 1 required.*functools\.partial\(qnode"),
        (node(measures_early), "measures_early measures a wire before its end"),
        (node(expects), r"returns expectation.*qml\.counts\(wires.*estimator"),
        (node(counts_an_observable), "counts of an observable"),
        (lambda: qml.tape.QuantumScript([qml.X(0)]), "no measurement.*qml.counts"),
    ],
)
def test_a_circuit_of_another_library_is_refused_with_the_way_out(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_circuit(make(), "Base")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("OPENQASM 2.0;\nqreg q[1];\nfoo q[0];", "line 3 is no OpenQASM 2: 'foo' is not defined"),
        ("OPENQASM 3.0;\nqubit q;\nfoo q;", r"line 3: undefined symbol: foo"),
        ("OPENQASM 3.0;\nqubit q;", "no measurement.*c = measure q"),
        ("OPENQASM 3.0;\nuint n = 2;\nqubit[2] q;", "declares no bits, so its jobs would have no counts"),
        ("OPENQASM 4.0;", "OpenQASM 4.*2 and 3 are taken"),
        (QSHARP, r"may be Q#, and its entry is not named.*hl\.qsharp\(source"),
        (
            QsharpProgram("operation Main() : Result { use q = Qubit() M(q) }"),
            r"(?s)line 1: syntax error.*Correct the source\.$",
        ),
        (QsharpProgram(QSHARP, "Other()"), r"`Other` not found.*what it calls, 'Other\(\)'"),
        (QsharpProgram(QSHARP, "Main"), r"entry: 'Main' does not call its operation.*Give entry 'Main\(\)'"),
        ("missing.qasm", r"missing\.qasm can't be read \(No such file"),
        (b"\xff\xfe", "neither text nor LLVM bitcode"),
        (3, "int is no program.*Cirq.*PennyLane.*OpenQASM 2 or 3.*QIR"),
    ],
)
def test_what_is_not_taken_is_refused_with_the_way_out(program: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_circuit(program, "Base")


BELL = """operation Bell() : Result[] {
        use qs = Qubit[2];
        H(qs[0]);
        CNOT(qs[0], qs[1]);
        return MResetEachZ(qs);
    }"""


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (f"// @EntryPoint() operation Not() : Unit {{}}\noperation Main() : Unit {{}}\n@EntryPoint()\n{BELL}", "Bell"),
        (f"namespace My.Space {{\n operation Other() : Unit {{}}\n @EntryPoint(Base)\n {BELL} }}", "My.Space.Bell"),
        (f"namespace My.Space {{ {BELL.replace('Bell', 'Main')} }}", "My.Space.Main"),
    ],
    ids=["attribute", "namespace", "Main"],
)
def test_the_entry_point_of_a_qsharp_file_is_found(source: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "program.qs"
    path.write_text(source)
    circuit = to_circuit(path, "Base")
    assert (circuit.name, dict(circuit.count_ops())) == (name, {"h": 1, "cx": 1, "measure": 2})


def test_shots_that_a_qnode_states_have_no_effect_and_a_warning_says_so() -> None:
    node = qml.set_shots(qml.QNode(lambda: qml.counts(wires=[0]), qml.device("default.qubit", wires=1)), 50)
    with pytest.warns(UserWarning, match=r"the 50 shots that .* states have no effect: session\.run"):
        assert to_circuit(node, "Base").num_clbits == 1
