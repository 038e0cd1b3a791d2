"""OpenQASM 2 and 3 as Qiskit circuits."""

from __future__ import annotations

import re

from qiskit import QuantumCircuit

from hybridloop.errors import InputError

_VERSION = re.compile(r"(?:\s|//[^\n]*(?:\n|\Z)|/\*.*?\*/)*OPENQASM\s+(\d+)(?:\.\d+)?\s*;", re.DOTALL)


def is_openqasm(text: str) -> bool:
    """Return whether a text begins as OpenQASM does: with its version, after comments.

    >>> is_openqasm("// a pair\\nOPENQASM 3.0; qubit[2] q;"), is_openqasm("operation Main() : Result {}")
    (True, False)
    """
    return _VERSION.match(text) is not None


def circuit_from_openqasm(text: str, name: str = "openqasm") -> QuantumCircuit:
    """Return the circuit of a text in OpenQASM 2 or 3. Raises InputError with the line and what is wrong with it."""
    from hybridloop.algorithms.circuits.openqasm import InvalidOpenQasm, parse_openqasm  # its import takes long

    version = _VERSION.match(text)
    number = 3 if version is None else int(version[1])
    remedy = "Correct the text, or build the circuit in Qiskit."
    if number not in (2, 3):
        raise InputError("program", f"{name} is in OpenQASM {number}", "Versions 2 and 3 are taken.")
    try:
        circuit = _read_version_2(text) if number == 2 else parse_openqasm(text)
    except InvalidOpenQasm as error:
        place = "" if error.line is None else f", line {error.line}"
        raise InputError("program", f"{name}{place} is no OpenQASM {number}: {error.reason}", remedy) from error
    circuit.name = name
    return circuit


def _read_version_2(text: str) -> QuantumCircuit:
    """Read OpenQASM 2 with the gates that other tools write as if `qelib1.inc` had them. Raises InvalidOpenQasm."""
    from qiskit import qasm2

    from hybridloop.algorithms.circuits.openqasm import InvalidOpenQasm

    try:
        return qasm2.loads(text, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    except qasm2.QASM2ParseError as error:
        position, _, reason = str(error.message).strip("'\"").partition(": ")  # <input>:LINE,COLUMN: REASON
        line = position.rpartition(":")[2].partition(",")[0]
        raise InvalidOpenQasm(int(line) if line.isdigit() else None, reason or position) from error
