"""Compile sampler PUBs to QIR programs: one compilation per circuit structure, one filled template per point."""

from __future__ import annotations

import functools
import hashlib
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, ParameterExpression
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.basis import to_basis
from hybridloop.algorithms.circuits.gate_names import BASIS
from hybridloop.algorithms.rounds import pub_points
from hybridloop.compiler.basis_structure import merge_constants
from hybridloop.compiler.circuit_structure import (
    KEPT,
    AngleMap,
    CircuitStructure,
    UnsupportedInstruction,
    extract_structure,
)
from hybridloop.compiler.given_programs import may_be_program
from hybridloop.compiler.point_gate import has_unbound_program
from hybridloop.errors import ProgramError
from hybridloop.runtime.callers import level_of_caller
from hybridloop.runtime.leaves import leaf

if TYPE_CHECKING:
    from hybridloop.compiler import qir_template
    from hybridloop.compiler.languages import qir_program
else:
    qir_template = leaf("hybridloop.compiler.qir_template")
    qir_program = leaf("hybridloop.compiler.languages.qir_program")

LoadStored = Callable[[str], bytes | None]


class CompiledPerPoint(UserWarning):
    """Warning: a circuit can't be a template, so each of its points is compiled separately (about 0.15 s per job)."""


@dataclass(frozen=True, slots=True, eq=False)
class PubDescription:
    """Description of a sampler PUB before compilation: its circuit, structure, parameter values and angles.

    `structure` is the circuit in the basis gates, as it is sent, with constant angles merged. `fingerprint` is a hash
    of it without angles. `points`, shape (k, parameters), are the parameter values. `slots`, shape (k, angles), are the
    structure's angles at these points, in radians, and `angles` the function that they follow from. `measured` are the
    measured classical bits. If the circuit has no structure (`structure` is None, `reason` says why), there are no
    slots, and the fingerprint covers its expressions. A circuit that is a `program` in QIR has its hash as fingerprint.
    """

    circuit: QuantumCircuit
    structure: CircuitStructure | None
    fingerprint: str
    points: NDArray[np.float64]
    slots: NDArray[np.float64]
    measured: tuple[int, ...]
    num_clbits: int
    reason: str = ""
    angles: AngleMap | None = None
    program: qir_program.QirProgram | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CompiledPub:
    """A PUB compiled to the target's format: one payload per point, and the keys under which programs are stored.

    Bit j of a payload's outcomes is the circuit's classical bit `description.measured[j]`. `key` is the key of the
    template. Without a template it is None, and `keys` has a key per payload. `bodies` has the programs to store.
    """

    description: PubDescription
    payloads: tuple[bytes, ...]
    key: str | None
    keys: tuple[str, ...] = ()
    bodies: Mapping[str, bytes] = field(default_factory=dict)


def is_measured(circuit: QuantumCircuit) -> bool:
    """Return whether a circuit writes a classical bit."""
    return any(item.clbits for item in circuit.data)


def describe_pub(pub: SamplerPub) -> PubDescription:
    """Describe a PUB. Raises ProgramError for a circuit without measurements or with an angle that is not finite."""
    circuit = pub.circuit
    if not is_measured(circuit):
        raise ProgramError(
            circuit.name, "it has no measurement, so its jobs would have no counts: add one, as by measure_all()"
        )
    points = pub_points(pub)
    if may_be_program(circuit) and (program := qir_program.program_of(circuit)) is not None:
        clbits, no_slots = tuple(range(circuit.num_clbits)), np.zeros((len(points), 0))
        reason = "it is sent as QIR"
        return PubDescription(
            circuit, None, program.key, points, no_slots, clbits, len(clbits), reason, program=program
        )
    try:
        structure, angles = merge_constants(*extract_structure(circuit))
    except UnsupportedInstruction as reason:
        clbits = tuple(range(circuit.num_clbits))
        no_slots = np.zeros((len(points), 0))
        text = repr((circuit.num_qubits, circuit.num_clbits, _canonical(circuit)))
        fingerprint = "as-is-" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return PubDescription(
            circuit, None, fingerprint, points, no_slots, clbits, circuit.num_clbits, f"it has {reason}"
        )
    slots = angles(points)
    if not np.all(np.isfinite(slots)):
        raise ProgramError(circuit.name, "an angle is not a finite number")
    measured, num_clbits = structure.measured, structure.num_clbits
    return PubDescription(circuit, structure, structure.key, points, slots, measured, num_clbits, angles=angles)


