"""Programs of all languages as Qiskit circuits: found by what they are, converted by the module of their language."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from qiskit import QuantumCircuit

from hybridloop.compiler.languages.from_openqasm import circuit_from_openqasm, is_openqasm
from hybridloop.compiler.languages.from_qir import circuit_of_qir
from hybridloop.compiler.languages.from_qsharp import (
    QsharpProgram,
    compile_callable,
    compile_source,
    is_qsharp_callable,
)
from hybridloop.compiler.languages.qir_program import is_bitcode
from hybridloop.compiler.languages.qir_text import is_qir
from hybridloop.errors import InputError

MAX_BYTES = 16_000_000  # of a program
TAKEN = (
    "Give a circuit of Qiskit or Cirq, a QNode or tape of PennyLane, OpenQASM 2 or 3, QIR, hl.qsharp(source, entry), "
    "or a list of them; session.sampler() takes circuits with lists of angles."
)
_MEASURES = {
    "cirq": "Add one: cirq.measure(*qubits, key='m').",
    "openqasm": "Add one: `c = measure q;` in OpenQASM 3, `measure q -> c;` in OpenQASM 2.",
}
_SUFFIXES = frozenset({".qasm", ".qs", ".ll", ".bc"})


def to_circuit(program: Any, profile: str) -> QuantumCircuit:
    """Return a program of any language as a circuit, compiled for the profile where it is Q#.

    Raises InputError for what is no program, or has something that its converter does not take; ProgramError for QIR
    whose output is not known.
    """
    if isinstance(program, QuantumCircuit):
        return program
    if isinstance(program, QsharpProgram):
        (text,) = compile_source(program.source, [program.entry], profile)
        return circuit_of_qir(text.encode(), program.name, profile)
    function = program.func if isinstance(program, functools.partial) else program
    if is_qsharp_callable(function):
        arguments = program.args if isinstance(program, functools.partial) else ()
        text = compile_callable(function, arguments, profile)
        return circuit_of_qir(text.encode(), function.__name__, profile)
    if _is_of("pennylane", function):
        from hybridloop.compiler.languages.from_pennylane import circuit_from_pennylane

        return circuit_from_pennylane(program)
    if _is_of("cirq", program):
        from hybridloop.compiler.languages.from_cirq import circuit_from_cirq

        return _measured(circuit_from_cirq(program), "cirq")
    if callable(getattr(program, "_repr_qir_", None)):
        name = str(getattr(program, "_name", "") or type(program).__name__)
        return circuit_of_qir(bytes(program._repr_qir_(target_profile=profile)), name, profile)
    if isinstance(program, bytes):
        return _from_bytes(program, "program", profile)
    if isinstance(program, os.PathLike) or (isinstance(program, str) and names_a_file(program)):
        return _from_file(Path(program), profile)
    if isinstance(program, str):
        return _from_text(program, "program", profile)
    raise InputError("program", f"{type(program).__name__} is no program", TAKEN)


def read_text_file(path: Path) -> str:
    """Return the text of a file. Raises InputError if it can't be read, or is too large to be a program."""
    return _decoded(_read(path), str(path))


def names_a_file(text: str) -> bool:
    """Return whether a text is the path of a program, by its suffix."""
    return "\n" not in text and len(text) < 4096 and Path(text).suffix in _SUFFIXES


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:  # bounded: a device has no size
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError("program", f"{path} can't be read ({error.strerror})", "Check the path.") from error
    if len(data) > MAX_BYTES:
        raise InputError("program", f"{path} has more than {MAX_BYTES:,} bytes", "Give a smaller program.")
    return data


def _from_file(path: Path, profile: str) -> QuantumCircuit:
    if path.suffix == ".qs":
        return to_circuit(QsharpProgram(read_text_file(path)), profile)
    return _from_bytes(_read(path), path.name, profile)


def _from_bytes(data: bytes, name: str, profile: str) -> QuantumCircuit:
    if is_bitcode(data):
        return circuit_of_qir(data, name, profile)
    return _from_text(_decoded(data, name), name, profile)


def _from_text(text: str, name: str, profile: str) -> QuantumCircuit:
    if is_openqasm(text):
        return _measured(circuit_from_openqasm(text, name, profile), "openqasm")
    if is_qir(text):
        return circuit_of_qir(text.encode(), name, profile)
    shown = repr(text if len(text) < 40 else f"{text[:40]}…")
    shown = shown if name == "program" else f"{name} (it begins with {shown})"
    if "operation " in text or "function " in text:
        remedy = 'Give hl.qsharp(source, "Main()").'
        raise InputError("program", f"{shown} may be Q#, and its entry is not named", remedy)
    raise InputError("program", f"{shown} is no program", TAKEN)


def _measured(circuit: QuantumCircuit, language: str) -> QuantumCircuit:
    """Return the circuit. Raises InputError if it measures nothing, with how the language does."""
    if not any(item.clbits for item in circuit.data):
        problem = f"{circuit.name} has no measurement, so its jobs would have no counts"
        raise InputError("program", problem, _MEASURES[language])
    return circuit


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError("program", f"{name} is neither text nor LLVM bitcode", TAKEN) from error


def _is_of(package: str, program: object) -> bool:
    """Return whether an object's class, or one it inherits from, is of a package, without an import of that."""
    return any(base.__module__.partition(".")[0] == package for base in type(program).__mro__)
