"""QIR templates: a circuit structure is compiled once, and each point only fills in its angles.

The compiler writes every angle modulo 2π. The structure is compiled with marker angles that are distinct in (0, 2π);
each marker is found in the compiled text within 1e-9, and the text between the markers is the template. Rotations by θ
and θ + 2π differ by a global phase only, because none of the basis gates is a controlled rotation.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit import ParameterVector

from hybridloop.algorithms.circuits.basis import to_basis, two_qubit_gates
from hybridloop.algorithms.circuits.gate_names import BASIS
from hybridloop.compiler.circuit_structure import AngleMap, CircuitStructure, angle_map
from hybridloop.compiler.gate_counts import gate_counts
from hybridloop.compiler.register_conditions import with_bit_conditions
from hybridloop.errors import ProgramError

_ANGLE = re.compile(r"(?<=double )[^,\s)]+")
_TURN = 2.0 * math.pi
_TOLERANCE = 1e-9
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_MAX_KEPT = 50_000  # characters of a circuit in OpenQASM, about a thousand gates
_compiler_lock = threading.Lock()  # the compiler has one interpreter per process


@dataclass(frozen=True, slots=True)
class QirTemplate:
    """A compiled structure: the text between its angles, and these angles as an affine function of the slots.

    The slots are the angles of the circuit before its translation to the basis gates. `order[i]` is the column of
    `slots @ matrix + constant` whose value is the i-th angle of the text.
    """

    pieces: tuple[str, ...]
    matrix: NDArray[np.float64]
    constant: NDArray[np.float64]
    order: NDArray[np.intp]

    def fill(self, slots: NDArray[np.float64]) -> list[bytes]:
        """Return one program per row of slots, shape (points, slots), in radians."""
        angles = np.mod(slots @ self.matrix + self.constant, _TURN)[:, self.order]
        return [self._text(row).encode() for row in angles.tolist()]

    def to_bytes(self) -> bytes:
        """Serialize to JSON; the numbers are exact."""
        rows, columns = np.nonzero(self.matrix)  # sparse: an angle depends on few slots
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
    def from_bytes(cls, data: bytes) -> QirTemplate:
        """Read a template that `to_bytes` wrote."""
        parts = json.loads(data)
        constant = np.array(parts["constant"], np.float64)
        matrix = np.zeros((parts["slots"], len(constant)))
        matrix[parts["rows"], parts["columns"]] = parts["factors"]
        return cls(tuple(parts["pieces"]), matrix, constant, np.array(parts["order"], np.intp))

    def _text(self, angles: Sequence[float]) -> str:
        parts = [self.pieces[0]]
        for angle, piece in zip(angles, self.pieces[1:], strict=True):
            parts.append(_format_double(angle))
            parts.append(piece)
        return "".join(parts)


class TemplateMismatch(Exception):
    """The structure can't be a template: its compiled text depends on the angles, or not all of them were found."""


def compile_qir(circuit: QuantumCircuit, profile: str) -> str:
    """Compile a bound circuit in the basis gates to QIR, as the SDK's Qiskit plug-in does. Raises ProgramError.

    A compilation takes 0.2 s of CPU time even for two gates. The text of circuits of up to a thousand gates is kept for
    the next run of this process.
    """
    circuit = with_bit_conditions(circuit)
    try:
        source = qasm3.dumps(circuit, disable_constants=True)  # the compiler is handed this text, with all digits
    except Exception:  # the compiler's own export accepts more, or says what it does not accept
        return _compile(circuit, profile)
    if len(source) > _MAX_KEPT:
        return _compile(circuit, profile)
    return _compile_source(_Source(source, profile, circuit))


@dataclass(frozen=True, slots=True)
class _Source:
    """A circuit and its text, by which circuits are compared."""

    text: str
    profile: str
    circuit: QuantumCircuit = field(compare=False)


@functools.lru_cache(maxsize=128)
def _compile_source(source: _Source) -> str:
    return _compile(source.circuit, source.profile)


def _compile(circuit: QuantumCircuit, profile: str) -> str:
    os.environ.setdefault("QDK_PYTHON_TELEMETRY", "none")  # no telemetry about what users run
    from qdk import TargetProfile
    from qdk.qiskit import QSharpBackend

    target_profile: Any = getattr(TargetProfile, profile)
    with _compiler_lock:
        try:
            backend = QSharpBackend(target_profile=target_profile, skip_transpilation=True)
            return str(backend.qir(circuit))
        except Exception as error:  # the compiler has no error class that covers its exporter
            reason = _first_line(error)
            if "CapabilitiesCk" in reason:
                reason = (
                    f"what it computes from measurements, such as a branch, is not in that profile ({reason}). Choose "
                    "a target with a profile that has it (`hybridloop targets`), or measure at the end"
                )
            raise ProgramError(circuit.name, f"it does not compile for profile {profile}: {reason}") from error


