"""Qiskit's V2 primitives over a session."""
