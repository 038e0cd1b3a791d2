"""Reads OpenQASM 2 into a program, with Qiskit's own parser, and the gates of Quantinuum's library."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qiskit import QuantumCircuit, qasm2
from qiskit.circuit import CircuitInstruction, ClassicalRegister, Clbit, IfElseOp
from qiskit.exceptions import QiskitError

from hybridloop.emulator.gates import NATIVE_TO_AER
from hybridloop.emulator.program import (
    BARRIER,
    MEASURE,
    RESET,
    Operation,
    Program,
    Recorded,
    RecordedList,
    Register,
    Unrunnable,
)

INVALID_QASM = "CompilationError"
MAX_BITS = 4096
MAX_STEPS = 500_000  # of putting definitions in the place of gates: a few lines can stand for 2^100 of them

# Quantinuum's own library: U1q(t, p) = exp(-i t/2 (cos p X + sin p Y)), ZZ = exp(-i pi/4 Z Z), RZZ(t) = exp(-i t/2 Z Z)
_STANDARD_GATES = "qiskit.circuit.library."
_LIBRARY = re.compile(r'include\s+"hqslib1(?:_dev)?\.inc"\s*;')
_GATES = (
    'include "qelib1.inc"; gate hqs_U1q(t, p) a { rz(-p) a; rx(t) a; rz(p) a; } '
    "gate hqs_ZZ a, b { rzz(pi/2) a, b; } gate hqs_RZZ(t) a, b { rzz(t) a, b; }"
)
# of a number beyond 64 bits here Qiskit's parser, written in Rust, dies instead of refusing it
_TOO_LONG = re.compile(r"(?:\[\s*|\bOPENQASM\s+(?:\d+\.)?)\d{10}")
_REGISTER = re.compile(r"\b([qc])reg\s+\w+\s*\[\s*(\d+)")
_COMMENT = re.compile(r"//[^\n]*")
_CAPITALS = re.compile(r"\b(U1q|ZZ|RZZ)\b")  # which Qiskit's parser takes for no names of gates


def program_of_openqasm(data: bytes) -> Program:
    """The program of OpenQASM 2 text; raises Unrunnable where it is none that can be run."""
    circuit = _parsed(data)
    qubits = {qubit: number for number, qubit in enumerate(circuit.qubits)}
    bits = {bit: number for number, bit in enumerate(circuit.clbits)}
    unfolding = _Unfolding()
    try:
        for instruction in circuit.data:
            unfolding.read(instruction, qubits, bits)
    except QiskitError as error:  # of an angle that a definition computes
        raise Unrunnable(INVALID_QASM, f"the input is not an OpenQASM 2 program: {error}") from error
    registers = tuple(Register(r.name, tuple(bits[bit] for bit in r)) for r in circuit.cregs)
    output = RecordedList(tuple(Recorded(number) for number in range(circuit.num_clbits)))
    return Program(tuple(unfolding.operations), output, circuit.num_qubits, circuit.num_clbits, registers)


def _parsed(data: bytes) -> QuantumCircuit:
    try:
        text = data.decode("utf-8")
        _check_sizes(_COMMENT.sub("", text))
        if _LIBRARY.search(text):
            text = _LIBRARY.sub(_GATES, _CAPITALS.sub(r"hqs_\1", text), count=1)
        # what Qiskit writes takes more than the standard library to be included with it; where nothing is included,
        # these would stand in for gates that the program defines itself
        more = qasm2.LEGACY_CUSTOM_INSTRUCTIONS if "qelib1.inc" in text else ()
        # include_path () keeps the program from naming files of this machine
        return qasm2.loads(text, include_path=(), custom_instructions=more)
    except (UnicodeDecodeError, QiskitError, RecursionError) as error:
        raise Unrunnable(INVALID_QASM, f"the input is not an OpenQASM 2 program: {error}") from error


def _check_sizes(text: str) -> None:
    """Refuse what is too large while it is text: the parser would make every qubit and bit of it."""
    if _TOO_LONG.search(text):
        raise Unrunnable(INVALID_QASM, "a register's size, an index or the version has ten digits or more")
    declared = {"q": 0, "c": 0}
    for kind, size in _REGISTER.findall(text):
        declared[kind] += int(size)
    if max(declared.values()) > MAX_BITS:
        raise Unrunnable(INVALID_QASM, f"the program declares more than {MAX_BITS} qubits or bits")


class _Unfolding:
    """Puts what gates are defined by in the place of those that can't be run as they are, definitions read once."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._left = MAX_STEPS
        self._definitions: dict[tuple[object, ...], list[tuple[Any, tuple[int, ...]]]] = {}

    def read(self, instruction: CircuitInstruction, qubits: Mapping[Any, int], bits: Mapping[Clbit, int]) -> None:
        """Append what an instruction does, its qubits and bits numbered by these."""
        where = tuple(qubits[qubit] for qubit in instruction.qubits)
        if instruction.name == MEASURE:
            self.operations.append(Operation(MEASURE, where, result=bits[instruction.clbits[0]]))
        elif instruction.name == RESET:
            self.operations.append(Operation(RESET, where))
        elif instruction.name == BARRIER:
            self.operations.append(Operation(BARRIER, ()))
        elif isinstance(instruction.operation, IfElseOp):
            self.add_conditional(instruction, where, bits)
        else:
            self.add(instruction.operation, where)

    def add(self, gate: Any, where: tuple[int, ...]) -> None:
        """Append a gate of Qiskit's, or its parts, on these qubits."""
        unread = [(gate, where)]
        while unread:
            operation, qubits = unread.pop()
            self._left -= 1
            if self._left < 0:
                raise Unrunnable(INVALID_QASM, f"the program's gates stand for more than {MAX_STEPS} others")
            # a program may define a gate of its own under any name
            if operation.name in NATIVE_TO_AER and operation.base_class.__module__.startswith(_STANDARD_GATES):
                angles = tuple(float(angle) for angle in operation.params)
                self.operations.append(Operation(operation.name, qubits, angles))
            else:
                parts = self._parts(operation)
                unread += [(part, tuple(qubits[number] for number in numbers)) for part, numbers in reversed(parts)]

    def add_conditional(self, branch: CircuitInstruction, where: tuple[int, ...], bits: Mapping[Clbit, int]) -> None:
        """Append what is done if a register has a value: OpenQASM 2's only way to branch."""
        register, value = branch.operation.condition
        if not isinstance(register, ClassicalRegister):
            raise Unrunnable(INVALID_QASM, "a condition must compare a register with a number")
        if value >> len(register):
            return  # it can never have that value
        conditions = tuple((bits[bit], value >> number & 1) for number, bit in enumerate(register))
        body = branch.operation.blocks[0]
        qubits = dict(zip(body.qubits, where, strict=True))
        results = {inner: bits[outer] for inner, outer in zip(body.clbits, branch.clbits, strict=True)}
        first = len(self.operations)
        for instruction in body.data:
            self.read(instruction, qubits, results)
        self.operations[first:] = [replace(done, conditions=conditions) for done in self.operations[first:]]

    def _parts(self, gate: Any) -> list[tuple[Any, tuple[int, ...]]]:
        """What a gate is defined by: gates, and which of its qubits they are on."""
        key = (gate.name, *gate.params)
        parts = self._definitions.get(key)
        if parts is None:
            definition = gate.definition
            if definition is None:
                raise Unrunnable(INVALID_QASM, f"the gate {gate.name!r} has no definition")
            numbers = {qubit: number for number, qubit in enumerate(definition.qubits)}
            parts = [(part.operation, tuple(numbers[qubit] for qubit in part.qubits)) for part in definition.data]
            self._definitions[key] = parts
        return parts
