"""Reads Quil into programs, one for each set of substituted parameters.

The gates and instructions that gate programs use: DECLARE, standard gates with DAGGER and CONTROLLED, MEASURE, RESET,
PRAGMA, HALT. What else Quil has (DEFGATE, classical instructions, jumps, pulses) makes the job fail.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybridloop.emulator.program import MEASURE, RESET, Operation, Program, Recorded, RecordedList, Register, Unrunnable
from hybridloop.emulator.quil_values import value_of

INVALID_QUIL = "CompilationError"
MAX_INDEX = 4096
MAX_SUBSTITUTIONS = 1000
MAX_CONTROLS = 7
MAX_LENGTH = 4096  # of a memory region

# Quil's name -> (Qiskit's name, number of angles, number of qubits)
GATES = {
    "I": ("id", 0, 1),
    "X": ("x", 0, 1),
    "Y": ("y", 0, 1),
    "Z": ("z", 0, 1),
    "H": ("h", 0, 1),
    "S": ("s", 0, 1),
    "T": ("t", 0, 1),
    "RX": ("rx", 1, 1),
    "RY": ("ry", 1, 1),
    "RZ": ("rz", 1, 1),
    "PHASE": ("p", 1, 1),
    "CNOT": ("cx", 0, 2),
    "CZ": ("cz", 0, 2),
    "CPHASE": ("cp", 1, 2),
    "SWAP": ("swap", 0, 2),
    "ISWAP": ("iswap", 0, 2),
    "XY": ("xy", 1, 2),
    "CCNOT": ("ccx", 0, 3),
    "CSWAP": ("cswap", 0, 3),
}
_INVERSES = {"s": "sdg", "t": "tdg"}
_DECLARE = re.compile(r"DECLARE\s+([A-Za-z_][\w-]*)\s+(BIT|REAL|INTEGER|OCTET)(?:\[(\d+)\])?")
_MEASURE = re.compile(r"MEASURE\s+(\d+)(?:\s+([A-Za-z_][\w-]*)(?:\[(\d+)\])?)?")
_GATE = re.compile(r"((?:(?:DAGGER|CONTROLLED)\s+)*)([A-Z]+)\s*(?:\((.*)\))?\s+(\d+(?:\s+\d+)*)")
_RESET = re.compile(r"RESET(?:\s+(\d+))?")


@dataclass(slots=True)
class _Reading:
    """What has been read so far."""

    memory: dict[str, list[float]]
    operations: list[Operation] = field(default_factory=list)
    lengths: dict[str, tuple[str, int]] = field(default_factory=dict)  # region -> type, length
    bits: dict[tuple[str, int], int] = field(default_factory=dict)  # place of a bit -> result
    qubits: set[int] = field(default_factory=set)


def programs_of_quil(data: bytes, params: Mapping[str, Any]) -> list[Program]:
    """The programs of Quil text; raises Unrunnable where it is none that can be run."""
    try:
        lines = [line.partition("#")[0].strip() for line in data.decode("utf-8").replace(";", "\n").splitlines()]
    except UnicodeDecodeError as error:
        raise Unrunnable(INVALID_QUIL, f"the input is not Quil text: {error}") from error
    return [_program([line for line in lines if line], memory) for memory in _substitutions(params)]


def _substitutions(params: Mapping[str, Any]) -> list[dict[str, list[float]]]:
    """The memory of each run: `{"theta": [[0.0], [3.14]]}` makes two."""
    given = params.get("substitutions")
    if given is None:
        return [{}]
    if not isinstance(given, Mapping) or not all(_is_table(rows) for rows in given.values()):
        raise Unrunnable("InvalidInputData", "`substitutions` must have lists of lists of numbers under regions' names")
    lengths = {len(rows) for rows in given.values()} or {1}
    if len(lengths) != 1 or not 1 <= max(lengths) <= MAX_SUBSTITUTIONS:
        problem = f"`substitutions` must have equally many rows for each region, 1 to {MAX_SUBSTITUTIONS}"
        raise Unrunnable("InvalidInputData", problem)
    return [{name: rows[number] for name, rows in given.items()} for number in range(max(lengths))]


def _is_table(rows: object) -> bool:
    return isinstance(rows, list) and all(
        isinstance(row, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in row)
        for row in rows
    )


def _program(lines: Sequence[str], memory: dict[str, list[float]]) -> Program:
    reading = _Reading(memory)
    for line in lines:
        word = line.split(maxsplit=1)[0]
        if word == "HALT":
            break
        if word != "PRAGMA":
            _read(line, reading)
    unknown = set(memory) - set(reading.lengths)
    if unknown:
        raise Unrunnable(
            "InvalidInputData", f"`substitutions` name {', '.join(sorted(unknown))}, which is not declared"
        )
    registers = []
    for name, (kind, length) in reading.lengths.items():
        if kind == "BIT":  # a bit that nothing is measured into stays 0, as a result that is never written
            places = (reading.bits.setdefault((name, index), len(reading.bits)) for index in range(length))
            registers.append(Register(name, tuple(places)))
    output = RecordedList(tuple(Recorded(result) for register in registers for result in register.results))
    width = len(reading.qubits)
    return Program(tuple(reading.operations), output, width, len(reading.bits), tuple(registers))


def _read(line: str, reading: _Reading) -> None:
    if declared := _DECLARE.fullmatch(line):
        _declare(declared[1], declared[2], int(declared[3] or 1), reading)
    elif measured := _MEASURE.fullmatch(line):
        _measure(measured, reading)
    elif reset := _RESET.fullmatch(line):
        qubits = sorted(reading.qubits) if reset[1] is None else [_qubit(reset[1], reading)]
        reading.operations += [Operation(RESET, (qubit,)) for qubit in qubits]
    elif gate := _GATE.fullmatch(line):
        reading.operations += _gate(line, gate, reading)
    else:
        raise Unrunnable(INVALID_QUIL, f"not an instruction that this service runs: {line[:120]!r}")


def _declare(name: str, kind: str, length: int, reading: _Reading) -> None:
    if name in reading.lengths or not 1 <= length <= MAX_LENGTH:
        raise Unrunnable(INVALID_QUIL, f"the region {name!r} is declared twice, or its length {length} is out of range")
    reading.lengths[name] = (kind, length)
    if name in reading.memory and len(reading.memory[name]) != length:
        problem = f"the region {name!r} has length {length} and its substitution {len(reading.memory[name])}"
        raise Unrunnable("InvalidInputData", problem)
    reading.memory.setdefault(name, [0.0] * length)


def _measure(found: re.Match[str], reading: _Reading) -> None:
    qubit = _qubit(found[1], reading)
    if found[2] is None:
        place = ("", len(reading.bits))  # measured all the same, into a bit that nobody reads
    else:
        place = (found[2], int(found[3] or 0))
        kind, length = reading.lengths.get(place[0], ("", 0))
        if kind != "BIT" or place[1] >= length:
            raise Unrunnable(INVALID_QUIL, f"{place[0]}[{place[1]}] is no declared bit")
    result = reading.bits.setdefault(place, len(reading.bits))
    reading.operations.append(Operation(MEASURE, (qubit,), result=result))


def _gate(line: str, found: re.Match[str], reading: _Reading) -> list[Operation]:
    controls = found[1].split().count("CONTROLLED")
    kind, num_angles, num_qubits = GATES.get(found[2], ("", -1, -1))
    qubits = tuple(_qubit(word, reading) for word in found[4].split())
    parts = [] if found[3] is None else found[3].split(",")
    if not kind or len(parts) != num_angles or len(qubits) != num_qubits + controls or controls > MAX_CONTROLS:
        raise Unrunnable(INVALID_QUIL, f"unknown gate or wrong operands: {line[:120]!r}")
    if len(set(qubits)) != len(qubits):
        raise Unrunnable(INVALID_QUIL, f"a qubit stands twice: {line[:120]!r}")
    try:
        angles = tuple(value_of(part, reading.memory) for part in parts)
    except ValueError as error:
        raise Unrunnable(INVALID_QUIL, f"bad parameter ({error}): {line[:120]!r}") from error
    if found[1].split().count("DAGGER") % 2:
        kind, angles = _INVERSES.get(kind, kind), tuple(-angle for angle in angles)
        if kind == "iswap":
            kind, angles = "xy", (-math.pi,)
    if kind in ("iswap", "xy"):
        if controls:
            raise Unrunnable(INVALID_QUIL, f"this gate can't be controlled here: {line[:120]!r}")
        return _xy(angles[0] if angles else math.pi, qubits)
    return [Operation("c" * controls + kind, qubits, angles)]


def _xy(angle: float, qubits: tuple[int, ...]) -> list[Operation]:
    """XY(t) = exp(+i t/4 (XX + YY)); ISWAP is XY(pi)."""
    return [Operation("rxx", qubits, (-angle / 2,)), Operation("ryy", qubits, (-angle / 2,))]


def _qubit(word: str, reading: _Reading) -> int:
    qubit = int(word) if len(word) <= 6 else MAX_INDEX
    if qubit >= MAX_INDEX:
        raise Unrunnable(INVALID_QUIL, f"qubit {word[:20]} is out of range")
    reading.qubits.add(qubit)
    return qubit
