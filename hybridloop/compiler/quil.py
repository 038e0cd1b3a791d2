"""Quil with parameters: one program for many points and bases of measurement, as Rigetti's targets take it.

A circuit is parted into what its points share and a change of basis for each measured qubit: the gates on that qubit
alone just before its measurement, at the angles of the point. Any such change is a rotation about z, one about y, and
one about z again, which a measurement does not see (M. Nielsen, I. Chuang, Quantum Computation and Quantum
Information, theorem 4.1). So two angles a qubit stand for all bases, and circuits that differ in nothing else are one
program. Its other angles are affine functions of the circuit's parameters, or numbers of their own where the circuit
has none.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.synthesis import OneQubitEulerDecomposer

from hybridloop.algorithms.circuits.basis import to_basis
from hybridloop.algorithms.circuits.gate_names import CNOT_BASIS
from hybridloop.compiler.circuit_structure import AngleMap, CircuitStructure, Instruction, angle_map, gate_of
from hybridloop.compiler.programs import PubDescription

_NAMES = {"cx": "CNOT", "sdg": "DAGGER S", "tdg": "DAGGER T", "reset": "RESET"}  # others: in capitals
_KEY = "quil:"  # prefix of a program's key
_DECIMALS = 12  # of an angle: further ones are errors of rounding
_EULER = OneQubitEulerDecomposer("ZYZ")

Gates = tuple[tuple[str, tuple[float, ...]], ...]
Matrix = NDArray[np.float64]


class NoQuil(Exception):
    """The circuit can't be a program with parameters; the text says why."""


@dataclass(frozen=True, eq=False)
class QuilProgram:
    """A program that many PUBs may share; it is written when its `text` is asked for, for which a plan does not."""

    write: Callable[[], str]

    @functools.cached_property
    def text(self) -> str:
        return self.write()

    @functools.cached_property
    def key(self) -> str:
        """The key under which the program is stored."""
        return f"{_KEY}{hashlib.blake2b(self.text.encode(), digest_size=16).hexdigest()}"


@dataclass(frozen=True, eq=False)
class QuilPub:
    """A PUB as a Quil program and the values of its memory regions at each point, in radians.

    `theta`, shape (points, parameters), are the circuit's angles. `basis`, shape (points, 2 × bits), has the rotations
    about z and about y before the measurement of each bit. PUBs of one `program` are points of it.
    """

    description: PubDescription
    program: QuilProgram
    theta: NDArray[np.float64]
    basis: NDArray[np.float64]

    @property
    def key(self) -> str:
        """The key under which the program is stored."""
        return self.program.key

    @property
    def bodies(self) -> dict[str, bytes]:
        """The program to store, by its key."""
        return {self.key: self.program.text.encode()}

    @functools.cached_property
    def row_bytes(self) -> tuple[int, ...]:
        """The length of the values of each point as JSON."""
        rows = zip(self.theta.tolist(), self.basis.tolist(), strict=True)
        return tuple(sum(len(json.dumps(values)) + len(", ") for values in regions) for regions in rows)

    @property
    def bits(self) -> int:
        """Number of measured bits."""
        return int(self.basis.shape[1]) // 2


class QuilCompiler:
    """Compiles PUBs to Quil with parameters; what circuits share is translated once. Threads may do so twice."""

    def __init__(self) -> None:
        self._cores: dict[CircuitStructure, tuple[QuantumCircuit, AngleMap]] = {}
        self._programs: dict[Hashable, QuilProgram] = {}

    @property
    def num_compiled(self) -> int:
        """Number of programs so far; one for all points and bases of a circuit."""
        return len(self._programs)

    def compile(self, description: PubDescription) -> QuilPub:
        """Compile a described PUB. Raises NoQuil."""
        core, slots, qubits, changes = _part(_parametric(description))
        key, matrix, constant = _shared(description, core, slots, qubits)
        theta = description.slots[:, slots] if matrix is None else description.points
        if (program := self._programs.get(key)) is None:
            program = QuilProgram(functools.partial(self._write, core, qubits, matrix, constant))
            program = self._programs.setdefault(key, program)
        basis = [[angle for change in changes for angle in change.angles(row)] for row in description.slots.tolist()]
        return QuilPub(description, program, np.round(theta, _DECIMALS) + 0.0, np.array(basis))

    def _write(
        self, core: CircuitStructure, qubits: Sequence[int], matrix: Matrix | None, constant: Matrix | None
    ) -> str:
        """Return the program; the core's slots are `theta @ matrix + constant`, or `theta` itself."""
        if core not in self._cores:
            self._cores[core] = _translate(core)
        circuit, angles = self._cores[core]
        if matrix is None or constant is None:
            return _text(circuit, angles.matrix, angles.constant, qubits)
        return _text(circuit, matrix @ angles.matrix, constant @ angles.matrix + angles.constant, qubits)


def program_key(description: PubDescription) -> Hashable:
    """Return what PUBs of one program have in common. Raises NoQuil."""
    core, slots, qubits, _ = _part(_parametric(description))
    return _shared(description, core, slots, qubits)[0]


def _parametric(description: PubDescription) -> CircuitStructure:
    """Return the structure of a circuit that can be a program with parameters. Raises NoQuil."""
    if description.structure is None or description.angles is None:
        raise NoQuil(description.reason)
    if description.structure.keeps_gates:
        raise NoQuil("its gates must be sent as they are")
    return description.structure


