"""A gate whose decomposition is a compilation at its angles, for programs that decide on an angle."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, ParameterExpression

_PREFIX = "program_"  # of the names of these gates


class PointProgram(Protocol):
    """A hashable program that compiles to a circuit of gates alone at any angles."""

    def __hash__(self) -> int: ...

    @property
    def key(self) -> str:
        """A name that no other program has, the same in every process."""
        ...

    @property
    def num_qubits(self) -> int: ...

    def circuits(self, points: NDArray[np.float64], /) -> list[QuantumCircuit]:
        """Return the circuit at each point, shape (points, angles), in radians."""
        ...


class UnboundAngles(Exception):
    """A gate of a `PointProgram` has no decomposition before its angles have values."""


class PointGate(Gate):  # type: ignore[misc]  # Qiskit has no types
    """A whole program, or its inverse, as a gate. Its definition is compiled when its angles are bound."""

    def __init__(
        self, program: PointProgram, angles: Sequence[float | ParameterExpression], *, is_inverse: bool = False
    ) -> None:
        name = f"{_PREFIX}{program.key}{'_dg' if is_inverse else ''}"
        super().__init__(name, program.num_qubits, list(angles))
        self.program = program
        self.is_inverse = is_inverse

    @property
    def is_bound(self) -> bool:
        """True if all angles have values."""
        return not any(isinstance(angle, ParameterExpression) and angle.parameters for angle in self.params)

    def validate_parameter(self, parameter: Any) -> Any:
        """Return any angle as it is."""
        return parameter

    def _define(self) -> None:
        if not self.is_bound:
            raise UnboundAngles("its gates are known at values of its angles only")
        circuit = _circuit_at(self.program, tuple(float(angle) for angle in self.params))
        self.definition = circuit.inverse() if self.is_inverse else circuit

    def inverse(self, annotated: bool = False) -> PointGate:  # noqa: FBT001, FBT002  # Qiskit's signature
        """Return the inverse, with angles that may have no values yet."""
        return type(self)(self.program, self.params, is_inverse=not self.is_inverse)

    def __deepcopy__(self, _memo: object = None) -> PointGate:
        """Copy without the program, which does not change."""
        return type(self)(self.program, self.params, is_inverse=self.is_inverse)


@functools.lru_cache(maxsize=256)
def _circuit_at(program: PointProgram, point: tuple[float, ...]) -> QuantumCircuit:
    """Compile a point; it is kept for the other bases in which the same point is measured."""
    return program.circuits(np.array([point]))[0]


def has_unbound_program(circuit: QuantumCircuit) -> bool:
    """Return whether a gate of the circuit has no decomposition yet."""
    names = {name for name in circuit.count_ops() if name.startswith(_PREFIX)}
    found = (item.operation for item in circuit.data if item.name in names)
    return any(isinstance(gate, PointGate) and not gate.is_bound for gate in found)
