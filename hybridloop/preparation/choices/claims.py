"""Claims of a VQE: the tolerances within which its state is called the ground state, and its simulation."""

from __future__ import annotations

from functools import partial

from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit
from hybridloop.algorithms.circuits.uccsd import mirrored_angles, symmetry_allowed_excitations
from hybridloop.algorithms.facts import GROUND_TOLERANCE, ground_tolerance
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.algorithms.vqe.claims import StateClaims
from hybridloop.algorithms.vqe.simulated_energy import TESTED_PRECISIONS, SimulatedEnergy
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.preparation.prepared import Accuracy, ProblemFacts
from hybridloop.preparation.problem import EnergyProblem
from hybridloop.settings import AnsatzName


def claims_of(
    problem: EnergyProblem,
    facts: ProblemFacts,
    ansatz: Ansatz,
    hamiltonian: SparsePauliOp,
    accuracy: Accuracy,
    settings: VqeSettings,
    *,
    simulation: SimulatedCircuit | None = None,
    has_noise: bool,
) -> StateClaims:
    """Return what a VQE claims on a target, with or without noise.

    `hamiltonian` is what is measured, `simulation` that of a grown circuit.
    """
    tested = settings.tolerance
    if tested is None:  # a test to less than some precisions would take most of a run's shots
        tested = max(accuracy.tolerance or CHEMICAL_ACCURACY, TESTED_PRECISIONS * accuracy.precision)
    test = partial(SimulatedEnergy, tolerance=tested, unit=facts.unit, has_noise=has_noise)
    return StateClaims(
        simulated=None if ansatz.model is None else test(ansatz.model.energy(ansatz.initial_point)),
        problem=problem,
        ansatz=ansatz,
        hamiltonian=hamiltonian,
        simulation=_simulation(problem, ansatz) if ansatz.name == AnsatzName.UCCSD else simulation,
        exact=facts.exact,
        tolerance=claim_tolerance(problem, accuracy),
        precision=accuracy.precision,
        test=test,
        has_layers=isinstance(settings.ansatz, AnsatzName),
    )


def claim_tolerance(problem: EnergyProblem, accuracy: Accuracy) -> float:
    """Return the largest energy above the exact lowest one at which a state is claimed."""
    if not isinstance(problem, ElectronicProblem):
        return accuracy.tolerance or ground_tolerance(accuracy.precision)
    return ground_tolerance(accuracy.precision, max(GROUND_TOLERANCE, 0.5 * (accuracy.tolerance or 0.0)))


def _simulation(problem: EnergyProblem, ansatz: Ansatz) -> SimulatedCircuit | None:
    """Return the simulation of a UCCSD circuit; None for a Pauli sum, and where it is too large."""
    if isinstance(ansatz.model, SimulatedCircuit):
        return ansatz.model
    if not isinstance(problem, ElectronicProblem):
        return None
    selected = symmetry_allowed_excitations(problem)
    angles = mirrored_angles(problem, selected) if shares_angles(problem, ansatz) else range(len(selected))
    return SimulatedCircuit.of(problem, selected, angles)


def shares_angles(problem: ElectronicProblem, ansatz: Ansatz) -> bool:
    """Return whether mirrored excitations share angles in a UCCSD ansatz of the problem."""
    return ansatz.num_parameters < len(symmetry_allowed_excitations(problem))
