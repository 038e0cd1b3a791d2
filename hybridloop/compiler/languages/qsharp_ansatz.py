"""Q# operations as ansatz: an operation of qubits and angles, compiled to circuits at given angles."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from hybridloop.compiler.languages.from_qsharp import compile_source, full_name, in_words, without_comments
from hybridloop.compiler.languages.python_ansatz import FunctionAnsatz
from hybridloop.compiler.languages.qir_circuit import circuit_from_qir
from hybridloop.errors import CompilationStopped, InputError, ProgramError

PROFILE = "Base"  # gates alone: what every target takes
_OPERATION = re.compile(r"\boperation\s+(\w+)\s*\(([^()]*)\)\s*:\s*Unit\b")
_HEADER = re.compile(r"// hybridloop: operation ([\w.]+), (\d+) qubits, (\d+) angles\n")
_KINDS = {"Qubit[]": "qubits", "Qubit": "qubit", "Double[]": "angles", "Double": "angle"}
_SIGNATURE = "operation Ansatz(qs : Qubit[], angles : Double[]) : Unit"


def is_qsharp_ansatz(text: str) -> bool:
    """Return whether a text is one that `QsharpAnsatz.to_text` wrote."""
    return _HEADER.match(text) is not None


@dataclass(frozen=True, slots=True)
class QsharpAnsatz:
    """An operation of a Q# source that prepares a state from |0…0⟩, by the angles in radians.

    Its parameters are qubits, `Qubit[]` or several `Qubit`, and angles, `Double[]` or several `Double`, in any order.
    """

    source: str
    operation: str
    num_qubits: int
    num_angles: int
    kinds: tuple[str, ...] = ("qubits", "angles")

    @classmethod
    def find(
        cls, source: str, operation: str | None = None, num_qubits: int | None = None, num_angles: int | None = None
    ) -> QsharpAnsatz:
        """Find an operation of the source, by its name or as the only one. Raises InputError."""
        code = without_comments(source)
        found: dict[str, tuple[str, ...]] = {}
        for match in _OPERATION.finditer(code):
            kinds = _kinds(match[2])
            if kinds is not None:
                found[full_name(code, match[1], match.start())] = kinds
        declared = list(found)
        if operation is not None:
            found = {name: kinds for name, kinds in found.items() if operation in (name, name.rpartition(".")[2])}
        if len(found) != 1:
            what = "no operation" if not found else f"the operations {', '.join(found)}"
            named = "" if operation is None else f" named {operation}"
            remedy = f"Give one that returns Unit, such as `{_SIGNATURE}`."
            if len(declared) > 1:
                remedy = f"Give operation=NAME of one: {', '.join(declared)}."
            raise InputError("ansatz", f"the Q# source has {what}{named} of qubits and angles", remedy)
        ((name, kinds),) = found.items()
        qubits = _count(kinds, "qubits", "qubit", num_qubits, "num_qubits")
        return cls(source, name, qubits, _count(kinds, "angles", "angle", num_angles, "num_angles"), kinds)

    @classmethod
    def from_text(cls, text: str) -> QsharpAnsatz:
        """Read a text that `to_text` wrote. Raises InputError."""
        header = _HEADER.match(text)
        if header is None:
            raise InputError("ansatz", "the Q# text does not name its operation", "Give hl.ansatz(source, …).")
        return cls.find(text[header.end() :], header[1], int(header[2]), int(header[3]))

    def to_text(self) -> str:
        """Return the source below a line that names the operation; it is Q#, too."""
        header = f"// hybridloop: operation {self.operation}, {self.num_qubits} qubits, {self.num_angles} angles\n"
        return header + self.source

    @property
    def key(self) -> str:
        """Name of the operation with a hash of all that its circuits depend on."""
        return f"{self.operation}_{hashlib.blake2b(self.to_text().encode(), digest_size=8).hexdigest()}"

    def circuits(self, points: NDArray[np.float64]) -> list[QuantumCircuit]:
        """Compile the operation at each point, shape (points, angles); the first takes 0.7 s, others 0.3 s.

        Qubit i of a circuit is qubit i of the operation. Raises InputError for what does not compile, or does more than
        gates on its qubits.
        """
        entries = [self.entry(point) for point in points.tolist()]
        try:
            texts = compile_source(self.source, entries, PROFILE)
        except CompilationStopped as error:
            raise error.at("ansatz") from error
        except InputError as error:
            raise InputError("ansatz", error.problem, "Correct the source; an ansatz has no measurements.") from error
        return _circuits(texts, self.operation, self.num_qubits)

    def entry(self, angles: list[float]) -> str:
        """Return the expression that calls the operation and measures its qubits."""
        arguments, qubits, values = [], iter(range(self.num_qubits)), iter(angles)
        for kind in self.kinds:
            match kind:
                case "qubits":
                    arguments.append("qs")
                case "qubit":
                    arguments.append(f"qs[{next(qubits)}]")
                case "angles":
                    arguments.append(f"[{', '.join(map(_double, values))}]")
                case _:
                    arguments.append(_double(next(values)))
        call = f"{self.operation}({', '.join(arguments)})"
        return f"{{ use qs = Qubit[{self.num_qubits}]; {call}; Std.Measurement.MResetEachZ(qs) }}"


