"""Inputs of a caller: problems and circuits as names, files or objects, read to the text that flows take."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hybridloop.data import load_table
from hybridloop.errors import InputError, ProblemError
from hybridloop.settings import MAX_CIRCUIT_BYTES, MAX_PROBLEM_BYTES, ProblemText
from hybridloop.settings.validation import validate
from hybridloop.settings.yaml import read_text

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

_LONGEST_PATH = 4096
_LONGEST_SHOWN = 200
_NO_TEXT = ("the file is no text", "Give a molecule's or a graph's text.")


def read_problem(problem: str | Path | ProblemText) -> ProblemText:
    """Return a problem of a built-in name or a file. Raises InputError for a file that can't be read."""
    if isinstance(problem, ProblemText):
        return problem
    path = Path(problem)
    try:
        if path.is_file():
            return _read_file(path)
        state = "it is a folder" if path.is_dir() else "there is no such file"
    except UnicodeDecodeError as error:
        raise ProblemError(str(path), None, *_NO_TEXT) from error
    except OSError as error:  # also a name that is too long, which Path does not take for a missing file
        name = str(path) if len(str(path)) < _LONGEST_SHOWN else f"{str(path)[:_LONGEST_SHOWN]!r}…"
        raise ProblemError(name, None, f"it can't be read ({error.strerror})", "Check the path.") from error
    is_built_in = any(str(problem).lower() in load_table(table) for table in ("problems", "binary_problems"))
    if not isinstance(problem, str) or problem != path.name or (path.suffix and not is_built_in):
        raise ProblemError(str(problem), None, state, "Check the path, or name a built-in problem.")
    return validate(ProblemText, {"name": problem}, of="problem")


def _read_file(path: Path) -> ProblemText:
    with path.open("rb") as file:  # bounded: a device has no size
        data = file.read(MAX_PROBLEM_BYTES + 1)
    if len(data) > MAX_PROBLEM_BYTES:
        size = f"the file has {path.stat().st_size:,} bytes, at most {MAX_PROBLEM_BYTES:,} are taken"
        raise ProblemError(str(path), None, size, "Choose a smaller active space or graph.")
    text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:  # valid UTF-8, but refused by databases
        raise ProblemError(str(path), None, *_NO_TEXT)
    return validate(ProblemText, {"name": path.stem, "text": text}, of="problem")


def read_scan(problems: Sequence[str | Path | ProblemText]) -> ProblemText:
    """Return the points of a scan as one problem, in the order given."""
    points = [read_problem(problem) for problem in problems]
    name = f"{points[0].name} to {points[-1].name}" if points else "nothing"
    text = json.dumps({"points": [point.model_dump() for point in points]})
    return validate(ProblemText, {"name": name, "text": text}, of="problem")


def circuit_text(ansatz: object) -> object:
    """Return the OpenQASM 3 text of a circuit file or a Qiskit circuit; any other value is returned unchanged.

    A Qiskit circuit's parameters are numbered in the circuit's order, which OpenQASM text would not keep otherwise.
    """
    if isinstance(ansatz, Path) or (isinstance(ansatz, str) and _is_file(ansatz)):
        return read_text(Path(ansatz), "ansatz", "a circuit in OpenQASM 3", MAX_CIRCUIT_BYTES)
    return _to_openqasm(ansatz) if hasattr(ansatz, "num_qubits") else ansatz  # avoids the import of Qiskit


def _is_file(text: str) -> bool:
    return len(text) < _LONGEST_PATH and not {"\n", ";", "\0"} & set(text) and is_file(Path(text))


def is_file(path: Path) -> bool:
    """Return whether there is a file at the path; False for a text that can be no path, such as a problem's text."""
    return os.path.isfile(path)  # Path.is_file raises OSError for a long name


def _to_openqasm(circuit: QuantumCircuit) -> str:
    from qiskit import QuantumCircuit, qasm3
    from qiskit.circuit import Parameter
    from qiskit.exceptions import QiskitError

    if not isinstance(circuit, QuantumCircuit):
        problem, remedy = f"{type(circuit).__name__} is no circuit", "a Qiskit circuit, or a file in OpenQASM 3."
        raise InputError("ansatz", problem, f"Give uccsd, hardware-efficient, {remedy}")
    numbered = {parameter: Parameter(f"angle{number:05d}") for number, parameter in enumerate(circuit.parameters)}
    try:
        text: str = qasm3.dumps(circuit.assign_parameters(numbered).decompose(reps=8))
    except QiskitError as error:
        problem = f"the circuit can't be written in OpenQASM 3: {error}"
        raise InputError("ansatz", problem, "Give gates alone, without measurements or conditions.") from error
    return text
