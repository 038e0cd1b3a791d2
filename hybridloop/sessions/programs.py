"""Circuits as the target takes them: one compilation a structure, one filled text a point."""

from __future__ import annotations

import functools
import hashlib
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, ParameterExpression
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import points_of
from hybridloop.errors import ProgramError
from hybridloop.sessions.qir import Template, TemplateMismatch, build_template, compile_qir, to_basis
from hybridloop.sessions.structure import NotLiftable, Structure, lift

Stored = Callable[[str], bytes | None]


class CompiledPerPoint(UserWarning):
    """A circuit can't be a template, so each of its points is compiled anew (some 0.15 s a job)."""


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """What a PUB asks for, known before anything is compiled.

    `fingerprint` is a hash of the logical circuit without its angles; `points` (k, parameters) are the values asked
    for, `slots` (k, angles) every angle of the circuit at them, in radians. A circuit that has no such slots
    (`structure` is None, `reason` says why) is fingerprinted with its expressions.
    """

    circuit: QuantumCircuit
    structure: Structure | None
    fingerprint: str
    points: NDArray[np.float64]
    slots: NDArray[np.float64]
    measured: tuple[int, ...]
    num_clbits: int
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A PUB in the target's format: one payload a point, and under which keys what they come from is kept.

    Bit j of a payload's outcomes is the circuit's classical bit `description.measured[j]`. `key` is the template's,
    None where each payload stands for itself; `keys` has each payload's own then. `bodies` is what is to be kept.
    """

    description: Description
    payloads: tuple[bytes, ...]
    key: str | None
    keys: tuple[str, ...] = ()
    bodies: Mapping[str, bytes] = field(default_factory=dict)


def describe(pub: SamplerPub) -> Description:
    """What the PUB asks for. Raises ProgramError for a circuit that no job can be made of."""
    circuit = pub.circuit
    if not any(item.clbits for item in circuit.data):
        raise ProgramError(circuit.name, "it measures nothing, so its jobs would have no counts")
    points = points_of(pub)
    try:
        lifted = lift(circuit)
    except NotLiftable as reason:
        everything = tuple(range(circuit.num_clbits))
        none = np.zeros((len(points), 0))
        return Description(
            circuit, None, _as_it_is(circuit), points, none, everything, circuit.num_clbits, f"it has {reason}"
        )
    slots = lifted.angles(points)
    if not np.all(np.isfinite(slots)):
        raise ProgramError(circuit.name, "an angle is not a finite number")
    at = lifted.structure
    return Description(circuit, at, at.key, points, slots, at.measured, at.num_clbits)


def _as_it_is(circuit: QuantumCircuit) -> str:
    text = repr((circuit.num_qubits, circuit.num_clbits, _canonical(circuit)))
    return "as-is-" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _canonical(circuit: QuantumCircuit) -> list[object]:
    """The circuit's instructions as values: bits by number, control flow with its condition and its blocks."""
    place = {bit: i for i, bit in enumerate(circuit.qubits)} | {bit: i for i, bit in enumerate(circuit.clbits)}
    order = {parameter: i for i, parameter in enumerate(circuit.parameters)}
    found: list[object] = []
    for item in circuit.data:
        operation = item.operation
        bits = [place[bit] for bit in (*item.qubits, *item.clbits)]
        if isinstance(operation, ControlFlowOp):
            parts: list[object] = [_canonical(block) for block in operation.blocks]
            parts.append(str(getattr(operation, "condition", None) or getattr(operation, "target", None)))
        else:
            parts = [_number(param, order) for param in operation.params]
        found.append((operation.name, bits, parts))
    return found


def _number(param: object, order: Mapping[object, int]) -> object:
    if isinstance(param, ParameterExpression):
        return (str(param), sorted(order.get(each, -1) for each in param.parameters))
    return repr(param)


class Programs:
    """The programs of one run: keeps what was compiled, and asks `stored` first; may be used from several threads."""

    def __init__(self, profile: str, stored: Stored = lambda _key: None) -> None:
        self._profile = profile
        self._stored = stored
        self._templates: dict[str, tuple[Template, bytes] | None] = {}
        self._compiled = 0
        self._lock = threading.Lock()

    @property
    def structures(self) -> int:
        """How many structures were compiled so far; those that were stored do not count."""
        return self._compiled

    def prepare(self, pub: SamplerPub) -> Program:
        """The PUB's programs. Raises ProgramError where the target's format has no word for the circuit."""
        return self.compiled(describe(pub))

    def compiled(self, asked: Description) -> Program:
        """The programs of what is described; see `prepare`."""
        if asked.structure is None:
            _warn(asked.reason)
            return self._per_point(asked, [asked.circuit.assign_parameters(row) for row in asked.points])
        key = f"structure:{asked.fingerprint}:{self._profile}:{_compiler()}"
        known = self._template(key, asked.structure)
        if known is None:
            return self._per_point(asked, [asked.structure.circuit(row) for row in asked.slots.tolist()])
        template, body = known
        return Program(asked, tuple(template.fill(asked.slots)), key, bodies={key: body})

    def filled(self, key: str, slots: NDArray[np.float64]) -> list[bytes] | None:
        """The payloads of a template that is stored under this key, whoever compiled it; None where there is none."""
        body = self._stored(key)
        return None if body is None else Template.from_bytes(body).fill(slots)

    def _template(self, key: str, structure: Structure) -> tuple[Template, bytes] | None:
        with self._lock:
            if key not in self._templates:
                if (body := self._stored(key)) is not None:
                    self._templates[key] = (Template.from_bytes(body), body)
                else:
                    self._templates[key] = self._built(structure)
            return self._templates[key]

    def _built(self, structure: Structure) -> tuple[Template, bytes] | None:
        self._compiled += 1
        try:
            template = build_template(structure, self._profile)
        except TemplateMismatch as reason:
            _warn(str(reason))
            return None
        return template, template.to_bytes()

    def _per_point(self, asked: Description, circuits: list[QuantumCircuit]) -> Program:
        payloads = tuple(compile_qir(to_basis(circuit), self._profile).encode() for circuit in circuits)
        keys = tuple(f"payload:{hashlib.blake2b(payload, digest_size=16).hexdigest()}" for payload in payloads)
        return Program(asked, payloads, None, keys, dict(zip(keys, payloads, strict=True)))


@functools.cache
def _compiler() -> str:
    """The compiler's version, which is read from its files: slow beside filling a template."""
    return version("qdk")


def _warn(reason: str) -> None:
    warnings.warn(f"the circuit is compiled for each point: {reason}", CompiledPerPoint, stacklevel=4)
