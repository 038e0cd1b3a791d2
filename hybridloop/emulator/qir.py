"""Reads QIR, text or bitcode, into a program: the base profile, and branches on results from the adaptive one.

The text form has its own reader: parsing 25 instructions takes LLVM (through pyqir) a millisecond and this reader a
tenth of that, and thousands of small programs are read. It takes typed pointers (`%Qubit*`) and opaque ones (`ptr`).
Every line of the entry point must be understood; what is not makes the job fail instead of run wrongly. Bitcode is
turned into text by LLVM first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import replace

from hybridloop.emulator.program import (
    BARRIER,
    MEASURE,
    RESET,
    Operation,
    Output,
    Program,
    Recorded,
    RecordedList,
    Unrunnable,
)
from hybridloop.emulator.qir_flow import INVALID_QIR, executed_lines, index_of

Record = int | tuple[bool, int]  # a result's number, or whether a list is a tuple, and its length

# QIR name -> (Qiskit's name, number of angles, number of qubits); the angles come first in a call
GATES: dict[str, tuple[str, int, int]] = {
    "h__body": ("h", 0, 1),
    "x__body": ("x", 0, 1),
    "y__body": ("y", 0, 1),
    "z__body": ("z", 0, 1),
    "i__body": ("id", 0, 1),
    "id__body": ("id", 0, 1),
    "s__body": ("s", 0, 1),
    "s__adj": ("sdg", 0, 1),
    "t__body": ("t", 0, 1),
    "t__adj": ("tdg", 0, 1),
    "sx__body": ("sx", 0, 1),
    "sx__adj": ("sxdg", 0, 1),
    "rx__body": ("rx", 1, 1),
    "ry__body": ("ry", 1, 1),
    "rz__body": ("rz", 1, 1),
    "cx__body": ("cx", 0, 2),
    "cnot__body": ("cx", 0, 2),
    "cy__body": ("cy", 0, 2),
    "cz__body": ("cz", 0, 2),
    "swap__body": ("swap", 0, 2),
    "rxx__body": ("rxx", 1, 2),
    "ryy__body": ("ryy", 1, 2),
    "rzz__body": ("rzz", 1, 2),
    "ccx__body": ("ccx", 0, 3),
}
MEASUREMENTS = {"m__body": False, "mz__body": False, "mresetz__body": True}  # name -> whether a reset follows

_CALL = re.compile(r"(?:tail |musttail |notail )?call (?:fastcc |ccc )?(\S+) @([\w.$]+)\((.*)\)(?: #\d+)?(?:, !.*)?")
_DOUBLE = re.compile(r"double (\S+)")
_LENGTH = re.compile(r"i64 (\d+),.*")
_DEFINE = re.compile(r"^define [^@\n]*@(\"[^\"]*\"|[\w.$-]+)\(([^\n]*)\)([^\n]*)\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_ATTRIBUTES = re.compile(r"^attributes #(\d+) = \{([^\n]*)\}", re.MULTILINE)
_REQUIRED = re.compile(r'"(?:required_)?num_(?:required_)?(qubits|results)"="(\d+)"')


def program_of_qir(data: bytes) -> Program:
    """The program of QIR text (UTF-8) or LLVM bitcode; raises Unrunnable where it is none that can be run."""
    text = _text_of_bitcode(data) if data[:2] == b"BC" or data[:4] == b"\xde\xc0\x17\x0b" else _decoded(data)
    attributes = dict(_ATTRIBUTES.findall(text))
    body, group = _entry_point(text, attributes)
    needs = {kind: int(number) for kind, number in _REQUIRED.findall(attributes.get(group, ""))}
    operations: list[Operation] = []
    records: list[Record] = []
    for line, conditions in executed_lines(body):
        done, recorded = _instruction(line)
        if recorded and conditions:
            raise Unrunnable(INVALID_QIR, f"what is put out can't depend on a measurement: {line[:120]!r}")
        operations += [replace(operation, conditions=conditions) for operation in done] if conditions else done
        records += recorded
    _check_conditions(operations)
    used = 1 + max((qubit for operation in operations for qubit in operation.qubits), default=-1)
    read = 1 + max((o.result for o in operations if o.result is not None), default=-1)
    output = _output_of(records)
    return Program(
        operations=tuple(operations),
        output=output,
        declared_qubits=max(used, needs.get("qubits", 0)),
        num_results=max(read, needs.get("results", 0), _highest_result(output) + 1),
    )


def _check_conditions(operations: list[Operation]) -> None:
    """A result that is asked for must be written once: its value at the question is then its value at the end."""
    written = [operation.result for operation in operations if operation.name == MEASURE]
    for result in {result for operation in operations for result, _ in operation.conditions}:
        if written.count(result) != 1:
            raise Unrunnable(INVALID_QIR, f"the program branches on result {result}, which is not measured just once")


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise Unrunnable(INVALID_QIR, f"the input is neither QIR text nor bitcode: {error}") from error


def _text_of_bitcode(data: bytes) -> str:
    import pyqir

    try:
        return str(pyqir.Module.from_bitcode(pyqir.Context(), data))
    except (ValueError, RuntimeError) as error:
        raise Unrunnable(INVALID_QIR, f"the input is not valid LLVM bitcode: {error}") from error


def _entry_point(text: str, attributes: dict[str, str]) -> tuple[str, str]:
    """The entry point's body and the number of its attribute group."""
    candidates = []
    for name, parameters, suffix, body in _DEFINE.findall(text):
        group = next(iter(re.findall(r"#(\d+)", suffix)), "")
        candidates.append((name, parameters, body, group))
    marked = [c for c in candidates if re.search(r'"(?:entry_point|EntryPoint)"', attributes.get(c[3], ""))]
    chosen = marked or candidates
    if len(chosen) != 1:
        raise Unrunnable(INVALID_QIR, f"the input must be QIR with one entry point; {len(chosen)} were found")
    name, parameters, body, group = chosen[0]
    if parameters.strip():
        raise Unrunnable(INVALID_QIR, f"the entry point {name} takes arguments, which this service can't give")
    return body, group


