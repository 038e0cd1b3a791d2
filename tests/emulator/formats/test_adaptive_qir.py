"""Parser of QIR with control flow, and what the programs compute: LLVM's arithmetic, memory, functions and outputs."""

from __future__ import annotations

import math
import random
import re
from collections import Counter

import pyqir
import pytest

from hybridloop.emulator.formats.qir import parse_qir
from hybridloop.emulator.model.adaptive_program import AdaptiveProgram, Feature, Machine, Number
from hybridloop.emulator.model.program import JobInputError, OutputList
from hybridloop.emulator.simulation.branching import run_adaptive
from tests.long_form import long_form, short_or_long

DECLARED = """
declare void @__quantum__qis__h__body(ptr)
declare void @__quantum__qis__x__body(ptr)
declare void @__quantum__qis__cx__body(ptr, ptr)
declare void @__quantum__qis__rx__body(double, ptr)
declare void @__quantum__qis__mz__body(ptr, ptr)
declare i1 @__quantum__rt__read_result(ptr)
declare void @__quantum__rt__array_record_output(i64, ptr)
declare void @__quantum__rt__tuple_record_output(i64, ptr)
declare void @__quantum__rt__result_record_output(ptr, ptr)
declare void @__quantum__rt__bool_record_output(i1, ptr)
declare void @__quantum__rt__int_record_output(i64, ptr)
declare void @__quantum__rt__double_record_output(double, ptr)
declare void @some_function()
attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="3" "required_num_results"="3" }
"""
MEASURED = (
    "call void @__quantum__qis__h__body(ptr null)",
    "call void @__quantum__qis__mz__body(ptr null, ptr null)",
    "%r = call i1 @__quantum__rt__read_result(ptr null)",
)
X = "call void @__quantum__qis__x__body(ptr inttoptr (i64 1 to ptr))"
RECORD = "call void @__quantum__rt__result_record_output(ptr null, ptr null)"


def int_output(value: str) -> str:
    return f"call void @__quantum__rt__int_record_output(i64 {value}, ptr null)"


def double_output(value: str) -> str:
    return f"call void @__quantum__rt__double_record_output(double {value}, ptr null)"


def module(*lines: str, beside: str = "") -> bytes:
    """Return the module with these lines in its entry point; a label's line ends with a colon."""
    body = "\n".join(line if line.endswith(":") else f"  {line}" for line in lines)
    return f"{beside}\ndefine void @main() #0 {{\nentry:\n{body}\n  ret void\n}}\n{DECLARED}".encode()


def parse(*lines: str, beside: str = "") -> AdaptiveProgram:
    program = parse_qir(module(*lines, beside=beside))
    assert isinstance(program, AdaptiveProgram)
    return program


def recorded(program: AdaptiveProgram, *results: int) -> list[Number]:
    """Return what the program records if its measurements have these results."""
    machine, remaining = Machine(program, max_steps=1000), list(results)
    while (instruction := machine.next_instruction()) is not None:
        if instruction.result is not None:
            machine.results[instruction.result] = remaining.pop(0)
    return machine.outputs


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("add i64 9223372036854775807, {r}", -(2**63)),
        ("sub i64 3, 5", -2),
        ("mul i64 -3, 5", -15),
        ("sdiv i64 -7, 2", -3),
        ("srem i64 -7, 2", -1),
        ("udiv i64 -1, 2", 2**63 - 1),
        ("urem i64 -1, 10", (2**64 - 1) % 10),
        ("and i64 12, 10", 8),
        ("or i64 12, 10", 14),
        ("xor i64 12, 10", 6),
        ("shl i64 3, 4", 48),
        ("lshr i64 -1, 60", 15),
        ("ashr i64 -16, 2", -4),
        ("select i1 %r, i64 5, i64 6", 5),
        ("zext i1 %r to i64", 1),
        ("sext i1 %r to i64", -1),
        ("fptosi double -2.75 to i64", -2),
    ],
)
def test_integers_are_computed_as_llvm_does(expression: str, value: int) -> None:
    lines = (*MEASURED, "%one = zext i1 %r to i64", f"%v = {expression.format(r='%one')}", int_output("%v"))
    assert recorded(parse(*lines), 1) == [value]


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (("%v = fadd double 0.5, 0.25",), 0.75),
        (("%v = fdiv double 1.0, 8.0",), 0.125),
        (("%v = frem double -7.5, 2.0",), -1.5),
        (("%v = fneg double 1.5",), -1.5),
        (("%v = sitofp i64 -3 to double",), -3.0),
        (("%v = uitofp i64 -1 to double",), float(2**64 - 1)),
        (("%c = fcmp olt double 1.0, 2.0", "%v = select i1 %c, double 1.0, double 2.0"), 1.0),
        (("%z = fsub double 0.5, 0.5", "%n = fdiv double %z, %z", "%c = fcmp oeq double %n, %n",
          "%d = fcmp une double %n, %n", "%e = and i1 %d, %c", "%f = xor i1 %e, %d",
          "%v = select i1 %f, double 4.0, double 0.0"), 4.0),
        (("%z = fsub double 0.5, 0.5", "%v = fdiv double -1.0, %z"), -math.inf),
    ],
)  # fmt: skip
def test_doubles_are_computed_as_llvm_does(lines: tuple[str, ...], value: float) -> None:
    program = parse(*MEASURED, *lines, double_output("%v"))
    assert recorded(program, 0) == [value]
    assert Feature.FLOATS in program.features


