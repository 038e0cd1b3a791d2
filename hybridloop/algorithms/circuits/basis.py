"""Translation of circuits to the gates that every target takes, and circuits whose gates must be sent as they are."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, ControlFlowOp, Qubit
from qiskit.transpiler import PassManager, generate_preset_pass_manager
from qiskit.transpiler.passes import RemoveBarriers

from hybridloop.algorithms.circuits.gate_names import BASIS, CNOT_BASIS, TWO_QUBIT_ROTATIONS

_KEPT = "gates"  # key of a circuit's metadata
_passes_lock = threading.Lock()  # passes keep the properties of the circuit that they translate


def to_basis(circuit: QuantumCircuit, gates: Sequence[str] = BASIS) -> QuantumCircuit:
    """Translate a circuit to the basis gates, with its parameters; barriers are removed: some providers reject them.

    A circuit that `keeps_gates` is in the basis already, and returned as it is.
    """
    if keeps_gates(circuit):
        return circuit
    if gates == CNOT_BASIS:
        circuit = without_two_qubit_rotations(circuit)
    with _passes_lock:
        translated: QuantumCircuit = _translation(tuple(gates)).run(RemoveBarriers()(circuit))
    return translated


@lru_cache(maxsize=8)
def _translation(gates: tuple[str, ...]) -> PassManager:
    """Return the passes of a translation; to make them takes longer than to translate a circuit of some 50 gates."""
    return generate_preset_pass_manager(optimization_level=1, basis_gates=[*gates], seed_transpiler=0)


def without_two_qubit_rotations(circuit: QuantumCircuit) -> QuantumCircuit:
    """Write rxx, ryy and rzz with two CNOTs each, and an rxx next to a ryy on the same qubits with two for both."""
    steps: list[list[CircuitInstruction]] = []  # of one gate, or of an rxx and a ryy
    last: dict[object, int] = {}  # the last step of each bit
    for item in circuit.data:
        bits = (*item.qubits, *item.clbits)
        before = {last.get(bit) for bit in bits}
        joined = before.pop() if len(before) == 1 else None
        if joined is not None and _are_partners(steps[joined], item):
            steps[joined].append(item)
        else:
            last |= dict.fromkeys(bits, len(steps))
            steps.append([item])
    written = circuit.copy_empty_like()
    for step in steps:
        if step[0].name in TWO_QUBIT_ROTATIONS:
            _append_with_cnots(written, {item.name: item.params[0] for item in step}, step[0].qubits)
        else:
            written.append(step[0])
    return written


def _are_partners(step: Sequence[CircuitInstruction], item: CircuitInstruction) -> bool:
    names = {each.name for each in (*step, item)}
    return len(step) == 1 and names == {"rxx", "ryy"} and set(step[0].qubits) == set(item.qubits)


def _append_with_cnots(circuit: QuantumCircuit, angles: Mapping[str, Any], qubits: Sequence[Qubit]) -> None:
    """Append rotations on two qubits: CNOTs make XX of X on the first one, and ZZ of Z on the second."""
    first, second = qubits
    turned = qubits if "ryy" in angles else ()  # by a quarter about X, which makes YY of ZZ
    for qubit in turned:
        circuit.rx(-math.pi / 2, qubit)
    circuit.cx(first, second)
    for name, angle in angles.items():
        if name == "rxx":
            circuit.rx(angle, first)
        else:
            circuit.rz(angle, second)
    circuit.cx(first, second)
    for qubit in turned:
        circuit.rx(math.pi / 2, qubit)


def keep_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Mark a circuit in the basis gates, whose gates no compiler may remove or merge, and return it."""
    circuit.metadata = {**(circuit.metadata or {}), _KEPT: "kept"}
    return circuit


def keeps_gates(circuit: QuantumCircuit) -> bool:
    """Return whether a circuit is marked so."""
    return (circuit.metadata or {}).get(_KEPT) == "kept"


def two_qubit_gates(circuit: QuantumCircuit) -> int:
    """Return the number of gates on two qubits."""
    return sum(len(item.qubits) == 2 and not item.clbits for item in circuit.data)


def without_idle_bits(circuit: QuantumCircuit) -> QuantumCircuit | None:
    """Return a circuit without classical bits, which it may declare; None if it measures or branches on them."""
    if not circuit.num_clbits:
        return circuit
    if circuit.num_vars or any(item.clbits or isinstance(item.operation, ControlFlowOp) for item in circuit.data):
        return None
    bare = QuantumCircuit(circuit.qubits, *circuit.qregs, name=circuit.name, global_phase=circuit.global_phase)
    for item in circuit.data:
        bare.append(item.operation, item.qubits)
    bare.metadata = circuit.metadata
    return bare
