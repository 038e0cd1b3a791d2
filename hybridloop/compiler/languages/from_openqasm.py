"""OpenQASM 2 and 3 as Qiskit circuits: by Qiskit's readers, else by Q#'s compiler."""

from __future__ import annotations

import functools
import os
import re

from qiskit import QuantumCircuit

from hybridloop.algorithms.circuits.openqasm_includes import as_written, read_with_gates, version_of
from hybridloop.algorithms.circuits.openqasm_size import expanded_size
from hybridloop.compiler.languages.from_qir import circuit_of_qir
from hybridloop.compiler.languages.from_qsharp import compiler_refusal
from hybridloop.compiler.qsharp_process import QsharpRefused, qsharp_compiler
from hybridloop.errors import InputError

MAX_GATES = 50_000  # of definitions that are expanded: 20 s and 2 GB
_REMEDY = "Correct the text, or build the circuit in Qiskit."
_TOO_LARGE = re.compile(r"\[\s*0*[1-9]\d{4}")  # readers make an object for each bit; that of version 2 crashes at 2^64
_COMMENT = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_LOOP = re.compile(r"\b(?:for|while)\b")
_UNMEASURED = "OutputResultLiteral"  # in the compiler's message


def is_openqasm(text: str) -> bool:
    """Return whether a text begins as OpenQASM does: with its version, after comments."""
    return version_of(text) is not None


def circuit_from_openqasm(text: str, name: str = "openqasm", profile: str = "Base") -> QuantumCircuit:
    """Return the circuit of a text in OpenQASM 2 or 3.

    Version 3 that has loops, or that Qiskit's importer does not take, is compiled for the profile by Q#'s compiler. A
    text that needs the standard gates and includes nothing is read with them, with a warning (StandardGatesAdded).
    Raises InputError with the line and what is wrong with it, and CompilationStopped at a limit of the compilation.
    """
    from hybridloop.algorithms.circuits.openqasm import InvalidOpenQasm, parse_openqasm  # its import takes long

    number = version_of(text) or 3
    if number not in (2, 3):
        raise InputError("program", f"{name} is in OpenQASM {number}", "Versions 2 and 3 are taken.")
    if large := _TOO_LARGE.search(text):
        line = text.count("\n", 0, large.start()) + 1
        problem = f"{name}, line {line} has a register of 10,000 bits or more"
        raise InputError("program", problem, _REMEDY)
    bare = _COMMENT.sub(" ", text)
    if expanded_size(bare, {})[0] > max(MAX_GATES, bare.count(";")):
        raise InputError("program", f"{name} defines more than {MAX_GATES:,} gates by gates of gates", _REMEDY)
    if number == 3 and _LOOP.search(bare):  # unrolled, in a process with limits
        return _compile(text, name, profile)
    try:
        read = parse_openqasm if number == 3 else _read_version_2
        circuit = read(text, name)
    except InvalidOpenQasm as error:
        if number == 3:
            return _compile(text, name, profile)
        place = "" if error.line is None else f", line {error.line}"
        raise InputError("program", f"{name}{place} is no OpenQASM 2: {error.reason}", _REMEDY) from error
    circuit.name = name
    return circuit


def _read_version_2(text: str, name: str) -> QuantumCircuit:
    """Read OpenQASM 2 with the gates that other tools write as if `qelib1.inc` had them. Raises InvalidOpenQasm."""
    from qiskit import qasm2

    from hybridloop.algorithms.circuits.openqasm import InvalidOpenQasm

    def read(source: str) -> QuantumCircuit:
        try:
            return qasm2.loads(source, include_path=(), custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
        except qasm2.QASM2ParseError as error:
            position, _, reason = str(error.message).strip("'\"").partition(": ")  # <input>:LINE,COLUMN: REASON
            place = position.rpartition(":")[2].partition(",")[0]
            line = int(place) if place.isdigit() else None
            raise InvalidOpenQasm(line, as_written(reason or position)) from error

    return read_with_gates(text, name, read, InvalidOpenQasm)


def _compile(text: str, name: str, profile: str) -> QuantumCircuit:
    """Return OpenQASM 3 as Q#'s compiler reads it. Raises InputError, CompilationStopped."""
    try:
        qir = read_with_gates(text, name, lambda source: _compiled(source, profile), QsharpRefused)
    except QsharpRefused as error:
        measure = "Measure each bit that it declares, or declare only those that it measures."
        remedy = measure if _UNMEASURED in str(error) else _REMEDY
        raise compiler_refusal(str(error), profile, remedy, name) from error
    return circuit_of_qir(qir.encode(), name, profile)


@functools.lru_cache(maxsize=64)
def _compiled(source: str, profile: str) -> str:
    return qsharp_compiler(os.getpid()).compile(source, None, profile)
