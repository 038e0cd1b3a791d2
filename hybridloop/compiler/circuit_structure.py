"""Circuit structure: a circuit parted into its gates, compiled once, and its angles, which change in every iteration.

Every rotation angle is a slot of the structure, bound or not: algorithms of other libraries often bind the parameters
before they run a circuit, and must not cause a compilation per point. `basis_structure.py` merges those that no
parameter changes.
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

from hybridloop.algorithms.circuits.basis import keep_gates, keeps_gates
from hybridloop.compiler.point_gate import has_unbound_program

_SKIPPED = frozenset({"barrier", "delay"})  # order or time only; QIR has no instruction for them
_GATES = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if isinstance(gate, Gate) and name != "global_phase"
}
_BASIS_GATES = sorted(_GATES)

KEPT = "kept-"  # prefix of the key of a structure that keeps its gates

Instruction = tuple[str, tuple[int, ...], int]
"""A gate, measurement or reset: name, qubits (followed by the classical bit of a measurement), number of angles."""


@dataclass(frozen=True, slots=True)
class CircuitStructure:
    """A circuit without angles and names; its measurements write to one flat register, ordered by classical bit.

    `measured[j]` is the circuit's classical bit of bit j of the flat register. With `keeps_gates` no compiler may
    remove or merge gates.
    """

    num_qubits: int
    num_clbits: int
    instructions: tuple[Instruction, ...]
    measured: tuple[int, ...]
    keeps_gates: bool = False

    @property
    def key(self) -> str:
        """Hash of the structure."""
        text = repr((self.num_qubits, self.num_clbits, self.instructions))
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return KEPT + digest if self.keeps_gates else digest

    @property
    def num_angles(self) -> int:
        """Number of angles, the slots of the structure."""
        return sum(angles for _, _, angles in self.instructions)

    def circuit(self, angles: Sequence[float | ParameterExpression]) -> QuantumCircuit:
        """Build the circuit with these angles; it has one quantum register and one register of measured bits."""
        flat = {clbit: bit for bit, clbit in enumerate(self.measured)}
        circuit = QuantumCircuit(self.num_qubits, len(self.measured))
        rest = iter(angles)
        for name, bits, count in self.instructions:
            if name == "measure":
                circuit.measure(bits[0], flat[bits[1]])
            elif name == "reset":
                circuit.reset(bits[0])
            else:
                circuit.append(gate_of(name, [next(rest) for _ in range(count)]), bits)
        return keep_gates(circuit) if self.keeps_gates else circuit


def gate_of(name: str, angles: Sequence[float | ParameterExpression]) -> Gate:
    """Return a standard gate of a structure."""
    gate = _GATES[name]
    return type(gate)(*angles) if angles else gate


@dataclass(frozen=True, slots=True, eq=False)
class AngleMap:
    """Angles as a function of the parameters: `values @ matrix + constant`, except for those in `nonaffine`.

    Called with parameter values of shape (points, parameters), it returns angles of shape (points, angles), in radians.
    `nonaffine` has the index and the expression of each angle that is no affine function of the parameters.
    """

    parameters: tuple[Parameter, ...]
    matrix: NDArray[np.float64]
    constant: NDArray[np.float64]
    nonaffine: tuple[tuple[int, ParameterExpression], ...]

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        angles: NDArray[np.float64] = values @ self.matrix + self.constant
        for i, expression in self.nonaffine:
            used = [j for j, parameter in enumerate(self.parameters) if parameter in expression.parameters]
            for row, point in zip(angles, values, strict=True):
                row[i] = float(expression.bind({self.parameters[j]: point[j] for j in used}))
        return angles


class UnsupportedInstruction(Exception):
    """The circuit has an instruction that is no gate, measurement or reset, for example control flow."""


def extract_structure(circuit: QuantumCircuit) -> tuple[CircuitStructure, AngleMap]:
    """Return a circuit's structure, and its angles as a function of its parameters, in their order in the circuit.

    Composite gates are unrolled. Raises UnsupportedInstruction.
    """
    if has_unbound_program(circuit):
        raise UnsupportedInstruction("gates that are known at values of its angles only")
    try:
        instructions, slots, measured = _read_instructions(circuit)
    except UnsupportedInstruction:
        # level 0 ignores the values of the angles, so that the structure is the same for all values
        unrolled = transpile(circuit, basis_gates=_BASIS_GATES, optimization_level=0)
        instructions, slots, measured = _read_instructions(unrolled)
    structure = CircuitStructure(
        circuit.num_qubits,
        circuit.num_clbits,
        tuple(instructions),
        tuple(sorted(measured)),
        keeps_gates(circuit),
    )
    return structure, angle_map(slots, tuple(circuit.parameters))


def _read_instructions(
    circuit: QuantumCircuit,
) -> tuple[list[Instruction], list[float | ParameterExpression], set[int]]:
    """Return the instructions, their angles in order, and the classical bits that are measured."""
    index = {bit: i for i, bit in enumerate(circuit.qubits)} | {bit: i for i, bit in enumerate(circuit.clbits)}
    instructions: list[Instruction] = []
    slots: list[float | ParameterExpression] = []
    measured: set[int] = set()
    for item in circuit.data:
        name = item.name
        qubits = tuple(index[qubit] for qubit in item.qubits)
        if name in _SKIPPED:
            continue
        if name == "measure":
            clbit = index[item.clbits[0]]
            instructions.append((name, (*qubits, clbit), 0))
            measured.add(clbit)
        elif name == "reset":
            instructions.append((name, qubits, 0))
        elif (item.is_standard_gate() and name in _GATES) or _is_standard(item.operation):
            angles = item.params  # without the operation, an object that Qiskit makes when it is asked for
            instructions.append((name, qubits, len(angles)))
            slots.extend(angles)
        else:
            raise UnsupportedInstruction(name)
    return instructions, slots, measured


def _is_standard(operation: Gate) -> bool:
    gate = _GATES.get(operation.name)
    if gate is None or operation.base_class is not gate.base_class or len(operation.params) != len(gate.params):
        return False
    return getattr(operation, "ctrl_state", None) == getattr(gate, "ctrl_state", None)


def angle_map(expressions: Sequence[float | ParameterExpression], parameters: tuple[Parameter, ...]) -> AngleMap:
    """Return the expressions as a function of the parameters."""
    column = {parameter: j for j, parameter in enumerate(parameters)}
    matrix = np.zeros((len(parameters), len(expressions)))
    constant = np.zeros(len(expressions))
    nonaffine: list[tuple[int, ParameterExpression]] = []
    for i, expression in enumerate(expressions):
        if isinstance(expression, Parameter):
            matrix[column[expression], i] = 1.0
        elif not isinstance(expression, ParameterExpression):
            constant[i] = float(expression)
        elif not _add_affine(expression, i, column, matrix, constant):
            nonaffine.append((i, expression))
    return AngleMap(parameters, matrix, constant, tuple(nonaffine))


def _add_affine(
    expression: ParameterExpression,
    i: int,
    column: dict[Parameter, int],
    matrix: NDArray[np.float64],
    constant: NDArray[np.float64],
) -> bool:
    """Enter the expression as column i of matrix and constant; return False if it is not affine."""
    slopes = {parameter: expression.gradient(parameter) for parameter in expression.parameters}
    if any(isinstance(slope, ParameterExpression) and slope.parameters for slope in slopes.values()):
        return False
    for parameter, slope in slopes.items():
        matrix[column[parameter], i] = float(slope)
    constant[i] = float(expression.bind(dict.fromkeys(expression.parameters, 0.0)))
    return True
