"""Reads OpenQASM 2 into a program, with Qiskit's own parser, and the gates of Quantinuum's library."""

from __future__ import annotations

import re

from qiskit import QuantumCircuit, qasm2
from qiskit.circuit import CircuitInstruction, ControlFlowOp
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
MAX_DEPTH = 32  # of gates defined by gates

# Quantinuum's own library: U1q(t, p) = exp(-i t/2 (cos p X + sin p Y)), ZZ = exp(-i pi/4 Z Z), RZZ(t) = exp(-i t/2 Z Z)
_LIBRARY = re.compile(r'include\s+"hqslib1(?:_dev)?\.inc"\s*;')
_GATES = (
    'include "qelib1.inc"; gate hqs_U1q(t, p) a { rz(-p) a; rx(t) a; rz(p) a; } '
    "gate hqs_ZZ a, b { rzz(pi/2) a, b; } gate hqs_RZZ(t) a, b { rzz(t) a, b; }"
)
_CAPITALS = re.compile(r"\b(U1q|ZZ|RZZ)\b")  # which Qiskit's parser takes for no names of gates


def program_of_openqasm(data: bytes) -> Program:
    """The program of OpenQASM 2 text; raises Unrunnable where it is none that can be run."""
    circuit = _parsed(data)
    if circuit.num_qubits > MAX_BITS or circuit.num_clbits > MAX_BITS:
        raise Unrunnable(INVALID_QASM, f"the program declares more than {MAX_BITS} qubits or bits")
    qubits = {qubit: number for number, qubit in enumerate(circuit.qubits)}
    bits = {bit: number for number, bit in enumerate(circuit.clbits)}
    operations: list[Operation] = []
    for instruction in circuit.data:
        where = tuple(qubits[qubit] for qubit in instruction.qubits)
        if instruction.name == MEASURE:
            operations.append(Operation(MEASURE, where, result=bits[instruction.clbits[0]]))
        elif instruction.name == RESET:
            operations.append(Operation(RESET, where))
        elif instruction.name == BARRIER:
            operations.append(Operation(BARRIER, ()))
        else:
            operations += _gates(instruction, where, MAX_DEPTH)
    registers = tuple(Register(r.name, tuple(bits[bit] for bit in r)) for r in circuit.cregs)
    output = RecordedList(tuple(Recorded(number) for number in range(circuit.num_clbits)))
    return Program(tuple(operations), output, circuit.num_qubits, circuit.num_clbits, registers)


def _parsed(data: bytes) -> QuantumCircuit:
    try:
        text = data.decode("utf-8")
        if _LIBRARY.search(text):
            text = _LIBRARY.sub(_GATES, _CAPITALS.sub(r"hqs_\1", text), count=1)
        # include_path () keeps the program from naming files of this machine
        return qasm2.loads(text, include_path=(), custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    except (UnicodeDecodeError, QiskitError, RecursionError) as error:
        raise Unrunnable(INVALID_QASM, f"the input is not an OpenQASM 2 program: {error}") from error


def _gates(instruction: CircuitInstruction, where: tuple[int, ...], depth: int) -> list[Operation]:
    """The gate itself where it can be run as it is, else what it is defined by."""
    operation = instruction.operation
    if isinstance(operation, ControlFlowOp):
        raise Unrunnable(INVALID_QASM, "the program branches on a measurement, which this service does not run")
    if operation.name in NATIVE_TO_AER:
        return [Operation(operation.name, where, tuple(float(angle) for angle in operation.params))]
    if operation.definition is None or depth == 0:
        raise Unrunnable(
            INVALID_QASM, f"the gate {operation.name!r} has no definition, or one that is nested too deeply"
        )
    inner = {qubit: where[number] for number, qubit in enumerate(operation.definition.qubits)}
    return [
        gate
        for part in operation.definition.data
        for gate in _gates(part, tuple(inner[qubit] for qubit in part.qubits), depth - 1)
    ]
