"""The measurement groups of a run's Hamiltonian: as the settings name them, or chosen for the target."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.grouping import (
    GroupingChoice,
    choose_grouping,
    given_grouping,
    pauli_groupings,
)
from hybridloop.algorithms.estimation.observable import Grouping, Observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.azure.targets import Target
from hybridloop.descriptions.adapt import AdaptSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.preparation.measurement_costs import measurement_costs
from hybridloop.preparation.prepared import Accuracy
from hybridloop.preparation.problem import EnergyProblem
from hybridloop.settings.energies import GroupingName


def measurement_groups(
    resolved: EnergyProblem,
    ansatz: Ansatz,
    settings: VqeSettings | AdaptSettings,
    accuracy: Accuracy,
    target: Target,
    recorded: Sequence[str] = (),
) -> GroupingChoice:
    """Group the problem's Hamiltonian for measurements after the ansatz. Raises InputError.

    `recorded` has the grouping that was chosen when the run was started, if it was recorded.
    """
    molecule = resolved if isinstance(resolved, ElectronicProblem) else None
    reference = None if molecule is None else near_ground_state(molecule)
    name, rotations = "", None
    if recorded:
        name, _, rotations = recorded[0].partition(" ")
    given = partial(given_grouping, resolved.hamiltonian, problem=molecule, rotations=rotations)
    if settings.grouping is not GroupingName.AUTO:
        return given(Grouping(settings.grouping), reference, "the settings name it")
    chosen = choose_grouping(
        _pauli_groupings(resolved),
        ansatz,
        reference,
        measurement_costs(target, ansatz.circuit, settings),
        shots=settings.circuit_shots,
        precision=accuracy.precision,
        problem=molecule,
        rotations=rotations,
    )
    if recorded and recorded[0] != chosen.record:
        return given(Grouping(name), reference, "the run was started with them")
    return chosen


@lru_cache(maxsize=4)
def _pauli_groupings(resolved: EnergyProblem) -> tuple[Observable, Observable]:
    reference = near_ground_state(resolved) if isinstance(resolved, ElectronicProblem) else None
    return pauli_groupings(resolved.hamiltonian, reference)


@lru_cache(maxsize=4)
def near_ground_state(problem: ElectronicProblem) -> ReferenceState:
    """Return a state near the ground state: Hartree-Fock with its second-order perturbation."""
    return ReferenceState.perturbed(problem.hamiltonian, problem.reference_state)
