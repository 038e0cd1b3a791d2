"""Problems that algorithms solve: molecules with their qubit mappings, and Pauli sums."""
