"""Parser for Quil: one program for each row of substituted parameters.

It takes the instructions that gate programs use: DECLARE, standard gates with DAGGER and CONTROLLED, MEASURE, RESET,
PRAGMA, HALT. Gate parameters may be arithmetic expressions: numbers, pi, memory, + - * / ^ and the usual functions.
Anything else (DEFGATE, classical instructions, jumps, pulses) makes the job fail.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    r"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z_][\w-]*(?:\[\d+\])?)|(?P<sign>[-+*/^()]))"
)
_FUNCTIONS: dict[str, Callable[[float], float]] = {"sin": math.sin, "cos": math.cos, "sqrt": math.sqrt, "exp": math.exp}
_MAX_DEPTH = 50


Memory = Mapping[str, Sequence[float]]
Value = Callable[[Memory], float]


def evaluate(text: str, memory: Memory) -> float:
    """Return the finite value of an expression over memory regions; raises ValueError if it has none.

    >>> evaluate("2*theta[1] - pi^0", {"theta": [0.0, 1.5]})
    2.0
    """
    return _finite(text, _Expression(text).value(), memory)


def _finite(text: str, value_of: Value, memory: Memory) -> float:
    try:
        value = value_of(memory)
    except (ArithmeticError, TypeError) as error:
        raise ValueError(f"{text!r} has no value: {error}") from error
    if isinstance(value, complex) or not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value


class _Expression:
    """Recursive-descent parser over tokens, one method for each level of precedence: the value as a function."""

    def __init__(self, text: str) -> None:
        self._depth = 0
        self._tokens: list[str] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise ValueError(f"{text!r} can't be read at {text[position:].strip()[:20]!r}")
            self._tokens.append(match[0].strip())
            position = match.end()

    def value(self) -> Value:
        value = self._sum()
        if self._tokens:
            raise ValueError(f"unexpected {self._tokens[0]!r} after the expression")
        return value

    def _sum(self) -> Value:
        value = self._product()
        while self._tokens and self._tokens[0] in "+-":
            combine = operator.add if self._tokens.pop(0) == "+" else operator.sub
            value = _combined(combine, value, self._product())
        return value

    def _product(self) -> Value:
        value = self._signed()
        while self._tokens and self._tokens[0] in "*/":
            combine = operator.mul if self._tokens.pop(0) == "*" else operator.truediv
            value = _combined(combine, value, self._signed())
        return value

    def _signed(self) -> Value:
        negative = False
        while self._tokens and self._tokens[0] in "+-":
            negative ^= self._tokens.pop(0) == "-"
        self._depth += 1  # every nesting passes through this method
        if self._depth > _MAX_DEPTH:
            raise ValueError("the expression is nested too deeply")
        value = self._power()
        self._depth -= 1
        return (lambda memory: -value(memory)) if negative else value

    def _power(self) -> Value:
        base = self._atom()
        if self._tokens and self._tokens[0] == "^":
            self._tokens.pop(0)
            return _combined(lambda one, other: float(one**other), base, self._signed())
        return base

    def _atom(self) -> Value:
        if not self._tokens:
            raise ValueError("the expression ends too early")
        token = self._tokens.pop(0)
        if token == "(":
            value = self._sum()
            if not self._tokens or self._tokens.pop(0) != ")":
                raise ValueError("a parenthesis is not closed")
            return value
        if token[0].isdigit() or token[0] == ".":
            number = float(token)
            return lambda _memory: number
        if token == "pi":
            return lambda _memory: math.pi
        if token in _FUNCTIONS and self._tokens and self._tokens[0] == "(":
            function, argument = _FUNCTIONS[token], self._atom()
            return lambda memory: function(argument(memory))
        return _load(token)


def _combined(combine: Callable[[float, float], float], one: Value, other: Value) -> Value:
    return lambda memory: combine(one(memory), other(memory))


def _load(token: str) -> Value:
    name, _, rest = token.partition("[")
    index = int(rest[:-1] or 0) if rest else 0

    def load(memory: Memory) -> float:
        region = memory.get(name)
        if region is None or index >= len(region):
            raise ValueError(f"{token!r} is not declared memory")
        return float(region[index])

    return load


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
QUIL_WORDS = frozenset(
    (
        "DECLARE MEASURE RESET PRAGMA HALT DAGGER CONTROLLED FORKED DEFGATE DEFCIRCUIT DEFCAL DEFFRAME "
        "DEFWAVEFORM JUMP JUMP-WHEN JUMP-UNLESS LABEL MOVE EXCHANGE CONVERT LOAD STORE ADD SUB MUL DIV "
        "NEG NOT AND IOR XOR EQ GT GE LT LE WAIT NOP INCLUDE CALL PULSE CAPTURE RAW-CAPTURE DELAY FENCE "
        "SET-FREQUENCY SHIFT-FREQUENCY SET-PHASE SHIFT-PHASE SET-SCALE SWAP-PHASES"
    ).split()
)
_INVERSES = {"s": "sdg", "t": "tdg"}
_DECLARE = re.compile(r"DECLARE\s+([A-Za-z_][\w-]*)\s+(BIT|REAL|INTEGER|OCTET)(?:\[(\d+)\])?")
_MEASURE = re.compile(r"MEASURE\s+(\d+)(?:\s+([A-Za-z_][\w-]*)(?:\[(\d+)\])?)?")
_GATE = re.compile(r"((?:(?:DAGGER|CONTROLLED)\s++)*)([A-Z]++)(?:\s*+\((.*)\))?\s++(\d++(?:\s++\d++)*+)")
_RESET = re.compile(r"RESET(?:\s+(\d+))?")


@dataclass(frozen=True, slots=True)
class _ParametricGate:
    """A gate whose angles are expressions over memory: each as text and as a function."""

    line: str
    name: str
    qubits: tuple[int, ...]
    controls: int
    is_inverse: bool
    angles: tuple[tuple[str, Value], ...]

    def bind(self, memory: Memory) -> list[Instruction]:
        """Return the gate's instructions with the memory's values. Raises JobInputError."""
        try:
            angles = tuple(_finite(text, value, memory) for text, value in self.angles)
        except ValueError as error:
            raise JobInputError(INVALID_QUIL, f"bad parameter ({error}): {self.line[:120]!r}") from error
        name = self.name
        if self.is_inverse:
            name, angles = _INVERSES.get(name, name), tuple(-angle for angle in angles)
            if name == "iswap":
                name, angles = "xy", (-math.pi,)
        if name in ("iswap", "xy"):  # XY(t) = exp(+i t/4 (XX + YY)); ISWAP is XY(pi)
            half = (angles[0] if angles else math.pi) / 2
            return [Instruction("rxx", self.qubits, (-half,)), Instruction("ryy", self.qubits, (-half,))]
        return [Instruction("c" * self.controls + name, self.qubits, angles)]


@dataclass(slots=True)
class _ParserState:
    """State of the parser: the instructions, memory regions and qubits met so far."""

    instructions: list[Instruction | _ParametricGate] = field(default_factory=list)
    regions: dict[str, tuple[str, int]] = field(default_factory=dict)  # name -> type, length
    results: dict[tuple[str, int], int] = field(default_factory=dict)  # region and index of a bit -> result
    qubits: set[int] = field(default_factory=set)


class QuilPrograms(Sequence[Program]):
    """The programs of Quil text, one for each row of substituted parameters; each is made when it is asked for."""

    def __init__(self, state: _ParserState, rows: Sequence[Mapping[str, list[float]]]) -> None:
        self._instructions = state.instructions
        self._memory = {name: [0.0] * length for name, (_, length) in state.regions.items()}
        self._rows = rows
        # output: all regions of bits
        registers = []
        for name, (kind, length) in state.regions.items():
            if kind == "BIT":  # a bit without a measurement stays 0: its result is never written
                results = (state.results.setdefault((name, index), len(state.results)) for index in range(length))
                registers.append(Register(name, tuple(results)))
        output = OutputList(tuple(result for register in registers for result in register.results))
        self._program = Program((), output, len(state.qubits), len(state.results), tuple(registers))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        memory = {**self._memory, **self._rows[row]}
        instructions: list[Instruction] = []
        for item in self._instructions:
            if isinstance(item, Instruction):
                instructions.append(item)
            else:
                instructions += item.bind(memory)
        return replace(self._program, instructions=tuple(instructions))


def parse_quil(data: bytes, params: Mapping[str, Any]) -> QuilPrograms:
    """Parse Quil text; `substitutions` of the job's inputParams `params` give one program for each row.

    Raises JobInputError if it is invalid or cannot be run.
    """
    try:
        lines = [line.partition("#")[0].strip() for line in data.decode("utf-8").replace(";", "\n").splitlines()]
    except UnicodeDecodeError as error:
        raise JobInputError(INVALID_QUIL, f"the input is not Quil text: {error}") from error
    rows = _substitutions(params)
    state = _ParserState()
    for line in filter(None, lines):
        word = line.split(maxsplit=1)[0]
        if word == "HALT":
            break
        if word != "PRAGMA":
            _parse_line(line, state)
    _check_rows(rows, state)
    programs = QuilPrograms(state, rows)
    programs[0]  # refused here if an angle has no value
    return programs


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


def _check_rows(rows: Sequence[Mapping[str, list[float]]], state: _ParserState) -> None:
    """Raise JobInputError for values of an undeclared region, or of another number than its length."""
    if unknown := set(rows[0]) - set(state.regions):
        problem = f"`substitutions` have values for {', '.join(sorted(unknown))}, which is not declared"
        raise JobInputError("InvalidInputData", problem)
    for row in rows:
        for name, values in row.items():
            if len(values) != (length := state.regions[name][1]):
                problem = f"the region {name!r} has length {length} and its substitution {len(values)}"
                raise JobInputError("InvalidInputData", problem)


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
        raise _unknown(line, "not an instruction that this service runs")


def _unknown(line: str, problem: str) -> JobInputError:
    """Return the error for a line that is not run: in the recorded words of Rigetti's QVM if it is no Quil."""
    operator_name = re.split(r"[\s(]", line, maxsplit=1)[0][:120]
    if operator_name in QUIL_WORDS or operator_name in GATES:
        return JobInputError(INVALID_QUIL, f"{problem}: {line[:120]!r}")
    problem = (
        "QVM reported a problem running your program: error when calling QVM: failed to perform multishot: "
        f"Encountered the invalid instruction\n\n    {line[:120]}\n\nwhich could not be executed because "
        f"the operator {operator_name} is not known"
    )
    return JobInputError("InvalidInputData", problem)


