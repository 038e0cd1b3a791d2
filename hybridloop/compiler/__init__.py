"""Compilation of Qiskit circuits to QIR programs for the targets."""