@pytest.mark.parametrize(
    ("predicate", "true_for"),
    [("eq", "-"), ("ne", "<>"), ("slt", "<"), ("sle", "<-"), ("sgt", ">"), ("sge", ">-"), ("ult", ">"), ("uge", "<-")],
)
def test_signed_and_unsigned_comparisons_differ_for_negative_numbers(predicate: str, true_for: str) -> None:
    for sign, (left, right) in {"<": (-1, 1), "-": (1, 1), ">": (1, -1)}.items():
        lines = (*MEASURED, f"%c = icmp {predicate} i64 {left}, {right}", "%v = zext i1 %c to i64", int_output("%v"))
        assert recorded(parse(*lines), 0) == [int(sign in true_for)], (predicate, sign)


def test_branches_switches_and_phis_follow_the_results() -> None:
    lines = (
        *MEASURED,
        "br i1 %r, label %yes, label %on",
        "yes:",
        X,
        "br label %on",
        "on:",
        "%n = phi i64 [ 7, %entry ], [ 8, %yes ]",
        "switch i64 %n, label %other [",
        "    i64 8, label %eight",
        "  ]",
        "eight:",
        "br label %other",
        "other:",
        "%m = phi i64 [ 0, %on ], [ 1, %eight ]",
        int_output("%n"),
        int_output("%m"),
    )
    program = parse(*lines)
    assert recorded(program, 0) == [7, 0]
    assert recorded(program, 1) == [8, 1]
    assert program.output == OutputList((0, 1), is_tuple=True)
    assert not program.features


def test_outputs_of_several_blocks_are_in_the_order_of_execution() -> None:
    lines = (*MEASURED, int_output("1"), "br label %second", "third:", int_output("3"), "br label %end",
             "second:", "call void @__quantum__rt__bool_record_output(i1 true, ptr null)", "br label %third", "end:",
             RECORD)  # fmt: skip
    program = parse(*lines)
    assert program.kinds == ("int", "bool", "int", "result")
    assert recorded(program, 1) == [1, True, 3, 1]


def test_loops_memory_and_functions_run_and_are_named() -> None:
    beside = """
@table = internal constant [2 x [2 x i64]] [[2 x i64] [i64 3, i64 5], [2 x i64] zeroinitializer]
define internal i64 @twice(i64 %a) {
  %b = mul i64 %a, 2
  ret i64 %b
}
"""
    lines = (
        "%sum = alloca [2 x i64]",
        "%last = getelementptr [2 x i64], ptr %sum, i64 0, i64 1",
        *MEASURED,
        "br label %loop",
        "loop:",
        "%i = phi i64 [ 0, %entry ], [ %next, %loop ]",
        "%from = getelementptr [2 x [2 x i64]], ptr @table, i64 0, i64 0, i64 %i",
        "%number = load i64, ptr %from",
        "%double = call i64 @twice(i64 %number)",
        "%old = load i64, ptr %last",
        "%new = add i64 %old, %double",
        "store i64 %new, ptr %last",
        "%next = add i64 %i, 1",
        "%more = icmp slt i64 %next, 3",
        "br i1 %more, label %loop, label %end",
        "end:",
        "%total = load i64, ptr %last",
        int_output("%total"),
    )
    program = parse(*lines, beside=beside)
    assert recorded(program, 0) == [16]
    assert program.features == {Feature.LOOPS, Feature.MEMORY, Feature.FUNCTIONS}


