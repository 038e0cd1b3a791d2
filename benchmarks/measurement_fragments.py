"""Fragments of a Hamiltonian: parts that one circuit measures, as each way of measuring an energy makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit


@dataclass(frozen=True, slots=True, eq=False)
class Fragment:
    """A part of a Hamiltonian: a change of basis in `cx` and one-qubit gates, after which outcomes have energies.

    `energies` maps outcomes (k,), as integers in Qiskit's order, to energies (k,) in hartree. The fragments of a way,
    with its constant, sum to the Hamiltonian.
    """

    basis_change: QuantumCircuit
    energies: Callable[[NDArray[np.int64]], NDArray[np.float64]]

    @property
    def two_qubit_gates(self) -> int:
        return int(self.basis_change.num_nonlocal_gates())
