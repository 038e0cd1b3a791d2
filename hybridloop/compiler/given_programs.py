"""Programs in QIR that a user gave: how a circuit of one, and a stored one, are told from others."""

from __future__ import annotations

from qiskit import QuantumCircuit

INSTRUCTION = "qir"  # the name of a program as an instruction of a circuit
KEY = "payload:qir-"  # prefix of a stored program's key


def may_be_program(circuit: QuantumCircuit) -> bool:
    """Return whether a circuit's only instruction has the name of a program."""
    return len(circuit.data) == 1 and circuit.data[0].operation.name == INSTRUCTION


def is_qir_program(key: str) -> bool:
    """Return whether a stored program is QIR as a user gave it."""
    return key.startswith(KEY)