def test_qubits_and_angles_may_be_computed() -> None:
    lines = (
        *MEASURED,
        "%n = zext i1 %r to i64",
        "%q = inttoptr i64 %n to ptr",
        "%a = sitofp i64 %n to double",
        "call void @__quantum__qis__rx__body(double %a, ptr %q)",
        RECORD,
    )
    machine = Machine(parse(*lines))
    instructions = [machine.next_instruction(), machine.next_instruction()]
    machine.results[0] = 1
    instructions.append(machine.next_instruction())
    assert [(each.name, each.qubits, each.angles) for each in instructions if each is not None] == [
        ("h", (0,), ()),
        ("measure", (0,), ()),
        ("rx", (1,), (1.0,)),
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("%c = call i1 @__quantum__rt__read_result(ptr null)", "br i1 %c, label %a, label %b", "a:", RECORD,
          "br label %b", "b:"), "each output exactly once"),
        (("br label %a", "a:", RECORD, *MEASURED, "br i1 %r, label %a, label %b", "b:"), "each output exactly once"),
        (("%p = alloca [100000 x i64]", RECORD), "more than 65536 elements"),
        (("%p = alloca [70000 x [70000 x i64]]", RECORD), "more than 65536 elements"),
        (("%c = call i1 @__quantum__rt__read_result(ptr inttoptr (i64 5000 to ptr))", RECORD), "index 5000 .* range"),
        (("%c = call i1 @__quantum__rt__read_result(ptr null)", "call void @some_function()", RECORD),
         "function some_function is not supported"),
        (("%c = call i1 @__quantum__rt__read_result(ptr null)", "call void @unknown()", RECORD), "undefined value '@u"),
        (("%c = call i1 @__quantum__rt__read_result(ptr null)",
          "call void @__quantum__qis__cx__body(ptr null, ptr null)", RECORD), "the same qubit twice"),
        (("%c = call i1 @__quantum__rt__read_result(ptr null)", double_output("0x7FF8000000000000")), "finite number"),
        (("%c = call i1 @__quantum__rt__read_result(ptr null)", "unreachable", "never:"), "without a return or a jump"),
        (("%c = add i64 %unknown, 1", RECORD), "undefined value '%u"),
        ((*MEASURED, "call void @__quantum__qis__x__body(ptr undef)", RECORD), "not supported: 'ptr undef'"),
        ((*MEASURED, "call void @__quantum__qis__x__body(ptr inttoptr (i64 -1 to ptr))", RECORD), "index -1 .* range"),
        ((*MEASURED, "call void @__quantum__qis__x__body(ptr inttoptr (i1 true to ptr))", RECORD),
         r"not supported: 'ptr inttoptr \(i1 true"),
        ((*MEASURED, "call void @__quantum__qis__x__body(ptr @main)", RECORD), "not supported: 'define void @main"),
        ((*MEASURED, "call void @__quantum__rt__array_record_output(i64 9, ptr null)", RECORD), "recording ends early"),
    ],
)  # fmt: skip
def test_a_program_that_cannot_be_run_is_refused_with_the_reason(lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(JobInputError, match=message) as refusal:
        parse_qir(module(*lines))
    assert refusal.value.code == "QIRPreProcessingFailed"


def test_a_function_that_calls_itself_is_refused() -> None:
    beside = "define internal void @f() {\n  call void @f()\n  ret void\n}\n"
    with pytest.raises(JobInputError, match="calls itself"):
        parse_qir(module("call void @f()", RECORD, beside=beside))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("br label %loop", "loop:", "%i = phi i64 [ 0, %entry ], [ %i, %loop ]", "%c = icmp eq i64 %i, 0",
          "br i1 %c, label %loop, label %end", "end:"), "1,000 steps"),
        ((*MEASURED, "%n = zext i1 %r to i64", "%v = sdiv i64 1, %n"), "can't compute"),
        ((*MEASURED, "%n = sext i1 %r to i64", "%m = add i64 %n, 3", "%q = inttoptr i64 %m to ptr",
          "call void @__quantum__qis__x__body(ptr %q)"), "a qubit is 3"),
        ((*MEASURED, "%n = zext i1 %r to i64", "%q = inttoptr i64 %n to ptr",
          "call void @__quantum__qis__cx__body(ptr %q, ptr null)"), "twice"),
        ((*MEASURED, "%n = zext i1 %r to i64", "%p = inttoptr i64 %n to ptr", "store i64 1, ptr %p"), "memory"),
    ],
)  # fmt: skip
def test_a_program_that_fails_at_run_time_says_why(lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(JobInputError, match=message) as failure:
        recorded(parse(*lines), 0)
    assert failure.value.code == "RuntimeError"


LOOP = (
    "%sum = alloca i64", "store i64 0, ptr %sum", "br label %loop", "loop:",
    "%i = phi i64 [ 0, %entry ], [ %next, %on ]", "%q = inttoptr i64 %i to ptr",
    "call void @__quantum__qis__h__body(ptr %q)", "call void @__quantum__qis__mz__body(ptr %q, ptr %q)",
    "%r = call i1 @__quantum__rt__read_result(ptr %q)", "br i1 %r, label %yes, label %on", "yes:",
    "%old = load i64, ptr %sum", "%new = add i64 %old, 1", "store i64 %new, ptr %sum", "br label %on", "on:",
    "%next = add i64 %i, 1", "%more = icmp slt i64 %next, 3", "br i1 %more, label %loop, label %end", "end:",
    "%total = load i64, ptr %sum", int_output("%total"),
)  # fmt: skip
TYPES = ("i1", "i32", "i64", "double", "ptr", "float", "[3 x i64]", "void")


def mutated(text: str, rng: random.Random) -> str:
    """Return the text with a line dropped, repeated, moved or cut, or with another number, variable or type in it."""
    lines = text.split("\n")
    for _ in range(rng.randint(1, 3)):
        number, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        line = lines[number]
        lines[number : number + 1] = rng.choice(
            (
                [], [line, lines[other]], [lines[other]], [line[: rng.randrange(len(line) + 1)]],
                [re.sub(r"\d+", str(rng.choice((0, 1, -1, 7, 64, 2**63))), line, count=1)],
                [re.sub(r"%\w+", rng.choice(re.findall(r"%\w+", text)), line, count=1)],
                [re.sub(r"\b(?:i1|i64|double|ptr)\b", rng.choice(TYPES), line, count=1)],
            )
        )  # fmt: skip
    return "\n".join(lines)


@long_form
def test_damaged_programs_run_or_fail_in_words() -> None:
    rng, text = random.Random(3), module(*LOOP).decode()
    outcomes: Counter[str] = Counter()
    for _ in range(short_or_long(150, 20_000)):
        try:
            program = parse_qir(mutated(text, rng).encode())
            if isinstance(program, AdaptiveProgram) and program.declared_qubits <= 6:
                run_adaptive(program, shots=5, seed=1, noise=None)
            outcomes["ran"] += 1
        except JobInputError as error:
            outcomes[error.code] += 1
    assert min(outcomes["ran"], outcomes["QIRPreProcessingFailed"]) > 10, outcomes


def test_bitcode_and_text_give_the_same_program() -> None:
    text = module(*MEASURED, "%n = zext i1 %r to i64", int_output("%n"))
    program = parse_qir(pyqir.Module.from_ir(pyqir.Context(), text.decode()).bitcode)
    assert isinstance(program, AdaptiveProgram)
    assert recorded(program, 1) == [1]