def _instruction(line: str) -> tuple[tuple[Operation, ...], tuple[Record, ...]]:
    """What one line does and what it records."""
    call = _CALL.fullmatch(line)
    if call is None or call[1] != "void" or not call[2].startswith("__quantum__"):
        raise Unrunnable(INVALID_QIR, f"not an instruction of the base profile: {line[:120]!r}")
    kind, _, name = call[2].removeprefix("__quantum__").partition("__")
    arguments = call[3]
    if kind == "qis":
        return _quantum_instruction(name, arguments, line), ()
    if name == "initialize":
        return (), ()
    if name == "result_record_output":
        return (), (index_of(arguments.partition(", ")[0], line),)
    length = _LENGTH.fullmatch(arguments)
    if name in ("array_record_output", "tuple_record_output") and length is not None:
        return (), ((name == "tuple_record_output", int(length[1])),)
    raise Unrunnable(INVALID_QIR, f"the runtime function of this line is not supported: {line[:120]!r}")


def _quantum_instruction(name: str, arguments: str, line: str) -> tuple[Operation, ...]:
    parts = arguments.split(", ") if arguments else []
    if name in GATES:
        gate, num_angles, num_qubits = GATES[name]
        if len(parts) == num_angles + num_qubits:
            angles = tuple(_double(part, line) for part in parts[:num_angles])
            qubits = tuple(index_of(part, line) for part in parts[num_angles:])
            if len(set(qubits)) == num_qubits:
                return (Operation(gate, qubits, angles),)
    elif name in MEASUREMENTS and len(parts) == 2:
        qubit = index_of(parts[0], line)
        measurement = Operation(MEASURE, (qubit,), result=index_of(parts[1], line))
        return (measurement, Operation(RESET, (qubit,))) if MEASUREMENTS[name] else (measurement,)
    elif name == "reset__body" and len(parts) == 1:
        return (Operation(RESET, (index_of(parts[0], line),)),)
    elif name == "barrier__body":
        return (Operation(BARRIER, ()),)
    else:
        raise Unrunnable(INVALID_QIR, f"unknown quantum instruction {name!r}: {line[:120]!r}")
    raise Unrunnable(INVALID_QIR, f"wrong operands: {line[:120]!r}")


def _double(text: str, line: str) -> float:
    """LLVM writes a double as a decimal, or as the 16 hexadecimal digits of its bits."""
    match = _DOUBLE.fullmatch(text)
    try:
        if match is None:
            raise ValueError("not a constant double")
        word = match[1]
        value = struct.unpack(">d", bytes.fromhex(word[2:]))[0] if word[:2] == "0x" else float(word)
        if value - value != 0.0:  # NaN and infinities
            raise ValueError("not a finite angle")
    except (ValueError, struct.error) as error:
        raise Unrunnable(INVALID_QIR, f"bad angle ({error}): {line[:120]!r}") from error
    return float(value)


def _output_of(records: Iterable[Record]) -> Output:
    """The tree that the output calls record in pre-order; several roots make a tuple."""
    remaining = list(reversed(list(records)))

    def take(depth: int) -> Output:
        if not remaining or depth > 64:
            raise Unrunnable(INVALID_QIR, "the output recording ends early or is nested too deeply")
        record = remaining.pop()
        if isinstance(record, int):
            return Recorded(record)
        is_tuple, length = record
        return RecordedList(tuple(take(depth + 1) for _ in range(length)), is_tuple)

    roots = []
    while remaining:
        roots.append(take(0))
    return roots[0] if len(roots) == 1 else RecordedList(tuple(roots), is_tuple=True)


def _highest_result(output: Output) -> int:
    if isinstance(output, Recorded):
        return output.result
    return max((_highest_result(item) for item in output.items), default=-1)
