"""Expectation values from counts: grouping of Pauli terms, measured circuits, estimates, shot allocation."""