def placeholder_qir(structure: CircuitStructure, profile: str, gates: Sequence[str] = BASIS) -> str:
    """Return QIR of a structure at marker angles; its gate counts hold for all angles. Raises ProgramError."""
    circuit = to_basis(structure.circuit(list(ParameterVector("slot", structure.num_angles))), gates)
    markers = _markers(sum(len(item.operation.params) for item in circuit.data))
    text = compile_qir(_with_angles(circuit, markers), profile)
    _check_gates(structure, circuit, text)
    return text


def build_template(structure: CircuitStructure, profile: str, gates: Sequence[str] = BASIS) -> QirTemplate:
    """Compile a structure to a template of these gates, and check it against a compilation at random angles.

    Raises TemplateMismatch, ProgramError.
    """
    slots = ParameterVector("slot", structure.num_angles)
    circuit = to_basis(structure.circuit(list(slots)), gates)
    angles = [angle for item in circuit.data for angle in item.operation.params]
    angles_of_slots = angle_map(angles, tuple(slots))
    if angles_of_slots.nonaffine:
        raise TemplateMismatch("an angle of the translated circuit is no affine function of the circuit's angles")
    markers = _markers(len(angles))
    text = compile_qir(_with_angles(circuit, markers), profile)
    _check_gates(structure, circuit, text)
    template = _cut_template(text, markers, angles_of_slots)
    _check_template(template, structure, circuit, profile)
    return template


def _check_gates(structure: CircuitStructure, circuit: QuantumCircuit, text: str) -> None:
    """Raise ProgramError if gates were removed from a circuit that must keep them."""
    if structure.keeps_gates and (sent := gate_counts(text).two_qubit) != (kept := two_qubit_gates(circuit)):
        what = f"its {kept} two-qubit gates became {sent}, so that its noise is not amplified by the scale asked for"
        raise ProgramError(circuit.name, what)


def _markers(count: int) -> NDArray[np.float64]:
    markers: NDArray[np.float64] = (np.arange(1.0, count + 1.0) * _GOLDEN % 1.0) * _TURN
    return markers


def _with_angles(circuit: QuantumCircuit, angles: NDArray[np.float64]) -> QuantumCircuit:
    bound = circuit.copy_empty_like()
    bound.global_phase = 0.0  # it may depend on the slots, and cannot be measured
    rest = iter(angles.tolist())
    for item in circuit.data:
        params = [next(rest) for _ in item.operation.params]
        operation = item.operation.base_class(*params) if params else item.operation
        bound.append(operation, item.qubits, item.clbits)
    return bound


def _cut_template(text: str, markers: NDArray[np.float64], angles: AngleMap) -> QirTemplate:
    """Cut the compiled text at its angles, and match each angle to its marker. Raises TemplateMismatch."""
    matches = list(_ANGLE.finditer(text))
    if len(matches) != len(markers):
        raise TemplateMismatch(f"{len(matches)} angles in the compiled text for {len(markers)} in the circuit")
    order = np.empty(len(matches), dtype=np.intp)
    for i, match in enumerate(matches):
        value = float(match.group())
        nearest = int(np.argmin(np.abs(markers - value)))
        if abs(markers[nearest] - value) > _TOLERANCE:
            raise TemplateMismatch(f"the compiled text has the angle {value}, which is no marker")
        order[i] = nearest
    if len(set(order.tolist())) != len(markers):
        raise TemplateMismatch("a marker occurs twice in the compiled text")
    ends = [0, *(match.end() for match in matches)]
    starts = [*(match.start() for match in matches), len(text)]
    pieces = tuple(text[end:start] for end, start in zip(ends, starts, strict=True))
    return QirTemplate(pieces, angles.matrix, angles.constant, order)


def _check_template(template: QirTemplate, structure: CircuitStructure, circuit: QuantumCircuit, profile: str) -> None:
    """Compare the filled template with a compilation at the same random angles. Raises TemplateMismatch."""
    angles = np.random.default_rng(1).uniform(-_TURN, _TURN, (1, structure.num_angles))
    bound = circuit.assign_parameters({p: float(angles[0, p.index]) for p in circuit.parameters})
    compiled = compile_qir(bound, profile)
    filled = template.fill(angles)[0].decode()
    if _ANGLE.sub("", compiled) != _ANGLE.sub("", filled):
        raise TemplateMismatch("the compiled text changes with the angles")
    expected = np.array([float(text) for text in _ANGLE.findall(compiled)])
    actual = np.array([float(text) for text in _ANGLE.findall(filled)])
    if np.any(np.abs(np.remainder(expected - actual + math.pi, _TURN) - math.pi) > _TOLERANCE):
        raise TemplateMismatch("an angle of the filled template differs from that of a compilation")


def _format_double(value: float) -> str:
    text = repr(value)
    if "e" in text and "." not in text:  # LLVM's assembler requires a point in every double
        text = text.replace("e", ".0e")
    return text


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
