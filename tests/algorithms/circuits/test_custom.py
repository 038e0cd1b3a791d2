"""Custom circuits: translated without changing the state, and refused if their energy's frequencies are unknown."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import XXPlusYYGate
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector

from hybridloop.algorithms.circuits.ansatz import BASIS_GATES
from hybridloop.algorithms.circuits.custom import circuit_ansatz, read_qasm3
from hybridloop.algorithms.circuits.openqasm_includes import StandardGatesAdded
from hybridloop.algorithms.optimizers.names import ScipyMethod
from hybridloop.algorithms.optimizers.registry import OPTIMIZERS, SearchSettings, choose_optimizer
from hybridloop.algorithms.optimizers.trigonometric_model import fit_trigonometric, sample_offsets
from hybridloop.errors import InputError, ProblemError

TEXT = """OPENQASM 3.0;
include "stdgates.inc";
input float[64] a;
input angle b;
qubit[2] q;
ry(a) q[0];
rz(2 * b) q[1];
h q[1];
crx(-2 * a) q[1], q[0];
u3(b, 0.3, a) q[1];
"""


def expected_circuit() -> QuantumCircuit:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.ry(a, 0)
    circuit.rz(2 * b, 1)
    circuit.h(1)
    circuit.crx(-2 * a, 1, 0)
    circuit.u(b, 0.3, a, 1)
    return circuit


def test_openqasm_text_and_qiskit_circuit_prepare_the_same_states_in_basis_gates() -> None:
    ansatz = circuit_ansatz(read_qasm3(TEXT, "mine.qasm"), [0.1, 0.2])
    assert {gate.name for gate in ansatz.circuit.data} <= set(BASIS_GATES)
    for point in np.random.default_rng(0).uniform(-4, 4, (5, 2)):
        state = Statevector(ansatz.circuit.assign_parameters(point)).data
        expected = Statevector(expected_circuit().assign_parameters(point)).data
        assert abs(np.vdot(state, expected)) == pytest.approx(1.0, abs=1e-9)


def test_rotations_of_pairs_stay_whole() -> None:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(3)
    circuit.rzz(2 * a, 0, 2)
    circuit.append(XXPlusYYGate(2 * b), [0, 1])
    ansatz = circuit_ansatz(circuit, [0.1, 0.2])
    counts = ansatz.circuit.count_ops()
    assert [counts.get(name, 0) for name in ("rxx", "ryy", "rzz", "cx")] == [1, 1, 1, 0]
    assert Operator(ansatz.circuit.assign_parameters([0.1, 0.2])).equiv(circuit.assign_parameters([0.1, 0.2]))
    assert ansatz.frequencies == ((1, 2), (1, 2))


def test_the_energy_along_each_angle_has_the_stated_frequencies() -> None:
    ansatz = circuit_ansatz(expected_circuit(), np.random.default_rng(1))
    operator = SparsePauliOp(["XZ", "YY", "ZI"], [0.3, -0.7, 0.4])

    def energy(point: np.ndarray) -> float:
        return float(Statevector(ansatz.circuit.assign_parameters(point)).expectation_value(operator).real)

    for place, frequencies in enumerate(ansatz.frequencies):
        point = ansatz.initial_point.copy()
        data = []
        for angle in sample_offsets(frequencies):
            point[place] = angle
            data.append((float(angle), energy(point), 0.0))
        fitted = fit_trigonometric(frequencies, data, 0.0)
        assert fitted is not None
        for angle in (0.7, 2.9, -1.3):
            point[place] = angle
            assert fitted.value(angle) == pytest.approx(energy(point), abs=1e-9)


def circuit_of(angle: object, *, measured: str = "") -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.ry(angle, 0)
    if measured == "measure":
        circuit.measure_all()
    if measured == "reset":
        circuit.reset(0)
    return circuit


def controlled() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.crz(Parameter("t"), 0, 1)
    return circuit


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        (circuit_of(Parameter("t") ** 2), "not a multiple"),
        (circuit_of(65 * Parameter("t")), "65 times"),
        (circuit_of(Parameter("t"), measured="measure"), "measures"),
        (circuit_of(Parameter("t"), measured="reset"), "resets"),
        (QuantumCircuit(), "no qubit"),
        (QuantumCircuit(1, global_phase=Parameter("t")), "has no effect"),
    ],
)
def test_circuits_with_unsupported_angles_or_instructions_are_refused(circuit: QuantumCircuit, message: str) -> None:
    with pytest.raises(InputError, match=message):
        circuit_ansatz(circuit, np.random.default_rng(0))


@pytest.mark.parametrize("circuit", [circuit_of(0.5 * Parameter("t")), controlled()])
def test_the_frequencies_are_unknown_where_a_multiple_is_not_whole(circuit: QuantumCircuit) -> None:
    ansatz = circuit_ansatz(circuit, np.random.default_rng(0))
    assert ansatz.frequencies == ((),)
    assert choose_optimizer(ansatz).name == "trust-region"
    search = SearchSettings(ansatz, is_near=False, seed=0, max_rounds=50)
    for name, spec in OPTIMIZERS.items():
        needs_gradient = name.startswith("scipy:") and ScipyMethod(name.removeprefix("scipy:")).uses_gradient
        if name == "rotosolve" or needs_gradient:
            with pytest.raises(InputError, match=r"optimizer: .* frequencies .* unknown"):
                spec.create(name, search)
        else:
            assert spec.create(name, search).ask().shape[1] == 1


@pytest.mark.parametrize("letter", ["\u20ac", "?", "`", "\x01", "\\"])
def test_an_unknown_character_is_refused_by_one_error_and_nothing_is_printed(
    letter: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ProblemError, match="line 2"):
        read_qasm3(f"qubit[2] q;\n{letter} h q[0];", "it")
    assert capfd.readouterr() == ("", "")


def test_an_initial_point_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(InputError, match="2 parameter"):
        circuit_ansatz(expected_circuit(), [0.1])


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (TEXT.replace("crx", "crxx"), 9, "crxx"),
        (TEXT.replace("h q[1];", "h q[7];"), 8, "an index is out of range"),
        (TEXT.replace("q;", "q"), 6, "parsed"),
        ("no circuit at all", 1, "parsed"),
        ("", None, "no statement"),
        ("// nothing\n", None, "no statement"),
    ],
)
def test_invalid_openqasm_is_refused_with_its_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(ProblemError, match=r"mine\.qasm") as caught:
        read_qasm3(text, "mine.qasm")
    assert message in str(caught.value)
    assert caught.value.line == line


def test_constants_and_quantinuums_gates_are_taken_with_angles() -> None:
    text = """OPENQASM 3.0;
