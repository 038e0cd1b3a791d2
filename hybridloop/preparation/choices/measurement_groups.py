"""The measurement groups of a run's Hamiltonian: as the settings name them, or chosen for the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.grouping import (
    GroupingChoice,
    MeasurementCosts,
    RecordedGroups,
    choose_grouping,
    effort_of,
    given_grouping,
    pauli_groupings,
)
from hybridloop.algorithms.estimation.observable import Grouping, Observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.pairs import PairedElectrons
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.preparation.choices.measurement_costs import measurement_costs
from hybridloop.preparation.prepared import Accuracy
from hybridloop.preparation.problem import EnergyProblem
from hybridloop.runtime.leaves import leaf
from hybridloop.settings.energies import GroupingName
from hybridloop.targets import Target

if TYPE_CHECKING:
    from hybridloop.descriptions import adapt
else:
    adapt = leaf("hybridloop.descriptions.adapt")


def measurement_groups(
    resolved: EnergyProblem | PairedElectrons,
    ansatz: Ansatz,
    settings: VqeSettings | adapt.AdaptSettings,
    accuracy: Accuracy,
    target: Target,
    recorded: Sequence[str] = (),
) -> tuple[GroupingChoice, str | None]:
    """Group the problem's Hamiltonian for measurements after the ansatz. Raises InputError.

    The second value is the reason for a grouping that the settings left open. `recorded` has what was chosen when the
    run was started (`GroupingChoice.record`), if it was recorded.
    """
    costs = measurement_costs(target, ansatz.circuit, settings)
    read = RecordedGroups.read(recorded[0]) if recorded else None
    groups = _groups(resolved, ansatz, settings, accuracy, costs, read)
    least = costs.least_shots if read is None else read.least_shots
    effort = effort_of(groups, ansatz, costs, accuracy.precision)
    groups = replace(groups, least_shots=least, effort=effort)
    return groups, groups.text if settings.grouping is GroupingName.AUTO else None


def _groups(
    resolved: EnergyProblem | PairedElectrons,
    ansatz: Ansatz,
    settings: VqeSettings | adapt.AdaptSettings,
    accuracy: Accuracy,
    costs: MeasurementCosts,
    recorded: RecordedGroups | None = None,
) -> GroupingChoice:
    molecule = None if isinstance(resolved, PauliProblem) else resolved
    rotations = None if recorded is None else recorded.rotations
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
    if recorded is not None and (recorded.grouping, rotations) != (chosen.grouping, chosen.rotations):
        return given(recorded.grouping, reference, "the run was started with them")
    return chosen


def recorded_least_shots(recorded: Sequence[str]) -> int | None:
    """Return the least shots of a job that were recorded with a run's groups; None if none were."""
    return RecordedGroups.read(recorded[0]).least_shots if recorded else None


@lru_cache(maxsize=4)
def _pauli_groupings(resolved: EnergyProblem | PairedElectrons) -> tuple[Observable, Observable]:
    reference = None if isinstance(resolved, PauliProblem) else near_ground_state(resolved)
    return pauli_groupings(resolved.hamiltonian, reference)


@lru_cache(maxsize=4)
def near_ground_state(problem: ElectronicProblem | PairedElectrons) -> ReferenceState:
    """Return a state near the ground state: Hartree-Fock with its second-order perturbation."""
    return ReferenceState.perturbed(problem.hamiltonian, problem.reference_state)
