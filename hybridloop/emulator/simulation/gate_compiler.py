"""Optimization of programs as a provider's compiler does: adjacent gates are merged, inverse ones cancel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qiskit import QuantumCircuit, transpile

from hybridloop.emulator.formats.gates import append_gate
from hybridloop.emulator.model.billing import count_usage
from hybridloop.emulator.model.program import Instruction, Program, has_only_final_measurements

_GATES = ["rx", "ry", "rz", "cx"]


_TWO_QUBIT_WEIGHT = 10  # of a gate on two qubits against one on one, as in Quantinuum's bill


def optimize(program: Program, level: int) -> Program:
    """Return the program with fewer gates and the same outcomes, by Qiskit's optimization of this level, 1 to 3.

    A program with branches or resets is returned as it is, and so is one for which nothing is gained.
    """
    if level == 0 or not has_only_final_measurements(program.instructions):
        return program
    gates = [each for each in program.instructions if each.result is None]
    circuit = QuantumCircuit(program.declared_qubits)
    for gate in gates:
        append_gate(circuit, gate, gate.qubits)
    compiled = transpile(circuit, basis_gates=_GATES, optimization_level=level, seed_transpiler=0)
    kept = [
        Instruction(item.operation.name, tuple(compiled.find_bit(q).index for q in item.qubits), _angles(item))
        for item in compiled.data
    ]
    measurements = [each for each in program.instructions if each.result is not None]
    optimized = replace(program, instructions=(*kept, *measurements))
    return optimized if _weight(optimized) < _weight(program) else program


def _weight(program: Program) -> int:
    usage = count_usage(program, 1)
    return usage.one_qubit + _TWO_QUBIT_WEIGHT * usage.two_qubit


def _angles(item: Any) -> tuple[float, ...]:
    return tuple(float(angle) for angle in item.operation.params)
