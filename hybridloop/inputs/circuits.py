"""Circuits of a caller: files, circuits and programs of other languages, read to the text that settings keep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridloop.compiler.languages.from_qsharp import QsharpProgram, is_qsharp_callable
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.problems import is_file
from hybridloop.inputs.text_files import read_text
from hybridloop.settings.parsing import MAX_CIRCUIT_BYTES

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

_LONGEST_PATH = 4096
_KINDS = "a circuit in OpenQASM 3, or an operation in Q#"
_QSHARP_FILE = re.compile(r"(?P<path>[^\n,;]+\.qs)(?P<options>(?:,[^\n,]*)*)")
_QSHARP = re.compile(r"\boperation\s+\w+")
_EXAMPLE = "FILE.qs,operation=Ansatz,num_qubits=2,num_angles=3"
_PACKAGES = frozenset({"cirq", "pennylane"})


@dataclass(frozen=True, slots=True)
class ProgramOptions:
    """Options of a program: its operation, its numbers of qubits and angles, and the order of its symbols."""

    operation: str | None = None
    num_qubits: int | None = None
    num_angles: int | None = None
    symbols: Sequence[str] | None = None

    def check_unused(self, used: Sequence[str], what: str) -> None:
        """Raise InputError for an option that this kind of program does not have."""
        for name in ("operation", "num_qubits", "num_angles", "symbols"):
            if name not in used and getattr(self, name) is not None:
                raise InputError(name, f"{what} has no such option", "Leave it out.")


def circuit_text(ansatz: object) -> object:
    """Return the text of a circuit file, a circuit or a program; any other value is returned unchanged.

    The text is OpenQASM 3, or Q# where the gates of an operation change with its angles. A circuit's parameters are
    numbered in the circuit's order, which OpenQASM text would not keep otherwise.
    """
    if isinstance(ansatz, str) and not isinstance(ansatz, Path) and _QSHARP_FILE.fullmatch(ansatz):
        return _to_text(read_circuit(ansatz))
    if isinstance(ansatz, Path) or (isinstance(ansatz, str) and _is_file(ansatz)):
        if Path(ansatz).suffix == ".qs":
            return _to_text(read_circuit(ansatz))
        return read_text(Path(ansatz), "ansatz", _KINDS, MAX_CIRCUIT_BYTES)
    if isinstance(ansatz, str) and "\n" in ansatz and _QSHARP.search(ansatz):
        return _checked_qsharp(ansatz)
    if hasattr(ansatz, "num_qubits") or _is_program(ansatz):  # avoids the import of Qiskit
        return _to_text(read_circuit(ansatz))
    return ansatz


def read_circuit(program: Any, options: ProgramOptions | None = None) -> QuantumCircuit:
    """Return a program of any language as a circuit with parameters; see `hybridloop.ansatz`."""
    from qiskit import QuantumCircuit

    options = options or ProgramOptions()
    if isinstance(program, QuantumCircuit):
        options.check_unused((), "a Qiskit circuit")
        return program
    if isinstance(program, str | Path):
        return _of_text(program, options)
    if isinstance(program, QsharpProgram):
        return _of_qsharp(program.source, options)
    if is_qsharp_callable(program):
        from hybridloop.compiler.languages.qsharp_ansatz import callable_ansatz

        options.check_unused(("num_qubits", "num_angles"), "a callable of Q#")
        return _lifted(callable_ansatz(program, options.num_qubits, options.num_angles))
    from hybridloop.compiler.languages.python_ansatz import cirq_ansatz, pennylane_ansatz

    package = _package(program)
    if package == "cirq":
        options.check_unused(("symbols",), "a Cirq circuit")
        return _lifted(cirq_ansatz(program, options.symbols))
    if callable(program):
        options.check_unused(("num_qubits", "num_angles"), "a function of PennyLane")
        if options.num_angles is None:
            remedy = "Give hl.ansatz(function, num_angles=3), for example."
            raise InputError("num_angles", "the length of the function's array of angles is open", remedy)
        return _lifted(pennylane_ansatz(program, options.num_angles, options.num_qubits))
    problem = f"{type(program).__name__} is no circuit"
    remedy = "Give a circuit of Qiskit or Cirq, a function of PennyLane, or a file in OpenQASM 3 or Q#."
    raise InputError("ansatz", problem, remedy)


def _of_text(program: str | Path, options: ProgramOptions) -> QuantumCircuit:
    """Return the circuit of a file, with options after its name, or of a source."""
    if isinstance(program, str) and "\n" not in program and (match := _QSHARP_FILE.fullmatch(program)):
        given = _file_options(match["options"])
        program, options = Path(match["path"]), replace(options, **given)
    text = str(program)
    if isinstance(program, Path) or _is_file(program):
        text = read_text(Path(program), "ansatz", _KINDS, MAX_CIRCUIT_BYTES)
    if _QSHARP.search(text):
        return _of_qsharp(text, options)
    from hybridloop.algorithms.circuits.custom import read_qasm3

    options.check_unused((), "a circuit in OpenQASM 3")
    try:
        return read_qasm3(text, "circuit")
    except ProblemError as error:
        field = "ansatz" if error.line is None else f"ansatz, line {error.line}"
        raise InputError(field, error.problem, error.remedy) from error


def _of_qsharp(source: str, options: ProgramOptions) -> QuantumCircuit:
    from hybridloop.compiler.languages.qsharp_ansatz import QsharpAnsatz

    options.check_unused(("operation", "num_qubits", "num_angles"), "an operation of Q#")
    return _lifted(QsharpAnsatz.find(source, options.operation, options.num_qubits, options.num_angles))


def _lifted(program: Any) -> QuantumCircuit:
    from hybridloop.compiler.languages.ansatz import lifted_circuit

    return lifted_circuit(program, program.num_angles)


def _file_options(text: str) -> Mapping[str, Any]:
    """Read what follows the name of a Q# file. Raises InputError."""
    values: dict[str, Any] = {}
    for part in text.split(",")[1:]:
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in ("operation", "num_qubits", "num_angles") or not value:
            raise InputError("ansatz", f"{part!r} is no option of a Q# file", f"Give {_EXAMPLE}.")
        if name != "operation" and not (value.isdecimal() and value.isascii() and len(value) < 6):
            raise InputError("ansatz", f"{name} is {value!r}", f"Give a whole number: {_EXAMPLE}.")
        values[name] = value if name == "operation" else int(value)
    return values


