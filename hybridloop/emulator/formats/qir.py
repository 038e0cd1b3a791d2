"""Parser for QIR, as text or LLVM bitcode: straight-line programs here, all others in `adaptive_qir`.

Text has a parser of its own: LLVM (through pyqir) takes a millisecond for 25 instructions, this parser a tenth of that,
and thousands of small programs are parsed. It accepts typed pointers (`%Qubit*`) and opaque ones (`ptr`). Bitcode is
converted to text by LLVM first. A line of the entry point that is not understood makes the job fail.

The client writes QIR with its own code, in `hybridloop.compiler`: the two share nothing, so that each tests the other.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from hybridloop.emulator.formats.gates import GATE_SIZES
from hybridloop.emulator.formats.qir_functions import (
    GATES,
    INVALID_QIR,
    MAX_INDEX,
    MEASUREMENTS,
    OutputRecord,
    output_tree,
)
from hybridloop.emulator.model.adaptive_program import AdaptiveProgram
from hybridloop.emulator.model.program import BARRIER, MEASURE, RESET, Instruction, JobInputError, Output, Program

_NAME = r"(\"[^\"]*\"|[\w.$-]+)"
_INDEX = re.compile(
    r"(?:%Qubit\*|%Result\*|ptr)(?: (?:nonnull|noundef|readonly|writeonly|nocapture))*"
    r" (?:(null)|inttoptr \(i64 (\d+) to (?:%Qubit\*|%Result\*|ptr)\))"
)
_LABEL = re.compile(_NAME + ":")
_JUMP = re.compile(rf"br label %{_NAME}")
_RETURN = re.compile(r"ret (?:void|i64 \S+|i32 \S+)")
# lines that no straight-line program has: variables, branches, calls of the program's own functions, other outputs
_CONTROL_FLOW = re.compile(
    r"^[^\S\n]*+(?:%|store |switch |br i1 )|(?:double|ptr|%Qubit\*|%Result\*) %"
    r"|@__quantum__rt__(?:bool|int|double)_record|call void @(?!__quantum__)",
    re.MULTILINE,
)


def parse_index(text: str, line: str) -> int:
    """Return the number of the qubit or result that an operand names."""
    match = _INDEX.fullmatch(text)
    if match is None:
        raise JobInputError(INVALID_QIR, f"an operand is not a constant qubit or result: {line[:120]!r}")
    index = 0 if match[1] else int(match[2])
    if index >= MAX_INDEX:
        raise JobInputError(INVALID_QIR, f"index {index} is out of range: {line[:120]!r}")
    return index


def _blocks(body: str) -> dict[str, list[str]]:
    """Return the lines of each basic block by its label; the entry block has the empty label."""
    blocks: dict[str, list[str]] = {"": []}
    current = blocks[""]
    for raw in body.split("\n"):
        line = (raw.partition(";")[0] if ";" in raw else raw).strip()
        if not line:
            continue
        label = _LABEL.fullmatch(line) if line[-1] == ":" else None
        if label is None:
            current.append(line)
        elif blocks[""] or len(blocks) > 1:  # else it labels the entry block, to which nothing jumps
            current = blocks[label[1]] = []
    return blocks


def _lines(blocks: dict[str, list[str]]) -> Iterator[str]:
    """Yield the lines in the order of execution, along the jumps and up to the return."""
    block, visited = "", set[str]()
    while True:
        if block in visited or block not in blocks:
            raise JobInputError(INVALID_QIR, f"the program jumps to block {block!r}, which is a loop or missing")
        visited.add(block)
        *instructions, terminator = blocks[block] or [""]
        for line in instructions:
            if line[:3] in ("br ", "ret"):
                raise JobInputError(INVALID_QIR, f"instructions follow {line!r} in its block")
            yield line
        if _RETURN.fullmatch(terminator):
            return
        jump = _JUMP.fullmatch(terminator)
        if jump is None:
            raise JobInputError(INVALID_QIR, f"a block ends without a return or a jump: {terminator[:120]!r}")
        block = jump[1]


_CALL = re.compile(r"(?:tail |musttail |notail )?call (?:fastcc |ccc )?(\S+) @([\w.$]+)\((.*)\)(?: #\d+)?(?:, !.*)?")
_DOUBLE = re.compile(r"double (\S+)")
_LENGTH = re.compile(r"i64 (\d+),.*")
_DEFINE = re.compile(
    r"^define [^@\n]*+@(\"[^\"\n]*+\"|[\w.$-]++)\(([^\n]*)\)([^\n){]*+)\{\n(.*?)(?:^\}|\Z)", re.MULTILINE | re.DOTALL
)
_ATTRIBUTES = re.compile(r"^attributes #(\d+) = \{([^\n]*)\}", re.MULTILINE)
_REQUIRED = re.compile(r'"(?:required_)?num_(?:required_)?(qubits|results)"="(\d+)"')


def parse_qir(data: bytes) -> Program | AdaptiveProgram:
    """Parse QIR text (UTF-8) or LLVM bitcode. Raises JobInputError if it is invalid or cannot be run."""
    # the entry point's body, and the numbers of qubits and results that its attributes declare
    text = _bitcode_to_text(data) if is_bitcode(data) else _decode(data)
    attributes = dict(_ATTRIBUTES.findall(text))
    body, group = _entry_point(text, attributes)
    if _CONTROL_FLOW.search(body):
        from hybridloop.emulator.formats.adaptive_qir import parse_adaptive_qir  # with LLVM: seldom needed

        return parse_adaptive_qir(text)
    required = {kind: int(number) for kind, number in _REQUIRED.findall(attributes.get(group, ""))}
    # its lines in the order of execution
    instructions: list[Instruction] = []
    records: list[OutputRecord] = []
    for line in _lines(_blocks(body)):
        parsed, recorded = _parse_line(line)
        instructions += parsed
        records += recorded
    # numbers of qubits and results: what is used, or what is declared if that is more
    num_qubits = 1 + max((qubit for instruction in instructions for qubit in instruction.qubits), default=-1)
    num_results = 1 + max((i.result for i in instructions if i.result is not None), default=-1)
    output = output_tree(records)
    return Program(
        instructions=tuple(instructions),
        output=output,
        declared_qubits=max(num_qubits, required.get("qubits", 0)),
        num_results=max(num_results, required.get("results", 0), _highest_result(output) + 1),
    )


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise JobInputError(INVALID_QIR, f"the input is neither QIR text nor bitcode: {error}") from error


def is_bitcode(data: bytes) -> bool:
    """Return True for LLVM bitcode, also in its wrapper."""
    return data[:2] == b"BC" or data[:4] == b"\xde\xc0\x17\x0b"


def _bitcode_to_text(data: bytes) -> str:
    import pyqir

    try:
        return str(pyqir.Module.from_bitcode(pyqir.Context(), data))
    except (ValueError, RuntimeError) as error:
        raise JobInputError(INVALID_QIR, f"the input is not valid LLVM bitcode: {error}") from error


def _entry_point(text: str, attributes: dict[str, str]) -> tuple[str, str]:
    """Return the entry point's body and the number of its attribute group."""
    candidates = []
    for name, parameters, suffix, body in _DEFINE.findall(text):
        group = next(iter(re.findall(r"#(\d+)", suffix)), "")
        candidates.append((name, parameters, body, group))
    marked = [c for c in candidates if re.search(r'"(?:entry_point|EntryPoint)"', attributes.get(c[3], ""))]
    entry_points = marked or candidates
    if len(entry_points) != 1:
        raise JobInputError(INVALID_QIR, f"the input must be QIR with one entry point; {len(entry_points)} were found")
    name, parameters, body, group = entry_points[0]
    if parameters.strip():
        raise JobInputError(INVALID_QIR, f"the entry point {name} takes arguments, which this service can't give")
    return body, group


