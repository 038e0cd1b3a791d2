"""Parser for QIR, as text or LLVM bitcode: the base profile, and the adaptive profile's branches on results.

Text has a parser of its own: LLVM (through pyqir) takes a millisecond for 25 instructions, this parser a tenth of that,
and thousands of small programs are parsed. It accepts typed pointers (`%Qubit*`) and opaque ones (`ptr`). Bitcode is
converted to text by LLVM first. A line of the entry point that is not understood makes the job fail.

Control flow: jumps go forward only. Both sides of a branch on a result are followed up to the block where they merge.
The instructions of a side get the result's value as their condition.

The client writes QIR with its own code, in `hybridloop.compiler`: the two share nothing, so that each tests the other.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from hybridloop.emulator.formats.gates import GATE_SIZES
from hybridloop.emulator.model.program import (
    BARRIER,
    MEASURE,
    RESET,
    Instruction,
    JobInputError,
    Output,
    OutputList,
    Program,
)

INVALID_QIR = "QIRPreProcessingFailed"
MAX_INDEX = 4096  # of a qubit or result: far above any target, and small enough for memory
MAX_CONDITIONS = 64  # of one instruction, that is, nested branches

Conditions = tuple[tuple[int, int], ...]

_NAME = r"(\"[^\"]*\"|[\w.$-]+)"
_INDEX = re.compile(
    r"(?:%Qubit\*|%Result\*|ptr)(?: (?:nonnull|noundef|readonly|writeonly|nocapture))*"
    r" (?:(null)|inttoptr \(i64 (\d+) to (?:%Qubit\*|%Result\*|ptr)\))"
)
_LABEL = re.compile(_NAME + ":")
_JUMP = re.compile(rf"br label %{_NAME}")
_BRANCH = re.compile(rf"br i1 %{_NAME}, label %{_NAME}, label %{_NAME}")
_RETURN = re.compile(r"ret (?:void|i64 \S+|i32 \S+)")
_READ = re.compile(
    rf"%{_NAME} = (?:tail )?call (?:zeroext )?i1 @__quantum__(?:rt__read_result|qis__read_result__body)\((.*)\)"
    r"(?: #\d+)?"
)
_NOT = re.compile(rf"%{_NAME} = (?:xor i1|icmp eq i1|icmp ne i1) %{_NAME}, (true|false)")


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


@dataclass(slots=True)
class _ControlFlow:
    """Traversal of the control-flow graph: every block once, and the results that boolean variables stand for."""

    blocks: dict[str, list[str]]
    visited: set[str] = field(default_factory=set)
    # variable -> (result, the result's value where the variable is true)
    booleans: dict[str, tuple[int, int]] = field(default_factory=dict)

    def lines(self, block: str | None, until: str | None, conditions: Conditions) -> Iterator[tuple[str, Conditions]]:
        """Yield the lines from `block` up to, not including, `until` (None: the return), all under `conditions`."""
        if len(conditions) > MAX_CONDITIONS:
            raise JobInputError(INVALID_QIR, "the program's branches are nested too deeply")
        while block != until:
            if block is None or block in self.visited or block not in self.blocks:
                problem = f"the program jumps to block {block!r}, which is a loop or missing, or it returns in a branch"
                raise JobInputError(INVALID_QIR, problem)
            self.visited.add(block)
            # the block's instructions
            *instructions, terminator = self.blocks[block] or [""]
            for line in instructions:
                # the quick test comes first: most lines are calls without a variable
                if line[0] == "%" and self._define_boolean(line):
                    continue
                if line[:3] in ("br ", "ret"):
                    raise JobInputError(INVALID_QIR, f"instructions follow {line!r} in its block")
                yield line, conditions
            # its last line: a branch, a jump or a return
            if branch := _BRANCH.fullmatch(terminator):
                result, value = self._branch_condition(branch[1], terminator)
                merge = self._merge_block(branch[2], branch[3])
                yield from self.lines(branch[2], merge, (*conditions, (result, value)))
                yield from self.lines(branch[3], merge, (*conditions, (result, 1 - value)))
                block = merge
            elif jump := _JUMP.fullmatch(terminator):
                block = jump[1]
            elif _RETURN.fullmatch(terminator):
                block = None
            else:
                problem = f"a block ends without a return or a jump on a result: {terminator[:120]!r}"
                raise JobInputError(INVALID_QIR, problem)

    def _define_boolean(self, line: str) -> bool:
        """Record a variable that holds a result's value or its negation; False for any other line."""
        if read := _READ.fullmatch(line):
            self.booleans[read[1]] = (parse_index(read[2], line), 1)
        elif (negation := _NOT.fullmatch(line)) and negation[2] in self.booleans:
            result, value = self.booleans[negation[2]]
            negates = (negation[3] == "true") == ("icmp eq" not in line)
            self.booleans[negation[1]] = (result, 1 - value if negates else value)
        else:
            return False
        return True

    def _branch_condition(self, variable: str, line: str) -> tuple[int, int]:
        if variable not in self.booleans:
            raise JobInputError(INVALID_QIR, f"the program branches on a value that is no result: {line[:120]!r}")
        return self.booleans[variable]

    def _merge_block(self, first: str, second: str) -> str | None:
        """Return the first block that both sides reach; None if both return, or if there is no single first one."""
        common = self._reachable(first) & self._reachable(second)
        heads = common - {successor for block in common for successor in self._successors(block)}
        return heads.pop() if len(heads) == 1 else None

    def _reachable(self, start: str) -> set[str]:
        reachable, stack = set[str](), [start]
        while stack:
            block = stack.pop()
            if block not in reachable and self.blocks.get(block):
                reachable.add(block)
                stack += self._successors(block)
        return reachable

    def _successors(self, block: str) -> tuple[str, ...]:
        terminator = self.blocks[block][-1]
        if branch := _BRANCH.fullmatch(terminator):
            return branch[2], branch[3]
        jump = _JUMP.fullmatch(terminator)
        return () if jump is None else (jump[1],)


