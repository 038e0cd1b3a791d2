"""Parameterized circuits: UCCSD, hardware-efficient and custom ansatz, QAOA circuits, and the Newton start."""
