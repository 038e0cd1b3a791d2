"""Readers for problem files: FCIDUMP, QCSchema, Pauli sums, graphs, QUBO and other binary problems in JSON."""