OutputRecord = int | tuple[bool, int]  # a result's number, or a list: is_tuple and its length

# QIR name -> Qiskit's name; in a call, the angles come before the qubits
GATES: dict[str, str] = {
    **{f"{name}__body": name for name in "h x y z id s t sx rx ry rz cx cy cz swap rxx ryy rzz ccx".split()},
    **{f"{name}__adj": f"{name}dg" for name in ("s", "t", "sx")},
    **{"i__body": "id", "cnot__body": "cx"},
}
MEASUREMENTS = {"m__body": False, "mz__body": False, "mresetz__body": True}  # name -> whether a reset follows

_CALL = re.compile(r"(?:tail |musttail |notail )?call (?:fastcc |ccc )?(\S+) @([\w.$]+)\((.*)\)(?: #\d+)?(?:, !.*)?")
_DOUBLE = re.compile(r"double (\S+)")
_LENGTH = re.compile(r"i64 (\d+),.*")
_DEFINE = re.compile(r"^define [^@\n]*@(\"[^\"]*\"|[\w.$-]+)\(([^\n]*)\)([^\n]*)\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_ATTRIBUTES = re.compile(r"^attributes #(\d+) = \{([^\n]*)\}", re.MULTILINE)
_REQUIRED = re.compile(r'"(?:required_)?num_(?:required_)?(qubits|results)"="(\d+)"')


def parse_qir(data: bytes) -> Program:
    """Parse QIR text (UTF-8) or LLVM bitcode. Raises JobInputError if it is invalid or cannot be run."""
    # the entry point's body, and the numbers of qubits and results that its attributes declare
    text = _bitcode_to_text(data) if is_bitcode(data) else _decode(data)
    attributes = dict(_ATTRIBUTES.findall(text))
    body, group = _entry_point(text, attributes)
    required = {kind: int(number) for kind, number in _REQUIRED.findall(attributes.get(group, ""))}
    # its lines in the order of execution
    instructions: list[Instruction] = []
    records: list[OutputRecord] = []
    for line, conditions in _ControlFlow(_blocks(body)).lines("", None, ()):
        parsed, recorded = _parse_line(line)
        if recorded and conditions:
            raise JobInputError(INVALID_QIR, f"an output call can't depend on a measurement: {line[:120]!r}")
        instructions += [replace(i, conditions=conditions) for i in parsed] if conditions else parsed
        records += recorded
    _check_conditions(instructions)
    # numbers of qubits and results: what is used, or what is declared if that is more
    num_qubits = 1 + max((qubit for instruction in instructions for qubit in instruction.qubits), default=-1)
    num_results = 1 + max((i.result for i in instructions if i.result is not None), default=-1)
    output = _output_tree(records)
    return Program(
        instructions=tuple(instructions),
        output=output,
        declared_qubits=max(num_qubits, required.get("qubits", 0)),
        num_results=max(num_results, required.get("results", 0), _highest_result(output) + 1),
    )


def _check_conditions(instructions: list[Instruction]) -> None:
    """Refuse a branch on a result that is not measured exactly once.

    With one measurement, the result's value at the branch is its value at the end, too.
    """
    written = [instruction.result for instruction in instructions if instruction.name == MEASURE]
    for result in {result for instruction in instructions for result, _ in instruction.conditions}:
        if written.count(result) != 1:
            problem = f"the program branches on result {result}, which is not measured exactly once"
            raise JobInputError(INVALID_QIR, problem)


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


def _output_tree(records: Iterable[OutputRecord]) -> Output:
    """Build the output from its records, a tree in pre-order; several roots become a tuple."""
    remaining = list(reversed(list(records)))

    def take(depth: int) -> Output:
        if not remaining or depth > 64:
            raise JobInputError(INVALID_QIR, "the output recording ends early or is nested too deeply")
        record = remaining.pop()
        if isinstance(record, int):
            return record
        is_tuple, length = record
        return OutputList(tuple(take(depth + 1) for _ in range(length)), is_tuple)

    roots = []
    while remaining:
        roots.append(take(0))
    return roots[0] if len(roots) == 1 else OutputList(tuple(roots), is_tuple=True)


def _highest_result(output: Output) -> int:
    if isinstance(output, int):
        return output
    return max((_highest_result(item) for item in output.items), default=-1)
