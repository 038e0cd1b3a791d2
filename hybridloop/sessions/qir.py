"""QIR with holes: a structure is compiled once, and each point only fills in its angles.

The compiler writes every angle modulo 2π. So the structure is compiled with marker angles that are distinct in
(0, 2π), each marker is found again within 1e-9, and the text between them is the template. Rotations by θ and
θ + 2π differ by a global phase only, because none of the basis gates is a controlled rotation.
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ParameterExpression, ParameterVector
from qiskit.transpiler.passes import RemoveBarriers

from hybridloop.errors import ProgramError
from hybridloop.sessions.structure import Structure, angle_map

# Gates that every target takes as QIR; `rzz` and kin because each is one native gate on ions, in place of two.
BASIS = [
    "h",
    "x",
    "y",
    "z",
    "s",
    "sdg",
    "t",
    "tdg",
    "rx",
    "ry",
    "rz",
    "cx",
    "cz",
    "swap",
    "rxx",
    "ryy",
    "rzz",
]
_ANGLE = re.compile(r"(?<=double )[^,\s)]+")
_TURN = 2.0 * math.pi
_CLOSE = 1e-9
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_compiling = threading.Lock()  # the compiler keeps one interpreter a process


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled structure: the text around its angles, and the angles as an affine function of the slots."""

    pieces: tuple[str, ...]
    matrix: NDArray[np.float64]
    constant: NDArray[np.float64]
    order: NDArray[np.intp]

    def fill(self, slots: NDArray[np.float64]) -> list[bytes]:
        """One program for each row of slots, shape (points, slots), in radians."""
        angles = np.mod(slots @ self.matrix + self.constant, _TURN)[:, self.order]
        return [self._text(row).encode() for row in angles.tolist()]

    def to_bytes(self) -> bytes:
        """The template as JSON, its numbers exact."""
        rows, columns = np.nonzero(self.matrix)  # an angle depends on few slots
        parts = {
            "pieces": self.pieces,
            "slots": len(self.matrix),
            "rows": rows.tolist(),
            "columns": columns.tolist(),
            "factors": self.matrix[rows, columns].tolist(),
            "constant": self.constant.tolist(),
            "order": self.order.tolist(),
        }
        return json.dumps(parts).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Template:
        """The template that `to_bytes` wrote."""
        parts = json.loads(data)
        constant = np.array(parts["constant"], np.float64)
        matrix = np.zeros((parts["slots"], len(constant)))
        matrix[parts["rows"], parts["columns"]] = parts["factors"]
        return cls(tuple(parts["pieces"]), matrix, constant, np.array(parts["order"], np.intp))

    def _text(self, angles: Sequence[float]) -> str:
        parts = [self.pieces[0]]
        for angle, piece in zip(angles, self.pieces[1:], strict=True):
            parts.append(_number(angle))
            parts.append(piece)
        return "".join(parts)


class TemplateMismatch(Exception):
    """The structure can't be a template: its compiled text depends on its angles, or they were not all found."""


def compile_qir(circuit: QuantumCircuit, profile: str) -> str:
    """QIR of a bound circuit in the basis gates, as the SDK's own Qiskit plug-in makes it. Raises ProgramError."""
    os.environ.setdefault("QDK_PYTHON_TELEMETRY", "none")  # what runs here is the user's own business
    from qdk import TargetProfile
    from qdk.qiskit import QSharpBackend

    target_profile: Any = getattr(TargetProfile, profile)
    with _compiling:
        try:
            backend = QSharpBackend(target_profile=target_profile, skip_transpilation=True)
            return str(backend.qir(circuit))
        except Exception as error:  # the compiler has no error class of its own that covers its exporter
            raise ProgramError(circuit.name, f"it does not compile for profile {profile}: {_short(error)}") from error


