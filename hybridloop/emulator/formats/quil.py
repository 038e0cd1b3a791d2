"""Parser for Quil: one program for each row of substituted parameters.

It takes the instructions that gate programs use: DECLARE, standard gates with DAGGER and CONTROLLED, MEASURE, RESET,
PRAGMA, HALT. Gate parameters may be arithmetic expressions: numbers, pi, memory, + - * / ^ and the usual functions.
Anything else (DEFGATE, classical instructions, jumps, pulses) makes the job fail.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybridloop.emulator.formats.gates import GATE_SIZES
from hybridloop.emulator.model.program import (
    MAX_INSTRUCTIONS,
    MEASURE,
    RESET,
    Instruction,
    JobInputError,
    OutputList,
    Program,
    Register,
)

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z_][\w-]*(?:\[\d+\])?)|(?P<sign>[-+*/^()]))"
)
_FUNCTIONS: dict[str, Callable[[float], float]] = {"sin": math.sin, "cos": math.cos, "sqrt": math.sqrt, "exp": math.exp}
_MAX_DEPTH = 50


def evaluate(text: str, memory: Mapping[str, Sequence[float]]) -> float:
    """Return the finite value of an expression over memory regions; raises ValueError if it has none.

    >>> evaluate("2*theta[1] - pi^0", {"theta": [0.0, 1.5]})
    2.0
    """
    try:
        value = _Expression(text, memory).evaluate()
    except (ArithmeticError, TypeError) as error:
        raise ValueError(f"{text!r} has no value: {error}") from error
    if isinstance(value, complex) or not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value


class _Expression:
    """Recursive-descent parser over tokens: one method for each level of precedence."""

    def __init__(self, text: str, memory: Mapping[str, Sequence[float]]) -> None:
        self._memory = memory
        self._depth = 0
        self._tokens: list[str] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise ValueError(f"{text!r} can't be read at {text[position:].strip()[:20]!r}")
            self._tokens.append(match[0].strip())
            position = match.end()

    def evaluate(self) -> float:
        value = self._sum()
        if self._tokens:
            raise ValueError(f"unexpected {self._tokens[0]!r} after the expression")
        return value

    def _sum(self) -> float:
        value = self._product()
        while self._tokens and self._tokens[0] in "+-":
            value = value + self._product() if self._tokens.pop(0) == "+" else value - self._product()
        return value

    def _product(self) -> float:
        value = self._signed()
        while self._tokens and self._tokens[0] in "*/":
            value = value * self._signed() if self._tokens.pop(0) == "*" else value / self._signed()
        return value

    def _signed(self) -> float:
        negative = False
        while self._tokens and self._tokens[0] in "+-":
            negative ^= self._tokens.pop(0) == "-"
        self._depth += 1  # every nesting passes through this method
        if self._depth > _MAX_DEPTH:
            raise ValueError("the expression is nested too deeply")
        value = self._power()
        self._depth -= 1
        return -value if negative else value

    def _power(self) -> float:
        base = self._atom()
        if self._tokens and self._tokens[0] == "^":
            self._tokens.pop(0)
            return float(base ** self._signed())
        return base

    def _atom(self) -> float:
        if not self._tokens:
            raise ValueError("the expression ends too early")
        token = self._tokens.pop(0)
        if token == "(":
            value = self._sum()
            if not self._tokens or self._tokens.pop(0) != ")":
                raise ValueError("a parenthesis is not closed")
            return value
        if token[0].isdigit() or token[0] == ".":
            return float(token)
        if token == "pi":
            return math.pi
        if token in _FUNCTIONS and self._tokens and self._tokens[0] == "(":
            return _FUNCTIONS[token](self._atom())
        return self._load(token)

    def _load(self, token: str) -> float:
        name, _, rest = token.partition("[")
        region, index = self._memory.get(name), int(rest[:-1] or 0) if rest else 0
        if region is None or index >= len(region):
            raise ValueError(f"{token!r} is not declared memory")
        return float(region[index])


INVALID_QUIL = "CompilationError"
MAX_INDEX = 4096
MAX_SUBSTITUTIONS = 1000
MAX_CONTROLS = 7
MAX_LENGTH = 4096  # of a memory region

# Quil's name -> Qiskit's name; Qiskit has no XY
GATES: dict[str, str] = {
    **{name.upper(): name for name in "x y z h s t rx ry rz cz swap iswap cswap xy".split()},
    **{"I": "id", "PHASE": "p", "CNOT": "cx", "CPHASE": "cp", "CCNOT": "ccx"},
}
_INVERSES = {"s": "sdg", "t": "tdg"}
_DECLARE = re.compile(r"DECLARE\s+([A-Za-z_][\w-]*)\s+(BIT|REAL|INTEGER|OCTET)(?:\[(\d+)\])?")
_MEASURE = re.compile(r"MEASURE\s+(\d+)(?:\s+([A-Za-z_][\w-]*)(?:\[(\d+)\])?)?")
_GATE = re.compile(r"((?:(?:DAGGER|CONTROLLED)\s+)*)([A-Z]+)\s*(?:\((.*)\))?\s+(\d+(?:\s+\d+)*)")
_RESET = re.compile(r"RESET(?:\s+(\d+))?")


@dataclass(slots=True)
class _ParserState:
    """State of the parser: the instructions, memory regions and qubits met so far."""

    memory: dict[str, list[float]]
    instructions: list[Instruction] = field(default_factory=list)
    regions: dict[str, tuple[str, int]] = field(default_factory=dict)  # name -> type, length
    results: dict[tuple[str, int], int] = field(default_factory=dict)  # region and index of a bit -> result
    qubits: set[int] = field(default_factory=set)


def parse_quil(data: bytes, params: Mapping[str, Any]) -> list[Program]:
    """Parse Quil text; `substitutions` of the job's inputParams `params` give one program for each row.

    Raises JobInputError if it is invalid or cannot be run.
    """
    try:
        lines = [line.partition("#")[0].strip() for line in data.decode("utf-8").replace(";", "\n").splitlines()]
    except UnicodeDecodeError as error:
        raise JobInputError(INVALID_QUIL, f"the input is not Quil text: {error}") from error
    return [_program([line for line in lines if line], memory) for memory in _substitutions(params)]


def count_rows(params: Mapping[str, Any]) -> int:
    """Return the number of programs that `substitutions` make of one; 1 for any that are refused."""
    tables = params.get("substitutions")
    rows = [len(rows) for rows in tables.values() if isinstance(rows, list)] if isinstance(tables, Mapping) else []
    return min(max(rows, default=1), MAX_SUBSTITUTIONS)  # more are refused


def _substitutions(params: Mapping[str, Any]) -> list[dict[str, list[float]]]:
    """Return the memory of each run, by region: `{"theta": [[0.0], [3.14]]}` gives two runs."""
    tables = params.get("substitutions")
    if tables is None:
        return [{}]
    if not isinstance(tables, Mapping) or not all(_is_table(rows) for rows in tables.values()):
        problem = "`substitutions` must map each region's name to lists of lists of numbers"
        raise JobInputError("InvalidInputData", problem)
    lengths = {len(rows) for rows in tables.values()} or {1}
    if len(lengths) != 1 or not 1 <= max(lengths) <= MAX_SUBSTITUTIONS:
        problem = f"`substitutions` must have the same number of rows for each region, 1 to {MAX_SUBSTITUTIONS}"
        raise JobInputError("InvalidInputData", problem)
    return [{name: rows[number] for name, rows in tables.items()} for number in range(max(lengths))]


def _is_table(rows: object) -> bool:
    return isinstance(rows, list) and all(
        isinstance(row, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in row)
        for row in rows
    )


def _program(lines: Sequence[str], memory: dict[str, list[float]]) -> Program:
    # instructions, up to a HALT
    state = _ParserState(memory)
    for line in lines:
        word = line.split(maxsplit=1)[0]
        if word == "HALT":
            break
        if word != "PRAGMA":
            _parse_line(line, state)
    unknown = set(memory) - set(state.regions)
    if unknown:
        problem = f"`substitutions` have values for {', '.join(sorted(unknown))}, which is not declared"
        raise JobInputError("InvalidInputData", problem)
    # output: all regions of bits
    registers = []
    for name, (kind, length) in state.regions.items():
        if kind == "BIT":  # a bit without a measurement stays 0: its result is never written
            results = (state.results.setdefault((name, index), len(state.results)) for index in range(length))
            registers.append(Register(name, tuple(results)))
    output = OutputList(tuple(result for register in registers for result in register.results))
    width = len(state.qubits)
    return Program(tuple(state.instructions), output, width, len(state.results), tuple(registers))


def _parse_line(line: str, state: _ParserState) -> None:
    if declaration := _DECLARE.fullmatch(line):
        _declare(declaration[1], declaration[2], int(declaration[3] or 1), state)
    elif measurement := _MEASURE.fullmatch(line):
        _measure(measurement, state)
    elif reset := _RESET.fullmatch(line):
        qubits = sorted(state.qubits) if reset[1] is None else [_qubit(reset[1], state)]
        state.instructions += [Instruction(RESET, (qubit,)) for qubit in qubits]
        if len(state.instructions) > MAX_INSTRUCTIONS:  # a RESET of all qubits is one instruction for each
            raise JobInputError(INVALID_QUIL, f"the program has more than {MAX_INSTRUCTIONS} instructions")
    elif gate := _GATE.fullmatch(line):
        state.instructions += _gate(line, gate, state)
    else:
        raise JobInputError(INVALID_QUIL, f"not an instruction that this service runs: {line[:120]!r}")


def _declare(name: str, kind: str, length: int, state: _ParserState) -> None:
    if name in state.regions or not 1 <= length <= MAX_LENGTH:
        problem = f"the region {name!r} is declared twice, or its length {length} is out of range"
        raise JobInputError(INVALID_QUIL, problem)
    state.regions[name] = (kind, length)
    if name in state.memory and len(state.memory[name]) != length:
        problem = f"the region {name!r} has length {length} and its substitution {len(state.memory[name])}"
        raise JobInputError("InvalidInputData", problem)
    state.memory.setdefault(name, [0.0] * length)


def _measure(match: re.Match[str], state: _ParserState) -> None:
    qubit = _qubit(match[1], state)
    if match[2] is None:
        bit = ("", len(state.results))  # a measurement without a target: its result is not part of the output
    else:
        bit = (match[2], int(match[3] or 0))
        kind, length = state.regions.get(bit[0], ("", 0))
        if kind != "BIT" or bit[1] >= length:
            raise JobInputError(INVALID_QUIL, f"{bit[0]}[{bit[1]}] is not a declared bit")
    result = state.results.setdefault(bit, len(state.results))
    state.instructions.append(Instruction(MEASURE, (qubit,), result=result))


def _gate(line: str, match: re.Match[str], state: _ParserState) -> list[Instruction]:
    # name and operands
    controls = match[1].split().count("CONTROLLED")
    name = GATES.get(match[2], "")
    num_angles, num_qubits = (1, 2) if name == "xy" else GATE_SIZES.get(name, (-1, -1))
    qubits = tuple(_qubit(word, state) for word in match[4].split())
    parameters = [] if match[3] is None else match[3].split(",")
    if not name or len(parameters) != num_angles or len(qubits) != num_qubits + controls or controls > MAX_CONTROLS:
        raise JobInputError(INVALID_QUIL, f"unknown gate or wrong operands: {line[:120]!r}")
    if len(set(qubits)) != len(qubits):
        raise JobInputError(INVALID_QUIL, f"a qubit appears twice: {line[:120]!r}")
    try:
        angles = tuple(evaluate(parameter, state.memory) for parameter in parameters)
    except ValueError as error:
        raise JobInputError(INVALID_QUIL, f"bad parameter ({error}): {line[:120]!r}") from error
    # an odd number of DAGGERs inverts the gate
    if match[1].split().count("DAGGER") % 2:
        name, angles = _INVERSES.get(name, name), tuple(-angle for angle in angles)
        if name == "iswap":
            name, angles = "xy", (-math.pi,)
    # XY(t) = exp(+i t/4 (XX + YY)); ISWAP is XY(pi)
    if name in ("iswap", "xy"):
        if controls:
            raise JobInputError(INVALID_QUIL, f"this gate can't be controlled here: {line[:120]!r}")
        half = (angles[0] if angles else math.pi) / 2
        return [Instruction("rxx", qubits, (-half,)), Instruction("ryy", qubits, (-half,))]
    return [Instruction("c" * controls + name, qubits, angles)]


def _qubit(word: str, state: _ParserState) -> int:
    qubit = int(word) if len(word) <= 6 else MAX_INDEX
    if qubit >= MAX_INDEX:
        raise JobInputError(INVALID_QUIL, f"qubit {word[:20]} is out of range")
    state.qubits.add(qubit)
    return qubit
