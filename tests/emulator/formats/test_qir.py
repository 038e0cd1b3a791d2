"""Parser of straight-line QIR: every gate, text and bitcode, and refusal of unsupported lines."""

from __future__ import annotations

import struct

import numpy as np
import pyqir
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from hybridloop.emulator.formats.gates import GATE_SIZES
from hybridloop.emulator.formats.qir import parse_qir
from hybridloop.emulator.formats.qir_functions import GATES
from hybridloop.emulator.model.program import MEASURE, Instruction, JobInputError, OutputList, Program
from hybridloop.emulator.simulation.simulator import Simulator

HEAD = "%Result = type opaque\n%Qubit = type opaque\n\n"
TAIL = 'attributes #0 = { "entry_point" "qir_profiles"="base_profile" "required_num_qubits"="3" }\n'


def qubit(index: int) -> str:
    return f"%Qubit* inttoptr (i64 {index} to %Qubit*)"


def result(index: int) -> str:
    return f"%Result* inttoptr (i64 {index} to %Result*)"


def module(*lines: str) -> str:
    body = "\n".join(f"  {line}" for line in (*lines, "ret i64 0"))
    return f"{HEAD}define i64 @ENTRYPOINT__main() #0 {{\nblock_0:\n{body}\n}}\n\n{TAIL}"


def gate(name: str, *operands: str) -> str:
    return f"call void @__quantum__qis__{name}({', '.join(operands)})"


def measurement(index: int, name: str = "m__body") -> str:
    return gate(name, qubit(index), result(index))


def recorded(*indices: int, kind: str = "array") -> list[str]:
    items = [f"call void @__quantum__rt__result_record_output({result(i)}, i8* null)" for i in indices]
    return [f"call void @__quantum__rt__{kind}_record_output(i64 {len(indices)}, i8* null)", *items]


def parse_lines(*lines: str) -> Program:
    return straight_line(module(*lines).encode())


def straight_line(data: bytes) -> Program:
    program = parse_qir(data)
    assert isinstance(program, Program)
    return program


@pytest.mark.parametrize("name", sorted(GATES))
def test_every_gate_acts_as_qiskits_gate(name: str) -> None:
    qiskit_name = GATES[name]
    num_angles, num_qubits = GATE_SIZES[qiskit_name]
    angles = [0.7][:num_angles]
    # a state without symmetries before the gate, and rotations after it, so that phases and qubit order show
    before = [gate("ry__body", f"double {0.4 + i}", qubit(i)) for i in range(3)]
    before += [gate("rz__body", f"double {0.2 + i}", qubit(i)) for i in range(3)]
    after = [gate("rx__body", f"double {1.1 + i}", qubit(i)) for i in range(3)]
    operands = [f"double {a}" for a in angles] + [qubit(i) for i in (2, 0, 1)[:num_qubits]]
    program = parse_lines(*before, gate(name, *operands), *after, *map(measurement, range(3)), *recorded(2, 1, 0))
    circuit = QuantumCircuit(3)
    for i in range(3):
        circuit.ry(0.4 + i, i)
    for i in range(3):
        circuit.rz(0.2 + i, i)
    getattr(circuit, qiskit_name)(*angles, *(2, 0, 1)[:num_qubits])
    for i in range(3):
        circuit.rx(1.1 + i, i)
    outcomes, chances = Simulator().distribution(program)
    expected = Statevector(circuit).probabilities()
    np.testing.assert_allclose(chances, expected[outcomes], atol=1e-12)
    assert sum(chances) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1.500000e+00", 1.5),
        ("-0.25", -0.25),
        ("0x3FF8000000000000", 1.5),
        ("0x" + struct.pack(">d", 0.1).hex().upper(), 0.1),
    ],
)
def test_angles_may_be_decimal_or_the_bits_of_a_double(word: str, value: float) -> None:
    program = parse_lines(gate("rx__body", f"double {word}", qubit(0)), measurement(0), *recorded(0))
    assert program.instructions[0] == Instruction("rx", (0,), (value,))