def _shared(
    description: PubDescription, core: CircuitStructure, slots: list[int], qubits: tuple[int, ...]
) -> tuple[Hashable, Matrix | None, Matrix | None]:
    """Return a program's key, and the affine function by which its slots follow from parameters, if they do."""
    angles = description.angles
    if angles is None or not angles.parameters or angles.nonaffine:
        return (core, qubits), None, None
    matrix, constant = angles.matrix[:, slots], angles.constant[slots]
    return (core, qubits, matrix.shape, matrix.tobytes(), constant.tobytes()), matrix, constant


@dataclass(frozen=True, slots=True)
class _Change:
    """The gates on one qubit just before its measurement: each with its slots."""

    gates: tuple[tuple[str, tuple[int, ...]], ...]

    def angles(self, slots: Sequence[float]) -> tuple[float, float]:
        """Return the angles about z and y of these gates."""
        return _euler(tuple((name, tuple(slots[i] for i in indices)) for name, indices in self.gates))


@functools.lru_cache(maxsize=4096)
def _euler(gates: Gates) -> tuple[float, float]:
    """Return the angles of the rotations about z and then y that give the outcomes of these gates on one qubit."""
    matrix = np.eye(2)
    for name, angles in gates:
        matrix = gate_of(name, angles).to_matrix() @ matrix
    about_y, _, about_z = (round(angle, _DECIMALS) + 0.0 for angle in _EULER.angles(matrix))
    return (about_z, about_y) if about_y else (0.0, 0.0)


def is_quil(key: str) -> bool:
    """Return whether a stored program is Quil with parameters."""
    return key.startswith(_KEY)


@functools.lru_cache(maxsize=256)
def _part(structure: CircuitStructure) -> tuple[CircuitStructure, list[int], tuple[int, ...], list[_Change]]:
    """Part a structure into its core, the slots of the core, and for each measured bit its qubit and its change.

    Raises NoQuil for a measurement that is not the end of its qubit.
    """
    first_slot = np.cumsum([0, *(count for _, _, count in structure.instructions)]).tolist()
    flat = {clbit: bit for bit, clbit in enumerate(structure.measured)}
    core: list[tuple[int, Instruction]] = []
    changes: dict[int, list[tuple[str, tuple[int, ...]]]] = {}  # by qubit, of those that end in a measurement
    qubit_of: dict[int, int] = {}  # by bit
    used: set[int] = set()  # qubits with instructions that are no part of a change
    for i, (name, bits, count) in reversed(list(enumerate(structure.instructions))):
        if name == "measure":
            qubit, bit = bits[0], flat[bits[1]]
            if qubit in used or qubit in changes or bit in qubit_of:
                raise NoQuil("it measures before its end")
            changes[qubit] = []
            qubit_of[bit] = qubit
        elif len(bits) == 1 and name != "reset" and bits[0] in changes and bits[0] not in used:
            changes[bits[0]].insert(0, (name, tuple(range(first_slot[i], first_slot[i] + count))))
        else:
            core.append((i, (name, bits, count)))
            used.update(bits)
    core.reverse()
    slots = [slot for i, (_, _, count) in core for slot in range(first_slot[i], first_slot[i] + count)]
    qubits = tuple(qubit_of[bit] for bit in range(len(structure.measured)))
    instructions = tuple(instruction for _, instruction in core)
    parted = CircuitStructure(structure.num_qubits, 0, instructions, ())
    return parted, slots, qubits, [_Change(tuple(changes[qubit])) for qubit in qubits]


def _translate(core: CircuitStructure) -> tuple[QuantumCircuit, AngleMap]:
    """Translate a core to gates that Quil has; return its angles as a function of the core's slots."""
    slots = ParameterVector("slot", core.num_angles)
    circuit = to_basis(core.circuit(list(slots)), CNOT_BASIS)
    angles = angle_map([angle for item in circuit.data for angle in item.operation.params], tuple(slots))
    assert not angles.nonaffine  # the circuit has standard gates alone, whose angles stay affine functions
    return circuit, angles


def _text(circuit: QuantumCircuit, matrix: Matrix, constant: Matrix, qubits: Sequence[int]) -> str:
    """Return the program; column i of `theta @ matrix + constant` is the i-th angle of the circuit."""
    lines = [f"DECLARE ro BIT[{len(qubits)}]", f"DECLARE basis REAL[{2 * len(qubits)}]"]
    lines += [f"DECLARE theta REAL[{len(matrix)}]"] if len(matrix) else []
    index = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    angle = iter(range(len(constant)))
    for item in circuit.data:
        name = _NAMES.get(item.operation.name, item.operation.name.upper())
        columns = [next(angle) for _ in item.operation.params]
        angles = f"({_affine(matrix[:, columns[0]], float(constant[columns[0]]))})" if columns else ""
        lines.append(" ".join((name + angles, *(str(index[qubit]) for qubit in item.qubits))))
    for bit, qubit in enumerate(qubits):
        lines += [f"RZ(basis[{2 * bit}]) {qubit}", f"RY(basis[{2 * bit + 1}]) {qubit}"]
    lines += [f"MEASURE {qubit} ro[{bit}]" for bit, qubit in enumerate(qubits)]
    return "\n".join(lines) + "\n"


def _affine(factors: Matrix, constant: float) -> str:
    """Return `constant + factors · theta` as text.

    >>> _affine(np.array([0.0, 1.0, -0.5]), 2.0)
    'theta[1] - 0.5*theta[2] + 2.0'
    """
    terms = []
    for i in np.flatnonzero(factors).tolist():
        factor = float(factors[i])
        terms.append((factor < 0, f"theta[{i}]" if abs(factor) == 1.0 else f"{abs(factor)!r}*theta[{i}]"))
    if constant or not terms:
        terms.append((constant < 0, repr(abs(constant))))
    text = "".join((" - " if negative else " + ") + term for negative, term in terms)
    return text[3:] if text.startswith(" + ") else "-" + text[3:]
