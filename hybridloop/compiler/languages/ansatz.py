"""Parametrized circuits from programs of other languages: lifted, or compiled a point at a time where that fails."""

from __future__ import annotations

import warnings
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from hybridloop.compiler.languages.lifting import NotLiftable, lift
from hybridloop.compiler.languages.qsharp_ansatz import QsharpAnsatz
from hybridloop.compiler.point_gate import PointGate, PointProgram
from hybridloop.compiler.programs import CompiledPerPoint
from hybridloop.errors import InputError


def lifted_circuit(program: Any, num_angles: int) -> QuantumCircuit:
    """Return a program as a circuit of gates alone whose parameters are its angles, in their order.

    A program that is no affine function of its angles becomes one gate, which is compiled at each point, with a
    warning (CompiledPerPoint).
    """
    name = str(program.key).rpartition("_")[0]
    try:
        return lift(program.circuits, num_angles, name)
    except NotLiftable as reason:
        text = f"{name} is compiled for each point, which takes up to a second: {reason}"
        warnings.warn(text, CompiledPerPoint, stacklevel=2)
    return point_circuit(program, num_angles)


def point_circuit(program: PointProgram, num_angles: int) -> QuantumCircuit:
    """Return a circuit whose one gate is compiled when its angles are bound."""
    circuit = QuantumCircuit(program.num_qubits, name=program.key.rpartition("_")[0])
    gate = PointGate(program, list(ParameterVector("angle", num_angles)))
    circuit.append(gate, range(program.num_qubits))
    return circuit


def qsharp_of(circuit: QuantumCircuit) -> QsharpAnsatz | None:
    """Return the Q# operation of a circuit that `point_circuit` made of one; None for any other circuit.

    Raises InputError for such a circuit of a Python function, which can't be stored.
    """
    gates = [item.operation for item in circuit.data if isinstance(item.operation, PointGate)]
    if not gates:
        return None
    if len(circuit.data) == 1 and isinstance(gates[0].program, QsharpAnsatz):
        return gates[0].program
    problem = "its gates change with the angles, and a run stores only Q# source of such a circuit"
    remedy = "Give gates whose angles are sums of multiples, write it in Q#, or run your own loop in hl.open_session()."
    raise InputError("ansatz", problem, remedy)
