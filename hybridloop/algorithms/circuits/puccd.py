"""Ansatz pUCCD: unitary pair coupled cluster doubles, Givens rotations of electron pairs, one qubit an orbital.

T. Stein, T. M. Henderson and G. E. Scuseria, J. Chem. Phys. 140 (2014) 214113; V. E. Elfving et al., Phys. Rev. A 103
(2021) 032605, with the gates.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from hybridloop.algorithms.circuits.ansatz import Ansatz, Frequencies
from hybridloop.algorithms.circuits.pair_rotation import givens_gates
from hybridloop.algorithms.circuits.uccsd import cancel_inverses
from hybridloop.algorithms.problems.electronic import set_bits
from hybridloop.algorithms.problems.pairs import PairedElectrons
from hybridloop.errors import InputError

MAX_TRACKED_STATES = 4096  # states that a circuit can reach: more are not tracked, and no rotation is shortened

PairExcitation = tuple[int, int]  # qubits that a pair leaves and enters


def pair_excitations(problem: PairedElectrons) -> tuple[PairExcitation, ...]:
    """Return all excitations of a pair from the reference that an exchange integral couples to it.

    Those of the highest filled orbital come first, each to the lowest empty one first.
    """
    filled, empty = range(problem.pairs), range(problem.pairs, problem.num_qubits)
    every = itertools.product(reversed(filled), empty)
    return tuple((p, q) for p, q in every if abs(problem.exchange[p, q]) > 1e-9)


def puccd(problem: PairedElectrons, selected: Sequence[PairExcitation]) -> Ansatz:
    """Build exp(θ_k (b†_q b_p − b†_p b_q)) for each excitation, in order, after the reference.

    All angles zero are the reference. A rotation takes two gates on two qubits, and one where every state that the
    circuit can have reached has exactly one pair in its two orbitals. Raises InputError without an excitation.
    """
    if not selected:
        what = f"{problem.molecule.source} has no pair of electrons that an integral moves to another orbital"
        raise InputError("ansatz", what, "Check NELEC, MS2 and NORB, or choose the hardware-efficient ansatz.")
    circuit = QuantumCircuit(problem.num_qubits, name="puccd")
    for qubit in set_bits(problem.reference_state):
        circuit.x(qubit)
    parameters, frequencies = ParameterVector("θ", len(selected)), list[Frequencies]()
    reachable: set[int] | None = {problem.reference_state}
    for parameter, (p, q) in zip(parameters, selected, strict=True):
        moves_always = reachable is not None and all((state >> p ^ state >> q) & 1 for state in reachable)
        frequencies.append((2,) if moves_always else (1, 2))
        for name, qubits, factor in givens_gates(p, q, is_one_pair=moves_always):
            getattr(circuit, name)(*((factor * parameter,) if factor else ()), *qubits)
        if reachable is not None:
            moved = {state ^ 1 << p ^ 1 << q for state in reachable if (state >> p ^ state >> q) & 1}
            reachable = reachable | moved if len(reachable | moved) <= MAX_TRACKED_STATES else None
    return Ansatz(
        "puccd",
        cancel_inverses(circuit),
        np.zeros(len(selected)),
        tuple(frequencies),
        conserves_electrons=True,
        conserves_spin=True,
    )
