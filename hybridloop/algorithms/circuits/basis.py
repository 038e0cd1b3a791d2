"""Translation of circuits to the gates that every target takes, and circuits whose gates must be sent as they are."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache

from qiskit import QuantumCircuit
from qiskit.transpiler import PassManager, generate_preset_pass_manager
from qiskit.transpiler.passes import RemoveBarriers

# Gates that every target accepts as QIR. `rxx`, `ryy` and `rzz` are one native gate on ions instead of two `cx`.
BASIS = "h x y z s sdg t tdg rx ry rz cx cz swap rxx ryy rzz".split()
_KEPT = "gates"  # key of a circuit's metadata
_passes_lock = threading.Lock()  # passes keep the properties of the circuit that they translate


def to_basis(circuit: QuantumCircuit, gates: Sequence[str] = BASIS) -> QuantumCircuit:
    """Translate a circuit to the basis gates, with its parameters; barriers are removed: some providers reject them.

    A circuit that `keeps_gates` is in the basis already, and returned as it is.
    """
    if keeps_gates(circuit):
        return circuit
    with _passes_lock:
        translated: QuantumCircuit = _translation(tuple(gates)).run(RemoveBarriers()(circuit))
    return translated


@lru_cache(maxsize=8)
def _translation(gates: tuple[str, ...]) -> PassManager:
    """Return the passes of a translation; to make them takes longer than to translate a circuit of some 50 gates."""
    return generate_preset_pass_manager(optimization_level=1, basis_gates=[*gates], seed_transpiler=0)


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
