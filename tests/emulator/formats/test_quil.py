"""Parser of Quil: gates against the specification's matrices, substitutions as the SDK documents them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from azure.quantum.target.rigetti import InputParams, Result, Rigetti
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Operator

from hybridloop.emulator.formats.gates import append_gate
from hybridloop.emulator.formats.quil import evaluate, parse_quil
from hybridloop.emulator.formats.results import quil_results
from hybridloop.emulator.model.program import MEASURE, JobInputError
from hybridloop.emulator.simulation.simulator import Simulator
from tests.conftest import Emulator

# matrices as the Quil specification prints them: the first qubit of an instruction is the most significant bit
A, B = np.cos(0.35), np.sin(0.35)
SPECIFIED = {
    "I 0": np.eye(2),
    "X 0": np.array([[0, 1], [1, 0]]),
    "Y 0": np.array([[0, -1j], [1j, 0]]),
    "Z 0": np.diag([1, -1]),
    "H 0": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "S 0": np.diag([1, 1j]),
    "T 0": np.diag([1, np.exp(0.25j * np.pi)]),
    "DAGGER S 0": np.diag([1, -1j]),
    "DAGGER DAGGER T 0": np.diag([1, np.exp(0.25j * np.pi)]),
    "PHASE(0.7) 0": np.diag([1, np.exp(0.7j)]),
    "RX(0.7) 0": np.array([[A, -1j * B], [-1j * B, A]]),
    "RY(0.7) 0": np.array([[A, -B], [B, A]]),
    "RZ(0.7) 0": np.diag([np.exp(-0.35j), np.exp(0.35j)]),
    "DAGGER RY(0.7) 0": np.array([[A, B], [-B, A]]),
    "CNOT 1 0": np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]),
    "CONTROLLED X 1 0": np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]),
    "CZ 1 0": np.diag([1, 1, 1, -1]),
    "CPHASE(0.7) 1 0": np.diag([1, 1, 1, np.exp(0.7j)]),
    "SWAP 1 0": np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
    "ISWAP 1 0": np.array([[1, 0, 0, 0], [0, 0, 1j, 0], [0, 1j, 0, 0], [0, 0, 0, 1]]),
    "DAGGER ISWAP 1 0": np.array([[1, 0, 0, 0], [0, 0, -1j, 0], [0, -1j, 0, 0], [0, 0, 0, 1]]),
    "XY(0.7) 1 0": np.array([[1, 0, 0, 0], [0, A, 1j * B, 0], [0, 1j * B, A, 0], [0, 0, 0, 1]]),
    "CCNOT 2 1 0": np.eye(8)[[0, 1, 2, 3, 4, 5, 7, 6]],
    "CONTROLLED CNOT 2 1 0": np.eye(8)[[0, 1, 2, 3, 4, 5, 7, 6]],
    "CSWAP 2 1 0": np.eye(8)[[0, 1, 2, 3, 4, 6, 5, 7]],
}


@pytest.mark.parametrize("text", SPECIFIED)
def test_a_gate_has_the_matrix_of_the_specification(text: str) -> None:
    (program,) = parse_quil(text.encode(), {})
    width = int(math.log2(len(SPECIFIED[text])))
    circuit = QuantumCircuit(width)
    for instruction in program.instructions:
        append_gate(circuit, instruction, instruction.qubits)
    expected = QuantumCircuit(width)
    expected.append(UnitaryGate(SPECIFIED[text]), range(width))
    assert Operator(circuit).equiv(Operator(expected))


DOCUMENTED = """
DECLARE ro BIT[3]
DECLARE theta REAL[2]
DECLARE beta REAL[1]
RX(theta[0]) 0
RX(theta[1]) 1
RX(beta) 2
MEASURE 0 ro[0]
MEASURE 1 ro[1]
MEASURE 2 ro[2]
"""
SUBSTITUTIONS = {"theta": [[0.0, math.pi], [math.pi, 0.0]], "beta": [[2 * math.pi], [2 * math.pi]]}


def test_each_row_of_substitutions_runs_with_all_shots_as_the_sdk_documents(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    target = Rigetti(workspace)
    with target.open_session(name="Quil") as session:
        job = target.submit(DOCUMENTED, name="two sets", input_params=InputParams(substitutions=SUBSTITUTIONS, count=2))
        job.wait_until_completed()
    assert Result(job)["ro"] == [[0, 1, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]]
    assert [item.id for item in workspace.list_session_jobs(session.id)] == [job.id]


def test_unmeasured_bits_stay_0_and_regions_keep_their_order() -> None:
    text = "DECLARE ro BIT[2]\nDECLARE other BIT\nX 5\nMEASURE 5 ro[1] # the second\nMEASURE 3\nHALT\nwhatever follows"
    (program,) = parse_quil(text.encode(), {})
    measured = Simulator().run(program, shots=2, seed=1, exact=False)
    assert quil_results([(program, measured)]) == b'{"ro": [[0, 1], [0, 1]], "other": [[0], [0]]}'
    assert program.declared_qubits == 2


def test_reset_applies_to_one_or_all_qubits_and_a_measurement_without_target_still_collapses() -> None:
    text = "DECLARE ro BIT[2]\nX 0\nX 1\nRESET 0\nMEASURE 0 ro[0]\nMEASURE 1 ro[1]"
    (program,) = parse_quil(text.encode(), {})
    assert Simulator().run(program, shots=3, seed=1, exact=False).outcomes == (0b10,)
    (program,) = parse_quil(b"DECLARE ro BIT\nX 0\nX 1\nRESET\nMEASURE 1 ro", {})
    assert Simulator().run(program, shots=3, seed=1, exact=False).outcomes == (0,)
    (program,) = parse_quil(b"DECLARE ro BIT\nH 0\nMEASURE 0\nH 0\nMEASURE 0 ro", {})
    measured = Simulator().run(program, shots=400, seed=1, exact=False)
    (read,) = (o.result for o in program.instructions[-1:] if o.name == MEASURE)
    ones = sum(c for o, c in zip(measured.outcomes, measured.counts, strict=True) if o >> (read or 0) & 1)
    assert abs(ones - 200) < 50  # five standard deviations: 5·sqrt(400/4)


DEEP = "1^" * 10_000 + "1"
numbers = st.floats(-100, 100).map(lambda x: round(x, 3))
expressions = st.recursive(
    numbers.filter(lambda x: x >= 0).map(str) | st.just("pi") | st.just("theta[1]") | st.just("beta"),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda p: f"{p[0]} {p[1]} {p[2]}"),
        inner.map(lambda e: f"({e})"),
        inner.map(lambda e: f"-{e}"),
        st.tuples(st.sampled_from(["sin", "cos"]), inner).map(lambda p: f"{p[0]}({p[1]})"),
    ),
    max_leaves=8,
)


@given(expressions)
def test_an_expression_has_the_value_that_python_computes(text: str) -> None:
    names = {"pi": math.pi, "sin": math.sin, "cos": math.cos, "theta": [0.5, 1.5], "beta": 2.5}
    expected = eval(text, {"__builtins__": {}}, names)
    assert evaluate(text, {"theta": [0.5, 1.5], "beta": [2.5]}) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("text", "value"), [("2^3", 8.0), ("pi/2", math.pi / 2), ("-2^2", -4.0), ("1/2/2", 0.25)])
def test_powers_bind_tighter_than_signs_and_division_is_left_associative(text: str, value: float) -> None:
    assert evaluate(text, {}) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["", "1 +", "(1", "1)", "nothing", "theta[2]", "1/0", "sqrt(-1)", "(-8)^(1/3)", "1 2", "9^9^9^9", DEEP]
)
def test_an_expression_without_a_value_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        evaluate(text, {"theta": [0.0, 0.0]})


@pytest.mark.parametrize(
    ("text", "params", "words"),
    [
        ("\xff", {}, "whatever"),
        ("DEFGATE FOO:\n    1, 0", {}, "DEFGATE"),
        ("JUMP @start", {}, "JUMP"),
        ("WARP 0", {}, "WARP"),
        ("X 0 1", {}, "operands"),
        ("CNOT 1 1", {}, "twice"),
        ("RX(theta) 0", {}, "theta"),
        ("X 99999999", {}, "out of range"),
        ("MEASURE 0 ro[0]", {}, "not a declared bit"),
        ("DECLARE ro BIT[2]\nMEASURE 0 ro[2]", {}, "not a declared bit"),
        ("DECLARE ro BIT\nDECLARE ro BIT", {}, "twice"),
        ("DECLARE t REAL", {"substitutions": {"t": [[1.0, 2.0]]}}, "length 1"),
        ("DECLARE t REAL", {"substitutions": {"u": [[1.0]]}}, "not declared"),
        ("DECLARE t REAL\nDECLARE u REAL", {"substitutions": {"t": [[1.0]], "u": [[1.0], [2.0]]}}, "same number"),
        ("DECLARE t REAL", {"substitutions": {"t": [["x"]]}}, "lists of numbers"),
        ("DECLARE t REAL", {"substitutions": [1]}, "lists of numbers"),
        ("DECLARE t REAL", {"substitutions": {"t": []}}, "1 to"),
    ],
)  # fmt: skip
def test_unsupported_input_is_refused_by_name(text: str, params: dict[str, object], words: str) -> None:
    data = b"\xff" if text == "\xff" else text.encode()
    with pytest.raises(JobInputError, match="not Quil text" if text == "\xff" else words):
        parse_quil(data, params)


def test_resets_of_all_qubits_do_not_grow_without_bound() -> None:
    text = "".join(f"X {qubit}\n" for qubit in range(4000)) + "RESET\n" * 200 + "DECLARE ro BIT\nMEASURE 0 ro\n"
    with pytest.raises(JobInputError, match="more than 500000 instructions"):
        parse_quil(text.encode(), {})
