"""Circuits as the target takes them: one compilation a structure, one filled text a point."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import points_of
from hybridloop.errors import ProgramError
from hybridloop.sessions.qir import Template, TemplateMismatch, build_template, compile_qir, to_basis
from hybridloop.sessions.structure import NotLiftable, Structure, lift


class CompiledPerPoint(UserWarning):
    """A circuit can't be a template, so each of its points is compiled anew (some 0.15 s a job)."""


@dataclass(frozen=True, slots=True)
class Program:
    """A PUB in the target's format: its points (k, parameters), one payload a point, and where its bits belong.

    Bit j of a payload's outcomes is the circuit's classical bit `measured[j]`.
    """

    points: NDArray[np.float64]
    payloads: tuple[bytes, ...]
    measured: tuple[int, ...]
    num_clbits: int


class Programs:
    """The programs of one session: keeps what was compiled; may be used from several threads."""

    def __init__(self, profile: str) -> None:
        self._profile = profile
        self._templates: dict[str, Template | None] = {}
        self._lock = threading.Lock()

    @property
    def structures(self) -> int:
        """How many structures were compiled so far."""
        return len(self._templates)

    def prepare(self, pub: SamplerPub) -> Program:
        """The PUB's programs. Raises ProgramError where the target's format has no word for the circuit."""
        circuit = pub.circuit
        if not any(item.clbits for item in circuit.data):
            raise ProgramError(circuit.name, "it measures nothing, so its jobs would have no counts")
        values = points_of(pub)
        try:
            lifted = lift(circuit)
        except NotLiftable as reason:
            return self._per_point(circuit, values, f"it has {reason}")
        structure, slots = lifted.structure, lifted.angles(values)
        if not np.all(np.isfinite(slots)):
            raise ProgramError(circuit.name, "an angle is not a finite number")
        template = self._template(structure)
        if template is not None:
            payloads = template.fill(slots)
        else:
            payloads = [self._compile(structure.circuit(row)) for row in slots.tolist()]
        return Program(values, tuple(payloads), structure.measured, structure.num_clbits)

    def _template(self, structure: Structure) -> Template | None:
        key = structure.key
        with self._lock:
            if key not in self._templates:
                try:
                    self._templates[key] = build_template(structure, self._profile)
                except TemplateMismatch as reason:
                    _warn(str(reason))
                    self._templates[key] = None
            return self._templates[key]

    def _per_point(self, circuit: QuantumCircuit, values: NDArray[np.float64], reason: str) -> Program:
        _warn(reason)
        payloads = tuple(self._compile(circuit.assign_parameters(row)) for row in values)
        return Program(values, payloads, tuple(range(circuit.num_clbits)), circuit.num_clbits)

    def _compile(self, circuit: QuantumCircuit) -> bytes:
        return compile_qir(to_basis(circuit), self._profile).encode()


def _warn(reason: str) -> None:
    warnings.warn(f"the circuit is compiled for each point: {reason}", CompiledPerPoint, stacklevel=4)
