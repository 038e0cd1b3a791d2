"""What a caller gives, made into what a run takes: files become text, and values become checked models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hybridloop.data import load_table
from hybridloop.errors import InputError, ProblemError
from hybridloop.settings import MAX_CIRCUIT_BYTES, MAX_PROBLEM_BYTES, ProblemText
from hybridloop.settings.validation import refusal

if TYPE_CHECKING:
    from pydantic import BaseModel
    from qiskit import QuantumCircuit

M = TypeVar("M", bound="BaseModel")
_LONGEST_PATH = 4096


def read_problem(problem: str | Path | ProblemText) -> ProblemText:
    """A problem as it travels, from a built-in's name or a file. Raises InputError for a file that can't be read."""
    if isinstance(problem, ProblemText):
        return problem
    path = Path(problem)
    try:
        if path.is_file():
            return _read_file(path)
        what = "it is a folder" if path.is_dir() else "there is no such file"
    except UnicodeDecodeError as error:
        raise ProblemError(str(path), None, "the file is no text", "Give a molecule's or a graph's text.") from error
    except OSError as error:  # a name that is too long, among others, which Path does not take for a missing file
        raise ProblemError(str(path), None, f"it can't be read ({error.strerror})", "Check the path.") from error
    is_name = isinstance(problem, str) and problem == path.name and (not path.suffix or _is_built_in(problem))
    if not is_name:
        raise ProblemError(str(problem), None, what, "Check the path, or name a built-in problem.")
    return checked(ProblemText, {"name": problem}, of="problem")


def _is_built_in(name: str) -> bool:
    """Whether it is a built-in problem's; some have a point in their name."""
    return any(name.lower() in load_table(table) for table in ("problems", "binary_problems"))


def _read_file(path: Path) -> ProblemText:
    if path.stat().st_size > MAX_PROBLEM_BYTES:
        size = f"the file has {path.stat().st_size:,} bytes, at most {MAX_PROBLEM_BYTES:,} are taken"
        raise ProblemError(str(path), None, size, "Choose a smaller active space or graph.")
    text = path.read_text(encoding="utf-8")
    if "\0" in text:  # it is valid UTF-8, and databases refuse it
        raise ProblemError(str(path), None, "the file is no text", "Give a molecule's or a graph's text.")
    return checked(ProblemText, {"name": path.stem, "text": text}, of="problem")


def read_scan(problems: Sequence[str | Path | ProblemText]) -> ProblemText:
    """The points of a scan as one problem, in their order."""
    parts = [read_problem(each) for each in problems]
    name = f"{parts[0].name} to {parts[-1].name}" if parts else "nothing"
    text = json.dumps({"points": [each.model_dump() for each in parts]})
    return checked(ProblemText, {"name": name, "text": text}, of="problem")


def circuit_text(ansatz: object) -> object:
    """The text of a circuit that is a file in OpenQASM 3, or a Qiskit circuit; anything else as it is.

    A Qiskit circuit's parameters are numbered in its own order, which a text would otherwise not keep.
    """
    if isinstance(ansatz, Path) or (isinstance(ansatz, str) and _may_be_path(ansatz)):
        return _read_circuit(Path(ansatz)) if isinstance(ansatz, Path) or Path(ansatz).is_file() else ansatz
    return _written(ansatz) if hasattr(ansatz, "num_qubits") else ansatz  # of which Qiskit need not be imported


def _may_be_path(text: str) -> bool:
    return len(text) < _LONGEST_PATH and "\n" not in text and ";" not in text and "\0" not in text


def _read_circuit(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_CIRCUIT_BYTES:
            raise InputError("ansatz", f"{path} has more than {MAX_CIRCUIT_BYTES:,} bytes", "Give a smaller circuit.")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError("ansatz", f"{path} is no text", "Give a circuit in OpenQASM 3.") from error
    except OSError as error:
        raise InputError("ansatz", f"{path} can't be read ({error.strerror})", "Check the path.") from error


def _written(circuit: QuantumCircuit) -> str:
    from qiskit import QuantumCircuit, qasm3
    from qiskit.circuit import Parameter
    from qiskit.exceptions import QiskitError

    if not isinstance(circuit, QuantumCircuit):
        what = f"{type(circuit).__name__} is no circuit"
        raise InputError("ansatz", what, "Give uccsd, hardware-efficient, a Qiskit circuit, or a file in OpenQASM 3.")
    numbered = {each: Parameter(f"angle{place:05d}") for place, each in enumerate(circuit.parameters)}
    try:
        text: str = qasm3.dumps(circuit.assign_parameters(numbered).decompose(reps=8))
    except QiskitError as error:
        what = f"the circuit can't be written in OpenQASM 3: {error}"
        raise InputError("ansatz", what, "Give gates alone, without measurements or conditions.") from error
    return text


def checked(model: type[M], values: Mapping[str, Any], *, of: str = "") -> M:
    """The model of these values, or InputError with the first field that is off; `of` is what has these fields."""
    from pydantic import ValidationError

    try:
        return model(**values)
    except ValidationError as error:
        raise refusal(error, model, of=of) from error