def callable_ansatz(function: Any, num_qubits: int | None, num_angles: int | None) -> FunctionAnsatz:
    """Return the ansatz of an operation of (Qubit[], Double[]) in an interpreter that the user has set up.

    It is a callable such as `qdk.code.Ansatz`. Raises InputError for numbers that are missing, and as
    `QsharpAnsatz.circuits`.
    """
    for field, number in (("num_qubits", num_qubits), ("num_angles", num_angles)):
        if number is None or number < 1:
            raise InputError(field, "a callable of Q# does not say it", f"Give {field}, 1 or more.")
    assert num_qubits is not None
    assert num_angles is not None
    name, context = str(function.__name__), function._qdk_context
    operation = QsharpAnsatz("", name, num_qubits, num_angles)
    remedy = f"Call qdk.init(target_profile=qdk.TargetProfile.{PROFILE}) before its evaluation, or give the source."

    def compile_point(point: list[float]) -> QuantumCircuit:
        try:
            text = in_words(lambda: str(context.compile(operation.entry(point))), PROFILE, remedy)
        except InputError as error:
            raise InputError("ansatz", error.problem, error.remedy) from error
        return _circuits([text], name, num_qubits)[0]

    return FunctionAnsatz.of(name, compile_point, num_angles)


def _circuits(texts: list[str], name: str, num_qubits: int) -> list[QuantumCircuit]:
    """Return the gates of compiled programs. Raises InputError for what is more than gates."""
    try:
        return [_gates(circuit_from_qir(text, name), num_qubits) for text in texts]
    except ProgramError as error:
        problem = f"the Q# operation {name} is no circuit of gates: {error.problem}"
        raise InputError("ansatz", problem, "Use gates on the operation's qubits alone.") from error


def _kinds(parameters: str) -> tuple[str, ...] | None:
    """Return the kinds of an operation's parameters; None if it is no ansatz."""
    types = [part.partition(":")[2].replace(" ", "").strip() for part in parameters.split(",")]
    kinds = tuple(_KINDS.get(name, "") for name in types)
    one_of_each = all(
        kinds.count(many) + bool(kinds.count(one)) == 1 for many, one in (("qubits", "qubit"), ("angles", "angle"))
    )
    return kinds if one_of_each and "" not in kinds else None


def _count(kinds: tuple[str, ...], many: str, one: str, given: int | None, field: str) -> int:
    """Return the number of qubits or angles: as given for an array, else that of the parameters. Raises InputError."""
    counted = None if many in kinds else kinds.count(one)
    number = given if counted is None else counted
    if number is None or number < 1 or (counted is not None and given not in (None, counted)):
        problem = f"the operation's number of {many} is {'not stated' if given is None else given}"
        remedy = f"Give {field}=2, or as many as there are; on a command line --ansatz FILE.qs,{field}=2."
        if counted is not None:
            remedy = f"Its parameters are {counted}: leave {field} out."
        raise InputError(field, problem, remedy)
    return number


def _double(value: float) -> str:
    """Return a literal of Q#, which has a point in every Double."""
    text = repr(float(value))
    return text if "." in text or "e" not in text else text.replace("e", ".0e")


def _gates(circuit: QuantumCircuit, num_qubits: int) -> QuantumCircuit:
    """Return the gates of a program that ends with a measurement of each qubit, bit i that of qubit i.

    Raises ProgramError for further qubits and for measurements before the end.
    """
    places: dict[int, int] = {}
    gates = []
    for item in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        if item.name == "measure":
            places[qubits[0]] = circuit.find_bit(item.clbits[0]).index
        elif item.name == "reset" and qubits[0] in places:
            continue
        elif item.name == "reset" or not places.keys().isdisjoint(qubits):
            raise ProgramError(circuit.name, "it measures or resets a qubit")
        else:
            gates.append((item.operation, qubits))
    if circuit.num_clbits != num_qubits or len(places) != num_qubits:
        raise ProgramError(circuit.name, "it measures a qubit")
    bare = QuantumCircuit(num_qubits, name=circuit.name)
    for operation, qubits in gates:
        if not places.keys() >= set(qubits):
            raise ProgramError(circuit.name, "it uses qubits of its own")
        bare.append(operation, [places[qubit] for qubit in qubits])
    return bare
