"""Plans as circuits for Aer, and noise as Aer takes it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import IfElseOp
from qiskit.circuit.library import UnitaryGate
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

from hybridloop.emulator.gates import NO_LABELS, Gates
from hybridloop.emulator.methods import Plan
from hybridloop.emulator.noise import Noise
from hybridloop.emulator.program import MEASURE, RESET

# labels that gates carry, by which Aer finds their noise
NOISY = {1: "noisy-1", 2: "noisy-2"}


def aer_noise(noise: Noise) -> NoiseModel:
    """The noise after gates, under the labels, and of measurements."""
    model = NoiseModel()
    flip = noise.readout
    if flip:
        model.add_all_qubit_readout_error(ReadoutError([[1 - flip, flip], [flip, 1 - flip]]))
    for width, strength in ((1, noise.one_qubit), (2, noise.two_qubit)):
        if strength:
            model.add_all_qubit_quantum_error(depolarizing_error(strength, width), [NOISY[width]])
    return model


def gates_only(plan: Plan, gates: Gates, *, noisy: bool) -> tuple[QuantumCircuit, list[int]]:
    """The circuit without its measurements, and the measured qubits in the order of measurement."""
    circuit = QuantumCircuit(len(plan.qubits))
    measured = []
    for operation in plan.operations:
        where = [plan.qubits[qubit] for qubit in operation.qubits]
        if operation.name == MEASURE:
            measured += where
        else:
            gates.append(circuit, operation, where, NOISY if noisy else NO_LABELS)
            _noise_of_wide_gate(circuit, where, noisy=noisy)
    return circuit, measured


def with_measurements(plan: Plan, gates: Gates, num_results: int, *, noisy: bool) -> QuantumCircuit:
    """The whole circuit, measurements and resets where they are."""
    circuit = QuantumCircuit(len(plan.qubits), num_results)
    for operation in plan.operations:
        where = [plan.qubits[qubit] for qubit in operation.qubits]
        body = circuit if not operation.conditions else QuantumCircuit(circuit.qubits, circuit.clbits)
        if operation.name == MEASURE:
            body.measure(where[0], operation.result)
        elif operation.name == RESET:
            body.reset(where[0])
        else:
            gates.append(body, operation, where, NOISY if noisy else NO_LABELS)
            _noise_of_wide_gate(body, where, noisy=noisy)
        for left, (result, value) in reversed(list(enumerate(operation.conditions))):
            outer = QuantumCircuit(circuit.qubits, circuit.clbits) if left else circuit
            outer.append(IfElseOp((circuit.clbits[result], value), body, None), circuit.qubits, circuit.clbits)
            body = outer
    return circuit


def _noise_of_wide_gate(circuit: QuantumCircuit, where: list[int], *, noisy: bool) -> None:
    if noisy and len(where) > 2:
        for pair in pairwise(where):
            circuit.append(UnitaryGate(np.eye(4), label=NOISY[2]), list(pair))
