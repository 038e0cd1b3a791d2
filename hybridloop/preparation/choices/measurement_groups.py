"""The measurement groups of a run's Hamiltonian: as the settings name them, or chosen for the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.grouping import (
    GroupingChoice,
    MeasurementCosts,
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
from hybridloop.preparation.choices.measurement_costs import measurement_costs
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
) -> tuple[GroupingChoice, str | None]:
    """Group the problem's Hamiltonian for measurements after the ansatz. Raises InputError.

    The second value is the reason for a grouping that the settings left open. `recorded` has what was chosen when the
    run was started (`GroupingChoice.record`), if it was recorded.
    """
    costs = measurement_costs(target, ansatz.circuit, settings)
    if recorded:
        name, _, rotations = (*recorded[0].split(" "), "")[:3]
        groups = _groups(resolved, ansatz, settings, accuracy, costs, Grouping(name), rotations)
    else:
        groups = _groups(resolved, ansatz, settings, accuracy, costs)
    groups = replace(groups, least_shots=recorded_least_shots(recorded) or costs.least_shots)
    return groups, groups.text if settings.grouping is GroupingName.AUTO else None


def _groups(
    resolved: EnergyProblem,
    ansatz: Ansatz,
    settings: VqeSettings | AdaptSettings,
    accuracy: Accuracy,
    costs: MeasurementCosts,
    recorded: Grouping | None = None,
    rotations: str | None = None,
) -> GroupingChoice:
    molecule = resolved if isinstance(resolved, ElectronicProblem) else None
    reference = None if molecule is None else near_ground_state(molecule)
    given = partial(given_grouping, resolved.hamiltonian, problem=molecule, rotations=rotations)
    if settings.grouping is not GroupingName.AUTO:
        return given(Grouping(settings.grouping), reference, "the settings name it")
    chosen = choose_grouping(
        _pauli_groupings(resolved),
        ansatz,
        reference,
        costs,
        precision=accuracy.precision,
        problem=molecule,
        rotations=rotations,
    )
    if recorded is not None and (recorded, rotations) != (chosen.grouping, chosen.rotations):
        return given(recorded, reference, "the run was started with them")
    return chosen


def recorded_least_shots(recorded: Sequence[str]) -> int | None:
    """Return the least shots of a job that were recorded with a run's groups; None if none were."""
    return int(recorded[0].split(" ")[1]) if recorded else None


@lru_cache(maxsize=4)
def _pauli_groupings(resolved: EnergyProblem) -> tuple[Observable, Observable]:
    reference = near_ground_state(resolved) if isinstance(resolved, ElectronicProblem) else None
    return pauli_groupings(resolved.hamiltonian, reference)


@lru_cache(maxsize=4)
def near_ground_state(problem: ElectronicProblem) -> ReferenceState:
    """Return a state near the ground state: Hartree-Fock with its second-order perturbation."""
    return ReferenceState.perturbed(problem.hamiltonian, problem.reference_state)
