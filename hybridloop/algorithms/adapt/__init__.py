"""ADAPT-VQE: growth of the circuit, selection of operators, and their pool."""