def to_basis(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit in the basis gates, parameters kept; without barriers, at which some providers' translators fail."""
    return transpile(RemoveBarriers()(circuit), basis_gates=BASIS, optimization_level=1, seed_transpiler=0)


def sample_program(structure: Structure, profile: str) -> str:
    """QIR of a structure at angles that stand for any: what is counted in it holds for all. Raises ProgramError."""
    circuit = to_basis(structure.circuit(list(ParameterVector("slot", structure.num_slots))))
    return compile_qir(
        _with_angles(circuit, _markers(sum(len(item.operation.params) for item in circuit.data))), profile
    )


def build_template(structure: Structure, profile: str) -> Template:
    """Compile a structure into a template and check it against a fresh compilation at random angles.

    Raises TemplateMismatch, ProgramError.
    """
    slots = ParameterVector("slot", structure.num_slots)
    circuit = to_basis(structure.circuit(list(slots)))
    angles = [angle for item in circuit.data for angle in item.operation.params]
    matrix, constant = _affine(angles, slots)
    markers = _markers(len(angles))
    template = _cut(compile_qir(_with_angles(circuit, markers), profile), markers, matrix, constant)
    _check(template, structure, circuit, profile)
    return template


def _markers(count: int) -> NDArray[np.float64]:
    markers: NDArray[np.float64] = (np.arange(1.0, count + 1.0) * _GOLDEN % 1.0) * _TURN
    return markers


def _affine(
    angles: Sequence[float | ParameterExpression], slots: ParameterVector
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    by_slots = angle_map(angles, tuple(slots))
    if by_slots.curved:
        raise TemplateMismatch("an angle of the translated circuit is no affine function of the circuit's angles")
    return by_slots.matrix, by_slots.constant


def _with_angles(circuit: QuantumCircuit, angles: NDArray[np.float64]) -> QuantumCircuit:
    marked = circuit.copy_empty_like()
    marked.global_phase = 0.0  # it may depend on the slots, and is nobody's to see
    rest = iter(angles.tolist())
    for item in circuit.data:
        params = [next(rest) for _ in item.operation.params]
        operation = item.operation.base_class(*params) if params else item.operation
        marked.append(operation, item.qubits, item.clbits)
    return marked


def _cut(
    text: str, markers: NDArray[np.float64], matrix: NDArray[np.float64], constant: NDArray[np.float64]
) -> Template:
    found = list(_ANGLE.finditer(text))
    if len(found) != len(markers):
        raise TemplateMismatch(f"{len(found)} angles in the compiled text for {len(markers)} in the circuit")
    order = np.empty(len(found), dtype=np.intp)
    for i, match in enumerate(found):
        value = float(match.group())
        near = int(np.argmin(np.abs(markers - value)))
        if abs(markers[near] - value) > _CLOSE:
            raise TemplateMismatch(f"the compiled text has the angle {value}, which is no marker")
        order[i] = near
    if len(set(order.tolist())) != len(markers):
        raise TemplateMismatch("a marker stands twice in the compiled text")
    ends = [0, *(match.end() for match in found)]
    starts = [*(match.start() for match in found), len(text)]
    pieces = tuple(text[end:start] for end, start in zip(ends, starts, strict=True))
    return Template(pieces, matrix, constant, order)


def _check(template: Template, structure: Structure, circuit: QuantumCircuit, profile: str) -> None:
    angles = np.random.default_rng(1).uniform(-_TURN, _TURN, (1, structure.num_slots))
    bound = circuit.assign_parameters({p: float(angles[0, p.index]) for p in circuit.parameters})
    fresh = compile_qir(bound, profile)
    filled = template.fill(angles)[0].decode()
    if _ANGLE.sub("", fresh) != _ANGLE.sub("", filled):
        raise TemplateMismatch("the compiled text changes with the angles")
    there = np.array([float(text) for text in _ANGLE.findall(fresh)])
    here = np.array([float(text) for text in _ANGLE.findall(filled)])
    if np.any(np.abs(np.remainder(there - here + math.pi, _TURN) - math.pi) > _CLOSE):
        raise TemplateMismatch("an angle of the filled template differs from a fresh compilation's")


def _number(value: float) -> str:
    text = repr(value)
    if "e" in text and "." not in text:  # LLVM's assembler wants a point in every double
        text = text.replace("e", ".0e")
    return text


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