def _parse_line(line: str) -> tuple[tuple[Instruction, ...], tuple[OutputRecord, ...]]:
    """Return the instructions that one line executes, and the outputs that it records."""
    call = _CALL.fullmatch(line)
    if call is None or call[1] != "void" or not call[2].startswith("__quantum__"):
        raise JobInputError(INVALID_QIR, f"not an instruction of the base profile: {line[:120]!r}")
    kind, _, name = call[2].removeprefix("__quantum__").partition("__")
    arguments = call[3]
    if kind == "qis":
        return _quantum_instruction(name, arguments, line), ()
    if name == "initialize":
        return (), ()
    if name == "result_record_output":
        return (), (parse_index(arguments.partition(", ")[0], line),)
    length = _LENGTH.fullmatch(arguments)
    if name in ("array_record_output", "tuple_record_output") and length is not None:
        return (), ((name == "tuple_record_output", int(length[1])),)
    raise JobInputError(INVALID_QIR, f"the runtime function of this line is not supported: {line[:120]!r}")


def _quantum_instruction(name: str, arguments: str, line: str) -> tuple[Instruction, ...]:
    parts = arguments.split(", ") if arguments else []
    if name in GATES:
        num_angles, num_qubits = GATE_SIZES[GATES[name]]
        if len(parts) == num_angles + num_qubits:
            angles = tuple(_double(part, line) for part in parts[:num_angles])
            qubits = tuple(parse_index(part, line) for part in parts[num_angles:])
            if len(set(qubits)) == num_qubits:
                return (Instruction(GATES[name], qubits, angles),)
    elif name in MEASUREMENTS and len(parts) == 2:
        qubit = parse_index(parts[0], line)
        measurement = Instruction(MEASURE, (qubit,), result=parse_index(parts[1], line))
        return (measurement, Instruction(RESET, (qubit,))) if MEASUREMENTS[name] else (measurement,)
    elif name == "reset__body" and len(parts) == 1:
        return (Instruction(RESET, (parse_index(parts[0], line),)),)
    elif name == "barrier__body":
        return (Instruction(BARRIER, ()),)
    else:
        raise JobInputError(INVALID_QIR, f"unknown quantum instruction {name!r}: {line[:120]!r}")
    raise JobInputError(INVALID_QIR, f"wrong operands: {line[:120]!r}")


def _double(text: str, line: str) -> float:
    """Parse an LLVM double: a decimal number, or the 16 hexadecimal digits of its bits."""
    match = _DOUBLE.fullmatch(text)
    try:
        if match is None:
            raise ValueError("not a constant double")
        word = match[1]
        value = struct.unpack(">d", bytes.fromhex(word[2:]))[0] if word[:2] == "0x" else float(word)
        if value - value != 0.0:  # NaN and infinities
            raise ValueError("not a finite angle")
    except (ValueError, struct.error) as error:
        raise JobInputError(INVALID_QIR, f"bad angle ({error}): {line[:120]!r}") from error
    return float(value)


def _highest_result(output: Output) -> int:
    if isinstance(output, int):
        return output
    return max((_highest_result(item) for item in output.items), default=-1)
