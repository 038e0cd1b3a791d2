"""Problems that algorithms solve: molecules with their qubit mappings, Pauli sums, QUBO and Ising problems."""