def _checked_qsharp(text: str) -> str:
    """Return a text of Q# that names its operation, as settings keep it. Raises InputError for any other source."""
    from hybridloop.compiler.languages.qsharp_ansatz import QsharpAnsatz, is_qsharp_ansatz

    if is_qsharp_ansatz(text):
        QsharpAnsatz.from_text(text)
        return text
    problem, remedy = "it is a Q# source, and its operation is not named", "hl.ansatz(source, operation='Ansatz', …)"
    raise InputError("ansatz", problem, f"Give {remedy}, or {_EXAMPLE}.")


def _to_text(circuit: QuantumCircuit) -> str:
    """Return the text of a circuit. Raises InputError for one that has none."""
    from hybridloop.compiler.languages.ansatz import qsharp_of

    operation = qsharp_of(circuit)
    return _to_openqasm(circuit) if operation is None else operation.to_text()


def _to_openqasm(circuit: QuantumCircuit) -> str:
    from qiskit import qasm3
    from qiskit.circuit import Parameter
    from qiskit.exceptions import QiskitError

    numbered = {parameter: Parameter(f"angle{number:05d}") for number, parameter in enumerate(circuit.parameters)}
    try:
        text: str = qasm3.dumps(circuit.assign_parameters(numbered).decompose(reps=8))
    except QiskitError as error:
        problem = f"the circuit can't be written in OpenQASM 3: {error}"
        raise InputError("ansatz", problem, "Give gates alone, without measurements or conditions.") from error
    return text


def _is_file(text: str) -> bool:
    return len(text) < _LONGEST_PATH and not {"\n", ";", "\0"} & set(text) and is_file(Path(text))


def _is_program(value: object) -> bool:
    """Return whether this is an object of another language, which is found out without an import of that."""
    return _package(value) in _PACKAGES or isinstance(value, QsharpProgram) or is_qsharp_callable(value)


def _package(value: object) -> str:
    """Return the package of an object's class."""
    bases = (base.__module__.partition(".")[0] for base in type(value).__mro__)
    return next((package for package in bases if package in _PACKAGES), "")
