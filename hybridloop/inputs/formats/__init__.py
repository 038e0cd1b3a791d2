"""Readers for problem files: FCIDUMP, Pauli sums, graphs, QUBO and other binary problems in JSON."""