def test_opaque_pointers_bitcode_and_typed_pointers_give_the_same_program() -> None:
    typed = module(
        "call void @__quantum__rt__initialize(i8* null)",
        gate("ry__body", "double 0.3", "%Qubit* null"),
        gate("cnot__body", "%Qubit* null", qubit(2)),
        gate("mz__body", qubit(2), "%Result* null"),
        *recorded(0),
    )
    opaque = typed.replace("%Qubit*", "ptr").replace("%Result*", "ptr").replace("i8*", "ptr")
    declared = "\n".join(
        f"declare void @__quantum__{name}({arguments})"
        for name, arguments in [
            ("rt__initialize", "ptr"),
            ("qis__ry__body", "double, ptr"),
            ("qis__cnot__body", "ptr, ptr"),
            ("qis__mz__body", "ptr, ptr"),
            ("rt__array_record_output", "i64, ptr"),
            ("rt__result_record_output", "ptr, ptr"),
        ]
    )
    bitcode = pyqir.Module.from_ir(pyqir.Context(), f"{opaque}\n{declared}\n").bitcode
    assert bitcode[:2] == b"BC"
    program = straight_line(typed.encode())
    assert program.instructions == (
        Instruction("ry", (0,), (0.3,)),
        Instruction("cx", (0, 2)),
        Instruction(MEASURE, (2,), result=0),
    )
    assert parse_qir(opaque.encode()) == program
    assert parse_qir(bitcode) == program


def test_unconditional_jumps_comments_and_void_returns_are_supported() -> None:
    text = (
        f"{HEAD}define void @main() #0 {{\nentry:\n  br label %gates ; on\n\nlast:                ; preds = %gates\n"
        f"  {measurement(0)}\n  {recorded(0)[0]}\n  {recorded(0)[1]}\n  ret void\n\n"
        f"gates:\n  {gate('x__body', qubit(0))}\n  br label %last\n}}\n{TAIL}"
    )
    assert [instruction.name for instruction in straight_line(text.encode()).instructions] == ["x", MEASURE]


def test_outputs_keep_their_structure() -> None:
    array, tuple_ = recorded(1, 0), recorded(2, 0, kind="tuple")
    nested = "call void @__quantum__rt__tuple_record_output(i64 2, i8* null)"
    program = parse_lines(*map(measurement, range(3)), nested, *array, *tuple_)
    inner = OutputList((1, 0)), OutputList((2, 0), is_tuple=True)
    assert program.output == OutputList(inner, is_tuple=True)


def test_mresetz_measures_and_then_resets() -> None:
    names = [
        instruction.name for instruction in parse_lines(measurement(0, "mresetz__body"), *recorded(0)).instructions
    ]
    assert names == [MEASURE, "reset"]


@pytest.mark.parametrize(
    "line",
    [
        "%0 = call i1 @__quantum__qis__read_result__body(%Result* %r)",
        "%0 = call i64 @__quantum__rt__read_result(%Result* null)",
        "%0 = phi i1 [ true, %a ], [ false, %b ]",
        "br i1 %0, label %a, label %b",
        "call void @__quantum__qis__frobnicate__body(%Qubit* null)",
        "call void @some_function()",
        "call void @__quantum__qis__h__body(%Qubit* %q)",
        "call void @__quantum__qis__h__body(%Qubit* null, %Qubit* null)",
        "call void @__quantum__qis__cx__body(%Qubit* null, %Qubit* null)",
        "call void @__quantum__qis__rx__body(double %angle, %Qubit* null)",
        "call void @__quantum__qis__rx__body(double 0x7FF8000000000000, %Qubit* null)",
        "call void @__quantum__qis__h__body(%Qubit* inttoptr (i64 99999999 to %Qubit*))",
        "call void @__quantum__rt__int_record_output(i64 3, i8* null)",
        "call void @__quantum__rt__array_record_output(i64 7, i8* null)",
        "br label %nowhere",
        "unreachable",
    ],
)
def test_an_unsupported_line_is_refused(line: str) -> None:
    with pytest.raises(JobInputError) as refusal:
        parse_qir(module(line).encode())
    assert refusal.value.code == "QIRPreProcessingFailed"


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xfe\x00", b"BC\xc0\xde broken", module()[:80].encode()])
def test_input_that_is_not_qir_is_refused(data: bytes) -> None:
    with pytest.raises(JobInputError) as refusal:
        parse_qir(data)
    assert refusal.value.code == "QIRPreProcessingFailed"
