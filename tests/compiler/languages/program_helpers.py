"""One asymmetric circuit in all languages: X on the first of three qubits, each measured into its own bit."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from qiskit import QuantumCircuit

OPENQASM_2 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[3];\ncreg c[3];\nx q[0];\nmeasure q -> c;\n'
OPENQASM_3 = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[3] q;\nbit[3] c;\nx q[0];\nc = measure q;\n'
QSHARP = "operation Main() : Result[] { use q = Qubit[3]; X(q[0]); MResetEachZ(q) }"
# a count, a comparison of it, a result and an array: nothing that a circuit could measure
COUNTING = """
operation Count() : (Int, Bool, Result, Result[]) {
    use q = Qubit[3];
    X(q[0]);
    X(q[1]);
    mutable ones = 0;
    for i in 0..2 { if M(q[i]) == One { set ones += 1; } }
    let first = M(q[0]);
    (ones - 5, ones == 2, first, MResetEachZ(q))
}
"""
COUNTED = (-3, True, 1, (1, 1, 0))


def qiskit_circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(3, 3)
    circuit.x(0)
    circuit.measure(range(3), range(3))
    return circuit


class Lazy:
    """A library that is imported when a test uses it: all workers of a test run collect all tests."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pytest, which looks for fixtures
            raise AttributeError(name)
        return getattr(import_module(self._name), name)


cirq, qml, sympy = Lazy("cirq"), Lazy("pennylane"), Lazy("sympy")


def cirq_circuit() -> Any:
    qubits = cirq.LineQubit.range(3)
    return cirq.Circuit(cirq.X(qubits[0]), cirq.measure(*qubits, key="c"))


def pennylane_node() -> Any:
    @qml.qnode(qml.device("default.qubit", wires=3))  # type: ignore[untyped-decorator]  # PennyLane has no types
    def flipped() -> Any:
        qml.X(0)
        return qml.counts()

    return flipped
