"""A circuit as structure and angles: what stays the same in a variational loop, and what moves.

Every rotation angle becomes a slot, numbers as well as parameters, because other people's algorithms often bind
before they run: the structure is what is compiled, once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Gate, Parameter, ParameterExpression
from qiskit.circuit.library import get_standard_gate_name_mapping

_NOTHING = frozenset({"barrier", "delay"})  # order or time only; QIR has no word for them
_GATES = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if isinstance(gate, Gate) and name != "global_phase"
}
_UNROLLED = sorted(_GATES)

Instruction = tuple[str, tuple[int, ...], int]
"""A gate, measurement or reset: name, qubits (a measurement's classical bit comes last), number of angles."""


@dataclass(frozen=True, slots=True)
class Structure:
    """A circuit without its angles and names; measurements go to one flat register, in the order of classical bits.

    `measured[j]` is the circuit's classical bit that the flat register's bit j stands for.
    """

    num_qubits: int
    num_clbits: int
    instructions: tuple[Instruction, ...]
    measured: tuple[int, ...]

    @property
    def key(self) -> str:
        """A hash of the structure in its own canonical form."""
        text = repr((self.num_qubits, self.num_clbits, self.instructions))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def num_slots(self) -> int:
        """Number of angles."""
        return sum(angles for _, _, angles in self.instructions)

    def circuit(self, angles: Sequence[float | ParameterExpression]) -> QuantumCircuit:
        """The circuit with these angles in its slots, one register of qubits and one of measured bits."""
        flat = {clbit: bit for bit, clbit in enumerate(self.measured)}
        circuit = QuantumCircuit(self.num_qubits, len(self.measured))
        rest = iter(angles)
        for name, bits, count in self.instructions:
            if name == "measure":
                circuit.measure(bits[0], flat[bits[1]])
            elif name == "reset":
                circuit.reset(bits[0])
            else:
                gate = _GATES[name]
                params = [next(rest) for _ in range(count)]
                circuit.append(type(gate)(*params) if count else gate, bits)
        return circuit


@dataclass(frozen=True, slots=True, eq=False)
class AngleMap:
    """Angles as a function of parameters: `values @ matrix + constant`, and what is no affine function by itself.

    Called with parameter values (points, parameters), it returns (points, angles). `curved` has the place and the
    expression of each angle that is not affine.
    """

    parameters: tuple[Parameter, ...]
    matrix: NDArray[np.float64]
    constant: NDArray[np.float64]
    curved: tuple[tuple[int, ParameterExpression], ...]

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        angles: NDArray[np.float64] = values @ self.matrix + self.constant
        for i, expression in self.curved:
            used = [j for j, parameter in enumerate(self.parameters) if parameter in expression.parameters]
            for row, point in zip(angles, values, strict=True):
                row[i] = float(expression.bind({self.parameters[j]: point[j] for j in used}))
        return angles


@dataclass(frozen=True, slots=True)
class Lifted:
    """A circuit's structure, and its angles as a function of its parameters, in the order of `circuit.parameters`."""

    structure: Structure
    angles: AngleMap


class NotLiftable(Exception):
    """The circuit has something that is neither a gate, a measurement nor a reset: control flow, for instance."""


def lift(circuit: QuantumCircuit) -> Lifted:
    """Split a circuit into structure and angles; composite gates are unrolled first. Raises NotLiftable."""
    try:
        instructions, slots, measured = _read(circuit)
    except NotLiftable:
        instructions, slots, measured = _read(_unroll(circuit))
    structure = Structure(circuit.num_qubits, circuit.num_clbits, tuple(instructions), tuple(sorted(measured)))
    return Lifted(structure, angle_map(slots, tuple(circuit.parameters)))


def _unroll(circuit: QuantumCircuit) -> QuantumCircuit:
    # Level 0 translates without looking at the angles' values, so that a structure stays itself whatever is bound.
    return transpile(circuit, basis_gates=_UNROLLED, optimization_level=0)


def _read(circuit: QuantumCircuit) -> tuple[list[Instruction], list[float | ParameterExpression], set[int]]:
    place = {bit: i for i, bit in enumerate(circuit.qubits)} | {bit: i for i, bit in enumerate(circuit.clbits)}
    instructions: list[Instruction] = []
    slots: list[float | ParameterExpression] = []
    measured: set[int] = set()
    for item in circuit.data:
        operation, name = item.operation, item.operation.name
        qubits = tuple(place[qubit] for qubit in item.qubits)
        if name in _NOTHING:
            continue
        if name == "measure":
            clbit = place[item.clbits[0]]
            instructions.append((name, (*qubits, clbit), 0))
            measured.add(clbit)
        elif name == "reset":
            instructions.append((name, qubits, 0))
        elif _is_standard(operation):
            instructions.append((name, qubits, len(operation.params)))
            slots.extend(operation.params)
        else:
            raise NotLiftable(name)
    return instructions, slots, measured


def _is_standard(operation: Gate) -> bool:
    gate = _GATES.get(operation.name)
    if gate is None or operation.base_class is not gate.base_class or len(operation.params) != len(gate.params):
        return False
    return getattr(operation, "ctrl_state", None) == getattr(gate, "ctrl_state", None)


def angle_map(expressions: Sequence[float | ParameterExpression], parameters: tuple[Parameter, ...]) -> AngleMap:
    """The expressions as functions of the parameters."""
    column = {parameter: j for j, parameter in enumerate(parameters)}
    matrix = np.zeros((len(parameters), len(expressions)))
    constant = np.zeros(len(expressions))
    curved: list[tuple[int, ParameterExpression]] = []
    for i, expression in enumerate(expressions):
        if isinstance(expression, Parameter):
            matrix[column[expression], i] = 1.0
        elif not isinstance(expression, ParameterExpression):
            constant[i] = float(expression)
        elif not _add_affine(expression, i, column, matrix, constant):
            curved.append((i, expression))
    return AngleMap(parameters, matrix, constant, tuple(curved))


def _add_affine(
    expression: ParameterExpression,
    i: int,
    column: dict[Parameter, int],
    matrix: NDArray[np.float64],
    constant: NDArray[np.float64],
) -> bool:
    slopes = {parameter: expression.gradient(parameter) for parameter in expression.parameters}
    if any(isinstance(slope, ParameterExpression) and slope.parameters for slope in slopes.values()):
        return False
    for parameter, slope in slopes.items():
        matrix[column[parameter], i] = float(slope)
    constant[i] = float(expression.bind(dict.fromkeys(expression.parameters, 0.0)))
    return True
