"""Languages: programs in Q#, Cirq, PennyLane, OpenQASM and QIR as Qiskit circuits, and lifted over their angles."""