include "hqslib1.inc";
input float[64] a;
const uint last = 1;
const float half = pi / 2;
qubit[2] q;
U1q(a, half) q[0];
RZZ(2 * a) q[0], q[last];
"""
    ansatz = circuit_ansatz(read_qasm3(text, "mine.qasm"), [0.3])
    expected = QuantumCircuit(2)
    expected.ry(0.3, 0)
    expected.rzz(0.6, 0, 1)
    assert Statevector(ansatz.circuit.assign_parameters([0.3])).equiv(Statevector(expected))


def test_the_standard_gates_are_added_with_a_warning() -> None:
    text = "OPENQASM 3.0;\ninput float[64] a;\nqubit q;\nry(a) q;\n"
    with pytest.warns(StandardGatesAdded, match=r"mine\.qasm includes no gates.*`include \"stdgates\.inc\";`"):
        circuit = read_qasm3(text, "mine.qasm")
    assert circuit.num_parameters == 1


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("uint n = 2;", r"type 'uint' are not supported.*const float name"),
        ("const uint[2] n = 5;", "out of the range of its type"),
        ("const uint n = -1;", "out of the range of its type"),
        ("const float x = 1e300 * 1e300;", "out of the range of its type"),
        ("const bit b = 1;", "of type float, int or uint"),
        ('include "/etc/passwd";', "non-stdgates imports"),
    ],
)
def test_what_a_circuit_with_angles_does_not_take_is_refused_with_its_line(statement: str, message: str) -> None:
    with pytest.raises(ProblemError, match=message) as caught:
        read_qasm3(TEXT.replace("input angle b;", f"input angle b;\n{statement}"), "mine.qasm")
    assert caught.value.line == 5


def test_parameters_of_a_gate_are_bound_in_the_order_of_its_definition() -> None:
    text = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ngate g(v, u) q { rx(v) q; rz(u) q; }\nqubit q;\ng(0.7, 0.3) q;\n'
    expected = QuantumCircuit(1)
    expected.rx(0.7, 0)
    expected.rz(0.3, 0)
    assert Statevector(read_qasm3(text, "mine.qasm")).equiv(Statevector(expected))


def ansatz_of(*lines: str) -> QuantumCircuit:
    return read_qasm3("\n".join(("OPENQASM 3.0;", 'include "stdgates.inc";', *lines)), "mine.qasm")


def test_powers_arrays_of_angles_and_loops_over_constants_are_read_as_written_out() -> None:
    loops = ansatz_of(
        "const uint[8] n = 3;",
        "const float half = 2 ** -1;",
        "input array[float[64], 3] a;",
        "input float[64] b;",
        "qubit[n] q;",
        "for uint i in [0:n - 1] { ry(a[i]) q[i]; rz(half * b * i ** 2) q[i]; }",
        "for int i in {1, 0} { for int k in [2:-1:2] { cx q[i], q[k]; } }",
    )
    a, b, written = ParameterVector("a", 3), Parameter("b"), QuantumCircuit(3)
    for i in range(3):
        written.ry(a[i], i)
        written.rz(0.5 * i**2 * b, i)
    written.cx(1, 2)
    written.cx(0, 2)
    assert [str(parameter) for parameter in loops.parameters] == ["a[0]", "a[1]", "a[2]", "b"]
    point = [0.3, -1.1, 0.7, 0.4]
    state, expected = (Statevector(each.assign_parameters(point)).data for each in (loops, written))
    assert abs(np.vdot(state, expected)) == pytest.approx(1.0, abs=1e-9)
    assert circuit_ansatz(loops, point).frequencies[3] == ()  # of half a multiple


def test_a_loop_over_a_large_gate_is_refused() -> None:
    body = " ".join(["x q;"] * 500)
    with pytest.raises(ProblemError, match="more than 10,000 gates"):
        ansatz_of(f"gate large q {{ {body} }}", "qubit[1] q;", "for int i in [0:99] { large q[0]; }")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("for int i in [0:99] { for int k in [0:99] { rx(0.1) q[0]; } }", "more than 10,000 statements"),
        ("for int i in [0:1] { rx(b) q[i + 5]; }", "line 6"),
        ("while (b > 1) { x q[0]; }", "line 6"),
        ("rx(a[2]) q[0];", "the index 2 is out of range of an array of 2"),
        ("rx(2 ** b) q[0];", "its exponent is a constant"),
        ("rx((-1) ** 0.5) q[0];", "no real number"),
        ("rx(2 ** 99999) q[0];", "a power is out of range"),
        ("rx(((9 ** 999) ** 999) ** 999) q[0];", "a power is out of range"),
        ("rx(9.5 ** 3000) q[0];", "a number is out of range"),
        ("for int i in [0:3000] { x q; x q; }", "more than 10,000 gates"),
        ("ctrl @ x q[0];", "line 6"),
        ("rx(1 / 0) q[0];", "line 6"),
        ("input array[int, 2] c;", "arrays are inputs of type float or angle"),
    ],
)
def test_what_is_not_read_is_named_with_its_line_and_in_words(line: str, message: str) -> None:
    with pytest.raises(ProblemError) as refused:
        ansatz_of("input array[angle[32], 2] a;", "input float[64] b;", "qubit[2] q;", line)
    assert message in str(refused.value)
    assert "line 6" in str(refused.value)
    assert "Error" not in str(refused.value)
