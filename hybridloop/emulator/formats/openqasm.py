"""Parser for OpenQASM 2 by way of Qiskit's parser, with the gates of Quantinuum's library `hqslib1.inc`.

Gates that Aer does not have are replaced by their definitions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qiskit import QuantumCircuit, qasm2
from qiskit.circuit import CircuitInstruction, ClassicalRegister, Clbit, IfElseOp
from qiskit.exceptions import QiskitError

from hybridloop.emulator.formats.gates import AER_GATES
from hybridloop.emulator.model.program import (
    BARRIER,
    MAX_INSTRUCTIONS,
    MEASURE,
    RESET,
    Instruction,
    JobInputError,
    OutputList,
    Program,
    Register,
)

INVALID_QASM = "CompilationError"
MAX_BITS = 4096

# Quantinuum's own library: U1q(t, p) = exp(-i t/2 (cos p X + sin p Y)), ZZ = exp(-i pi/4 Z Z), RZZ(t) = exp(-i t/2 Z Z)
# and Rxxyyzz(a, b, c) = exp(-i/2 (a X X + b Y Y + c Z Z)); its other gates are those of qelib1.inc up to a global phase
_STANDARD_GATES = "qiskit.circuit.library."
_LIBRARY = re.compile(r'include\s+"hqslib1(?:_dev)?\.inc"\s*;')
_LIBRARY_GATES = (
    'include "qelib1.inc"; gate hqs_U1q(t, p) a { rz(-p) a; rx(t) a; rz(p) a; } '
    "gate hqs_ZZ a, b { rzz(pi/2) a, b; } gate hqs_RZZ(t) a, b { rzz(t) a, b; } gate hqs_Rz(t) a { rz(t) a; } "
    "gate cs a, b { cu1(pi/2) a, b; } gate csdg a, b { cu1(-pi/2) a, b; } "
    "gate hqs_Rxxyyzz(u, v, w) a, b { rxx(u) a, b; "
    "rx(pi/2) a; rx(pi/2) b; rzz(v) a, b; rx(-pi/2) a; rx(-pi/2) b; rzz(w) a, b; }"
)
# on a number beyond 64 bits in one of these places Qiskit's parser, written in Rust, crashes instead of raising
_TEN_DIGITS = re.compile(r"(?:\[\s*|\bOPENQASM\s+(?:\d+\.)?)\d{10}")
_REGISTER = re.compile(r"\b([qc])reg\s+\w+\s*\[\s*(\d+)")
_BRANCH = re.compile(r"\bif\b")
_COMMENT = re.compile(r"//[^\n]*")
# Qiskit's parser allows no capital letter at the start of a name
_CAPITALIZED_GATES = re.compile(r"\b(U1q|ZZ|RZZ|Rz|Rxxyyzz)\b")


def parse_openqasm(data: bytes) -> Program:
    """Parse OpenQASM 2 text. Raises JobInputError if it is invalid or cannot be run."""
    circuit = _parse_circuit(data)
    qubits = {qubit: number for number, qubit in enumerate(circuit.qubits)}
    bits = {bit: number for number, bit in enumerate(circuit.clbits)}
    expansion = _GateExpansion()
    try:
        for instruction in circuit.data:
            expansion.append(instruction, qubits, bits)
    except QiskitError as error:  # an angle that a gate definition computes has no value
        raise JobInputError(INVALID_QASM, f"the input is not an OpenQASM 2 program: {error}") from error
    registers = tuple(Register(r.name, tuple(bits[bit] for bit in r)) for r in circuit.cregs)
    output = OutputList(tuple(range(circuit.num_clbits)))
    return Program(tuple(expansion.instructions), output, circuit.num_qubits, circuit.num_clbits, registers)


def _parse_circuit(data: bytes) -> QuantumCircuit:
    try:
        text = data.decode("utf-8")
        _check_sizes(_COMMENT.sub("", text))
        if _LIBRARY.search(text):
            text = _LIBRARY.sub(_LIBRARY_GATES, _CAPITALIZED_GATES.sub(r"hqs_\1", text), count=1)
        # Qiskit writes programs that need more gates than the standard library has. Without the include, these gates
        # would replace those that the program defines itself
        extra_gates = qasm2.LEGACY_CUSTOM_INSTRUCTIONS if "qelib1.inc" in text else ()
        # include_path () keeps the program from reading files of this machine
        return qasm2.loads(text, include_path=(), custom_instructions=extra_gates)
    except (UnicodeDecodeError, QiskitError, RecursionError) as error:
        raise JobInputError(INVALID_QASM, f"the input is not an OpenQASM 2 program: {error}") from error


def _check_sizes(text: str) -> None:
    """Refuse too many qubits and bits before the parser creates an object for each."""
    if _TEN_DIGITS.search(text):
        raise JobInputError(INVALID_QASM, "a register's size, an index or the version has ten digits or more")
    declared, largest = {"q": 0, "c": 0}, 0
    for kind, size in _REGISTER.findall(text):
        declared[kind] += int(size)
        largest = max(largest, int(size))
    if max(declared.values()) > MAX_BITS:
        raise JobInputError(INVALID_QASM, f"the program declares more than {MAX_BITS} qubits or bits")
    # the parser gives each branch its own list of all qubits and bits
    if len(_BRANCH.findall(text)) * sum(declared.values()) > MAX_INSTRUCTIONS:
        raise JobInputError(INVALID_QASM, "the program has too many branches for its number of qubits and bits")
    # a statement without an index applies to a whole register
    whole = sum("[" not in statement for statement in text.split(";"))
    if whole * largest > MAX_INSTRUCTIONS:
        raise JobInputError(INVALID_QASM, f"the program's statements stand for more than {MAX_INSTRUCTIONS} gates")


class _GateExpansion:
    """Collect a circuit's instructions; gates that Aer lacks are replaced by their definitions, each read once."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self._steps_left = MAX_INSTRUCTIONS  # a few lines of gate definitions can stand for 2^100 gates
        self._definitions: dict[tuple[object, ...], list[tuple[Any, tuple[int, ...]]]] = {}

    def append(self, instruction: CircuitInstruction, qubits: Mapping[Any, int], bits: Mapping[Clbit, int]) -> None:
        operands = tuple(qubits[qubit] for qubit in instruction.qubits)
        if instruction.name == MEASURE:
            self.instructions.append(Instruction(MEASURE, operands, result=bits[instruction.clbits[0]]))
        elif instruction.name == RESET:
            self.instructions.append(Instruction(RESET, operands))
        elif instruction.name == BARRIER:
            self.instructions.append(Instruction(BARRIER, ()))
        elif isinstance(instruction.operation, IfElseOp):
            self._append_conditional(instruction, operands, bits)
        else:
            self._append_gate(instruction.operation, operands)

    def _append_gate(self, gate: Any, operands: tuple[int, ...]) -> None:
        """Append a Qiskit gate, expanded until Aer has all its parts."""
        stack = [(gate, operands)]
        while stack:
            operation, qubits = stack.pop()
            self._steps_left -= 1
            if self._steps_left < 0:
                raise JobInputError(INVALID_QASM, f"the program's gates expand to more than {MAX_INSTRUCTIONS} others")
            # the module is checked too: a program may define its own gate under a standard name
            if operation.name in AER_GATES and operation.base_class.__module__.startswith(_STANDARD_GATES):
                angles = tuple(float(angle) for angle in operation.params)
                self.instructions.append(Instruction(operation.name, qubits, angles))
            else:
                parts = self._definition(operation)
                stack += [(part, tuple(qubits[number] for number in numbers)) for part, numbers in reversed(parts)]

    def _append_conditional(
        self, branch: CircuitInstruction, operands: tuple[int, ...], bits: Mapping[Clbit, int]
    ) -> None:
        """Append the body of `if (register == value)`, OpenQASM 2's only branch, under its conditions."""
        register, value = branch.operation.condition
        if not isinstance(register, ClassicalRegister):
            raise JobInputError(INVALID_QASM, "a condition must compare a register with a number")
        if value >> len(register):
            return  # the register is too short for that value
        conditions = tuple((bits[bit], value >> number & 1) for number, bit in enumerate(register))
        body = branch.operation.blocks[0]
        qubits = dict(zip(body.qubits, operands, strict=True))
        results = {inner: bits[outer] for inner, outer in zip(body.clbits, branch.clbits, strict=True)}
        first = len(self.instructions)
        for instruction in body.data:
            self.append(instruction, qubits, results)
        self.instructions[first:] = [replace(inner, conditions=conditions) for inner in self.instructions[first:]]

    def _definition(self, gate: Any) -> list[tuple[Any, tuple[int, ...]]]:
        """Return the gates of a gate's definition, each with the numbers of the qubits that it acts on."""
        key = (gate.name, *gate.params)
        parts = self._definitions.get(key)
        if parts is None:
            definition = gate.definition
            if definition is None:
                raise JobInputError(INVALID_QASM, f"the gate {gate.name!r} has no definition")
            numbers = {qubit: number for number, qubit in enumerate(definition.qubits)}
            parts = [(part.operation, tuple(numbers[qubit] for qubit in part.qubits)) for part in definition.data]
            self._definitions[key] = parts
        return parts
