"""Optimization of programs as a provider's compiler does: adjacent gates are merged, inverse ones cancel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qiskit import QuantumCircuit, transpile

from hybridloop.emulator.formats.gates import append_gate
from hybridloop.emulator.model.program import Instruction, Program, has_only_final_measurements

_GATES = ["rx", "ry", "rz", "cx"]


def optimize(program: Program) -> Program:
    """Return the program with fewer gates and the same outcomes; one with branches or resets is returned as it is."""
    if not has_only_final_measurements(program.instructions):
        return program
    gates = [each for each in program.instructions if each.result is None]
    circuit = QuantumCircuit(program.declared_qubits)
    for gate in gates:
        append_gate(circuit, gate, gate.qubits)
    compiled = transpile(circuit, basis_gates=_GATES, optimization_level=3, seed_transpiler=0)
    kept = [
        Instruction(item.operation.name, tuple(compiled.find_bit(q).index for q in item.qubits), _angles(item))
        for item in compiled.data
    ]
    return replace(program, instructions=(*kept, *(each for each in program.instructions if each.result is not None)))


def _angles(item: Any) -> tuple[float, ...]:
    return tuple(float(angle) for angle in item.operation.params)