def _declare(name: str, kind: str, length: int, state: _ParserState) -> None:
    if name in state.regions or not 1 <= length <= MAX_LENGTH:
        problem = f"the region {name!r} is declared twice, or its length {length} is out of range"
        raise JobInputError(INVALID_QUIL, problem)
    state.regions[name] = (kind, length)


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


def _gate(line: str, match: re.Match[str], state: _ParserState) -> list[Instruction | _ParametricGate]:
    # name and operands
    controls = match[1].split().count("CONTROLLED")
    name = GATES.get(match[2], "")
    num_angles, num_qubits = (1, 2) if name == "xy" else GATE_SIZES.get(name, (-1, -1))
    qubits = tuple(_qubit(word, state) for word in match[4].split())
    parameters = [] if match[3] is None else match[3].split(",")
    if not name or len(parameters) != num_angles or len(qubits) != num_qubits + controls or controls > MAX_CONTROLS:
        raise _unknown(line, "unknown gate or wrong operands")
    if len(set(qubits)) != len(qubits):
        raise JobInputError(INVALID_QUIL, f"a qubit appears twice: {line[:120]!r}")
    if controls and name in ("iswap", "xy"):
        raise JobInputError(INVALID_QUIL, f"this gate can't be controlled here: {line[:120]!r}")
    try:
        angles = tuple((text, _Expression(text).value()) for text in parameters)
    except ValueError as error:
        raise JobInputError(INVALID_QUIL, f"bad parameter ({error}): {line[:120]!r}") from error
    is_inverse = match[1].split().count("DAGGER") % 2 == 1
    gate = _ParametricGate(line, name, qubits, controls, is_inverse, angles)
    return [gate] if angles else [*gate.bind({})]


def _qubit(word: str, state: _ParserState) -> int:
    qubit = int(word) if len(word) <= 6 else MAX_INDEX
    if qubit >= MAX_INDEX:
        raise JobInputError(INVALID_QUIL, f"qubit {word[:20]} is out of range")
    state.qubits.add(qubit)
    return qubit
