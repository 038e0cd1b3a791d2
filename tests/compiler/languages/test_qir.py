"""Q# and QIR: the output's layout, its bits and values, and what a profile does not run."""

from __future__ import annotations

import functools
import struct
import threading
from pathlib import Path
from typing import Any

import pyqir
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybridloop as hl
from hybridloop.compiler.gate_counts import gate_counts
from hybridloop.compiler.languages.convert import to_circuit
from hybridloop.compiler.languages.from_qir import output_of
from hybridloop.compiler.languages.from_qsharp import QsharpProgram, compile_source
from hybridloop.compiler.languages.qir_output import Group, OutputLayout, Scalar
from hybridloop.compiler.languages.qir_program import QirProgram, program_of
from hybridloop.errors import InputError, ProgramError
from tests.compiler.languages.program_helpers import COUNTED, COUNTING, QSHARP
from tests.value_helpers import known

OUTPUTS = st.recursive(
    st.sampled_from([Scalar(kind) for kind in ("result", "bool", "int", "double")]),
    lambda inner: st.builds(Group, st.lists(inner, max_size=4).map(tuple), st.booleans()),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def counting() -> QirProgram:
    """The program that counts, compiled for Quantinuum's targets."""
    return known(program_of(to_circuit(QsharpProgram(COUNTING, "Count()"), "Adaptive_RI")))


def sample(output: Any, draw: Any) -> tuple[Any, Any]:
    """Return an outcome as the service writes it, and the value that it stands for."""
    if isinstance(output, Group):
        parts = [sample(item, draw) for item in output.items]
        if output.is_tuple:
            return {f"Item{number}": part for number, (part, _) in enumerate(parts, 1)}, tuple(v for _, v in parts)
        return [part for part, _ in parts], tuple(value for _, value in parts)
    kinds = {
        "result": st.integers(0, 1),
        "bool": st.booleans(),
        "int": st.integers(-(2**63), 2**63 - 1),
        "double": st.floats(allow_nan=False),
    }
    value = draw(kinds[output.kind])
    return value, value


@given(OUTPUTS, st.data())
def test_every_outcome_is_read_back_from_its_bits(output: Any, data: st.DataObject) -> None:
    layout = OutputLayout(output)
    outcome, value = sample(output, data.draw)
    bits = layout.pack(outcome)
    assert len(bits) == layout.num_bits == sum(layout.registers)
    assert set(bits) <= {"0", "1"}
    assert layout.value(bits) == value


def test_the_first_recorded_value_has_the_lowest_bits() -> None:
    layout = OutputLayout(
        Group((Scalar("result"), Scalar("int"), Group((Scalar("bool"),) * 2, is_tuple=False)), is_tuple=True)
    )
    assert layout.pack({"Item1": 1, "Item2": 6, "Item3": [True, False]}) == "01" + format(6, "064b") + "1"
    assert layout.registers == (1, 64, 2)
    assert OutputLayout(Group((Scalar("result"),) * 3, is_tuple=True)).registers == (3,)


def test_a_lost_qubit_keeps_its_mark() -> None:
    assert OutputLayout(Group((Scalar("result"), Scalar("result")), is_tuple=False)).pack([1, "-"]) == "-1"


def test_a_straight_program_is_the_circuit_of_its_gates_in_an_adaptive_profile_too() -> None:
    source = """operation Main() : (Result, Result[]) {
        use q = Qubit[3];
        X(q[0]);
        Ry(0.25, q[1]);
        (MResetZ(q[1]), [MResetZ(q[0]), MResetZ(q[2])])
    }"""
    circuit = to_circuit(QsharpProgram(source), "Adaptive_RI")
    assert dict(circuit.count_ops()) == {"measure": 3, "x": 1, "ry": 1}  # and no reset at the end
    assert [(register.name, register.size) for register in circuit.cregs] == [("item1", 1), ("item2", 2)]
    measured = {circuit.find_bit(item.clbits[0]).index: item.qubits[0] for item in circuit.data if item.clbits}
    gates = {item.qubits[0]: item.name for item in circuit.data if not item.clbits}
    assert [gates.get(measured[bit]) for bit in range(3)] == ["ry", "x", None]
    layout = known(output_of(circuit))
    assert layout.value("010") == (0, (1, 0))


@pytest.mark.parametrize("outcome", [[1], [1, 2, 3], ["1", 0.5], [2, 1], [1, 2**63]])
def test_an_outcome_of_another_form_is_no_outcome(outcome: Any) -> None:
    with pytest.raises(ValueError, match="where the program records"):
        OutputLayout(Group((Scalar("bool"), Scalar("int")), is_tuple=True)).pack(outcome)


def test_a_program_that_counts_has_its_output_as_bits_and_is_bounded(counting: QirProgram) -> None:
    assert [scalar.kind for scalar in counting.layout.scalars] == ["int", "bool", *["result"] * 4]
    bits = counting.layout.pack({"Item1": -3, "Item2": True, "Item3": 1, "Item4": [1, 1, 0]})
    assert counting.layout.value(bits) == COUNTED
    assert (counting.num_qubits, counting.num_clbits) == (3, 69)
    assert counting.entry.is_bounded
    assert not counting.entry.is_straight
    counts = gate_counts(counting.text)
    assert (counts.one_qubit, counts.measurements, counts.resets) == (2, 7, 3)


def test_bitcode_is_the_same_program_as_its_text(counting: QirProgram, tmp_path: Path) -> None:
    module = pyqir.Module.from_ir(pyqir.Context(), counting.text)
    bitcode = module.bitcode
    for suffix, data in ((".ll", counting.text.encode()), (".bc", bitcode)):
        path = tmp_path / f"program{suffix}"
        path.write_bytes(data)
        read = known(program_of(to_circuit(path, "Adaptive_RI")))
        assert (read.payload, read.layout, read.entry.num_qubits) == (data, counting.layout, 3)


def test_a_compiled_program_and_a_callable_with_arguments_are_taken() -> None:
    from qdk import code, qsharp

    qsharp.init(target_profile=qsharp.TargetProfile.Adaptive_RI)
    qsharp.eval("operation Tilted(angle : Double) : Result { use q = Qubit(); Rx(angle, q); MResetZ(q) }")
    compiled = to_circuit(qsharp.compile("Tilted(0.25)"), "Adaptive_RI")
    called = to_circuit(functools.partial(code.Tilted, 0.25), "Adaptive_RI")
    assert called.name == "Tilted"
    assert [circuit.num_clbits for circuit in (compiled, called)] == [1, 1]
    assert [circuit.count_ops() for circuit in (compiled, called)] == [compiled.count_ops()] * 2

    errors: list[InputError] = []

    def elsewhere() -> None:
        with pytest.raises(InputError, match=r"interpreter of another thread.*hl\.qsharp") as refused:
            to_circuit(functools.partial(code.Tilted, 0.25), "Adaptive_RI")
        errors.append(refused.value)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(errors) == 1


@pytest.mark.parametrize(
    ("program", "profile", "message"),
    [
        (QsharpProgram(COUNTING, "Count()"), "Base", "line 7: cannot use a dynamic bool.*Adaptive profile"),
        (QsharpProgram(QSHARP, "Nope()"), "Base", r"Nope.*not found.*what it calls, 'Nope\(\)'"),
        (QsharpProgram("operation Main() : Result { X(q) }"), "Base", "line 1.*`q` not found"),
        (QsharpProgram("operation Main() : Unit { }"), "Base", "records no output|output is empty"),
    ],
)
def test_a_q_sharp_program_that_does_not_compile_is_refused_in_the_compilers_words(
    program: QsharpProgram, profile: str, message: str
) -> None:
    with pytest.raises((InputError, ProgramError), match=message):
        to_circuit(program, profile)


def test_what_a_profile_does_not_run_is_refused_before_it_is_sent(counting: QirProgram) -> None:
    with pytest.raises(InputError, match=r"needs an Adaptive profile: it branches.*profile is Base"):
        to_circuit(counting.text, "Base")
    doubles = "operation Main() : Double { use q = Qubit(); H(q); if MResetZ(q) == One { 1.5 } else { 0.25 } }"
    (text,) = compile_source(doubles, ["Main()"], "Adaptive_RIF")
    with pytest.raises(InputError, match="needs the profile Adaptive_RIF"):
        to_circuit(text, "Adaptive_RI")
    program = known(program_of(to_circuit(text, "Adaptive_RIF")))
    assert program.layout.pack(1.5) == format(struct.unpack(">Q", struct.pack(">d", 1.5))[0], "064b")


LOOP = """
%Result = type opaque
%Qubit = type opaque
define i64 @main() #0 {
entry:
  br label %loop
loop:
  call void @__quantum__qis__mz__body(%Qubit* null, %Result* null)
  %again = call i1 @__quantum__rt__read_result(%Result* null)
  br i1 %again, label %loop, label %end
end:
  call void @__quantum__rt__result_record_output(%Result* null, i8* null)
  br label %done
done:
  ret i64 0
}
attributes #0 = { "entry_point" "required_num_qubits"="1" "required_num_results"="1" }
"""


def test_a_loop_has_no_bound_and_an_output_in_a_branch_no_layout() -> None:
    program = QirProgram(LOOP.encode(), "loop")
    assert not program.entry.is_bounded
    assert program.layout.registers == (1,)
    with pytest.raises(InputError, match="has loops or functions, which no target's profile has"):
        to_circuit(LOOP, "Adaptive_RI")
    early = LOOP.replace(
        "br i1 %again", "call void @__quantum__rt__bool_record_output(i1 %again, i8* null)\n  br i1 %again"
    )
    with pytest.raises(ProgramError, match="its output depends on a branch"):
        QirProgram(early.encode(), "early")
    with pytest.raises(ProgramError, match="records no output"):
        QirProgram(LOOP.replace("result_record_output", "other").encode(), "silent")
    with pytest.raises(ProgramError, match="takes arguments"):
        QirProgram(LOOP.replace("@main()", "@main(i64 %n)").encode(), "arguments")
    with pytest.raises(ProgramError, match="one entry point; 0 were found"):
        QirProgram(b"declare void @__quantum__qis__h__body(%Qubit*)", "nothing")
    with pytest.raises(ProgramError, match="no valid LLVM bitcode"):
        to_circuit(b"BC\xc0\xde rest", "Base")


def test_a_function_that_is_called_has_no_bound() -> None:
    called = LOOP.replace("br i1 %again, label %loop, label %end", "call void @twice()\n  br label %end")
    called += "\ndefine void @twice() {\n  call void @__quantum__qis__h__body(%Qubit* null)\n  ret void\n}\n"
    assert not QirProgram(called.encode(), "calls").entry.is_bounded
    itself = LOOP.replace("br i1 %again, label %loop, label %end", "call void @main()\n  br label %end")
    assert not QirProgram(itself.encode(), "recursive").entry.is_bounded


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("missing.qs",), r"program: missing\.qs can't be read \(No such file"),
        ((3,), "source: int is no Q# source"),
        ((QSHARP, " "), "entry: ' ' calls no operation"),
    ],
)
def test_a_q_sharp_source_that_is_none_is_refused_when_it_is_named(given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        hl.qsharp(*given)
