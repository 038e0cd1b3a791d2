"""Check of an own circuit before it is sampled: outcomes of other electrons choose no subspace."""

from __future__ import annotations

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.configurations import Samples
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.errors import InputError

MAX_QUBITS = 14  # of a simulation, in well under a second


def check_electrons(ansatz: Ansatz, problem: ElectronicProblem, shots: int) -> None:
    """Raise InputError if no shot is expected to have the problem's electrons, up to `MAX_QUBITS` qubits.

    Configuration recovery and the Hamiltonian would then choose a subspace without the circuit, and the job would be
    paid for nothing. Mostly the qubits are those of another encoding, or in another order.
    """
    weight = weight_of_electrons(ansatz.circuit.assign_parameters(ansatz.initial_point), problem)
    if weight is None or weight * shots >= 1.0:
        return
    alpha, beta = problem.molecule.electrons
    what = f"{weight:.1e} of the circuit's state has {alpha} alpha and {beta} beta electrons: none of {shots:,} shots"
    mapping = problem.encoding.mapping
    remedy = (
        f"Give a circuit for the mapping {mapping} with all alpha orbitals before the beta ones, qubit 0 first, or "
        "another mapping."
    )
    raise InputError("ansatz", what, remedy)


def weight_of_electrons(circuit: QuantumCircuit, problem: ElectronicProblem) -> float | None:
    """Return the probability of outcomes with the problem's electrons; None for a circuit too large to simulate."""
    number = circuit.num_qubits
    if number > MAX_QUBITS:
        return None
    probabilities = Statevector(circuit).probabilities()
    bits = (np.arange(2**number)[:, None] >> np.arange(number) & 1).astype(np.uint8)
    every = Samples(problem.encoding.occupations(bits), np.ones(2**number, np.int64), problem.molecule.electrons)
    return float(probabilities[every.is_valid].sum())