def _canonical(circuit: QuantumCircuit) -> list[object]:
    """Return the circuit's instructions as plain values: bits by index, control flow with its condition and blocks."""
    index = {bit: i for i, bit in enumerate(circuit.qubits)} | {bit: i for i, bit in enumerate(circuit.clbits)}
    order = {parameter: i for i, parameter in enumerate(circuit.parameters)}
    instructions: list[object] = []
    for item in circuit.data:
        operation = item.operation
        bits = [index[bit] for bit in (*item.qubits, *item.clbits)]
        if isinstance(operation, ControlFlowOp):
            parts: list[object] = [_canonical(block) for block in operation.blocks]
            parts.append(str(getattr(operation, "condition", None) or getattr(operation, "target", None)))
        else:
            parts = [_canonical_param(param, order) for param in operation.params]
        instructions.append((operation.name, bits, parts))
    return instructions


def _canonical_param(param: object, order: Mapping[object, int]) -> object:
    if isinstance(param, ParameterExpression):
        return (str(param), sorted(order.get(parameter, -1) for parameter in param.parameters))
    return repr(param)


class PubCompiler:
    """Compiler of a run's PUBs for one QIR profile and its gates; it caches its templates and is thread-safe.

    `load_stored` returns a stored program by key, or None; it is asked before anything is compiled.
    """

    def __init__(self, profile: str, load_stored: LoadStored = lambda _key: None, gates: Sequence[str] = BASIS) -> None:
        self._profile = profile
        self._gates = gates
        self._load_stored = load_stored
        self._templates: dict[str, tuple[qir_template.QirTemplate, bytes] | None] = {}
        self._compiled = 0
        self._lock = threading.Lock()

    @property
    def num_compiled(self) -> int:
        """Number of structures compiled so far, without those that were loaded."""
        return self._compiled

    def compile_pub(self, pub: SamplerPub) -> CompiledPub:
        """Compile a PUB. Raises ProgramError for a circuit that the profile can't express."""
        return self.compile_description(describe_pub(pub))

    def compile_description(self, description: PubDescription) -> CompiledPub:
        """Compile a described PUB; see `compile_pub`."""
        structure, program = description.structure, description.program
        if program is not None:
            payloads = (program.payload,) * len(description.points)
            return CompiledPub(
                description, payloads, None, (program.key,) * len(payloads), {program.key: program.payload}
            )
        if structure is None:
            if not has_unbound_program(description.circuit):  # else said when the circuit was made
                _warn(description.reason)
            bound = [description.circuit.assign_parameters(row) for row in description.points]
            return self._compile_per_point(description, bound)
        form = self._profile if self._gates == BASIS else f"{self._profile}-cx"
        key = f"structure:{description.fingerprint}:{form}:{_compiler_version()}"
        template_and_body = self._template(key, structure)
        if template_and_body is None:
            return self._compile_per_point(description, [structure.circuit(row) for row in description.slots.tolist()])
        template, body = template_and_body
        return CompiledPub(description, tuple(template.fill(description.slots)), key, bodies={key: body})

    def fill_stored(self, key: str, slots: NDArray[np.float64]) -> list[bytes] | None:
        """Fill the template stored under this key and return its payloads; None if none is stored."""
        body = self._load_stored(key)
        return None if body is None else qir_template.QirTemplate.from_bytes(body).fill(slots)

    def _template(self, key: str, structure: CircuitStructure) -> tuple[qir_template.QirTemplate, bytes] | None:
        with self._lock:
            if key not in self._templates:
                if (body := self._load_stored(key)) is not None:
                    self._templates[key] = (qir_template.QirTemplate.from_bytes(body), body)
                else:
                    self._templates[key] = self._build(structure)
            return self._templates[key]

    def _build(self, structure: CircuitStructure) -> tuple[qir_template.QirTemplate, bytes] | None:
        self._compiled += 1
        try:
            template = qir_template.build_template(structure, self._profile, self._gates)
        except qir_template.TemplateMismatch as reason:
            _warn(str(reason))
            return None
        return template, template.to_bytes()

    def _compile_per_point(self, description: PubDescription, circuits: list[QuantumCircuit]) -> CompiledPub:
        payloads = tuple(
            qir_template.compile_qir(to_basis(circuit, self._gates), self._profile).encode() for circuit in circuits
        )
        kind = KEPT if description.structure is not None and description.structure.keeps_gates else ""
        keys = tuple(f"payload:{kind}{hashlib.blake2b(payload, digest_size=16).hexdigest()}" for payload in payloads)
        return CompiledPub(description, payloads, None, keys, dict(zip(keys, payloads, strict=True)))


def must_keep_gates(program: str) -> bool:
    """Return whether the program with this key must be run gate by gate, by the provider's compiler too."""
    return program.partition(":")[2].startswith(KEPT)


@functools.cache
def _compiler_version() -> str:
    """Return the compiler's version; cached, because it is read from files."""
    return version("qdk")


def _warn(reason: str) -> None:
    warnings.warn(f"the circuit is compiled for each point: {reason}", CompiledPerPoint, stacklevel=level_of_caller())
