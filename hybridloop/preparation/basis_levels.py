"""Prepare energy levels of a Pauli sum: all basis states are measured, without a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.model_space import ModelSpace, basis_space
from hybridloop.algorithms.estimation.grouping import GroupingChoice
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.levels import MAX_LEVEL_ROUNDS, LevelsWanted, levels_table, measure_levels
from hybridloop.algorithms.outcome import Outcome, RoundLog, measured_value
from hybridloop.algorithms.problems.exact import lowest_eigenvalues
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.algorithms.rounds import RunRound
from hybridloop.descriptions.levels import LevelsSettings
from hybridloop.errors import InputError
from hybridloop.preparation.choices.measurement_groups import measurement_groups
from hybridloop.preparation.prepared import OnRound, PlanFacts, PreparedEnergy, ProblemFacts, chosen, sampling_of
from hybridloop.preparation.problem import accuracy_of, facts_of
from hybridloop.targets import Target

SETTINGS_OF_SEARCH = (
    *("ansatz", "layers", "rotations", "entanglement", "initial_point"),
    *("search", "optimizer", "tolerance", "gradient_norm", "observables", "observable_precision"),
)


@dataclass(frozen=True, slots=True)
class PreparedBasisLevels(PreparedEnergy):
    """A run for a Pauli sum's energy levels that lacks only a session; it has no search.

    `unitary` has no angles, and is applied to the basis states of the `space`.
    """

    facts: ProblemFacts
    problem: PauliProblem
    unitary: Ansatz
    space: ModelSpace
    sampling: Sampling
    energy: GroupingChoice
    wanted: LevelsWanted
    exact_levels: Callable[[], tuple[float, ...] | None]
    choices: Mapping[str, str] = field()

    def plan_facts(self, *, samples: bool) -> PlanFacts:
        """Return the limit of the levels; there is no search."""
        return self._plan_facts(0, MAX_LEVEL_ROUNDS, samples=samples)

    def measure(self, run_round: RunRound, on_progress: OnRound, /) -> Outcome:
        """Measure the levels, which are those of the whole operator."""
        log = RoundLog(on_progress)
        found = measure_levels(
            self.problem,
            self.space,
            self.energy.observable,
            self.unitary,
            run_round,
            self.wanted,
            log,
        )
        return Outcome(
            **measured_value(found.final, 0.0),
            parameters=(),
            converged=True,
            reason=f"all {self.space.size} basis states: the levels do not depend on a search",
            rounds=found.rounds,
            history=tuple(log.history),
            table=levels_table(found, self.exact_levels(), None),
        )


def prepare_basis_levels(
    problem: PauliProblem, settings: LevelsSettings, seed: int, target: Target, groupings: Sequence[str]
) -> PreparedBasisLevels:
    """Build a run for a Pauli sum's levels. Raises InputError, also for settings of a search."""
    defaults = LevelsSettings()
    for name in SETTINGS_OF_SEARCH:
        if getattr(settings, name) != getattr(defaults, name):
            raise InputError(name, "levels of a Pauli sum take no search", "Leave it out.")
    space, unitary = basis_space(problem.hamiltonian)
    check_number(settings.levels, space, f"{problem.source} has {space.size} basis states")
    accuracy, precision = accuracy_of(problem, settings, None)
    energy, groups = measurement_groups(problem, unitary, settings, accuracy, target, groupings)
    sampling = sampling_of(settings, target, energy, accuracy.precision)
    levels = cache(lambda: lowest_eigenvalues(problem.hamiltonian, settings.levels))
    facts = replace(facts_of(problem), exact=lambda: lowest_of_levels(levels()))
    return PreparedBasisLevels(
        facts,
        problem,
        unitary,
        space,
        sampling,
        energy,
        LevelsWanted(settings.levels, sampling, seed),
        levels,
        chosen(precision=precision, groups=groups),
    )


def check_number(levels: int, space: ModelSpace, has: str) -> None:
    if levels > space.size:
        raise InputError("levels", f"{has}, and so many levels", f"Give 1 to {space.size}.")


def lowest_of_levels(levels: tuple[float, ...] | None) -> float | None:
    return None if levels is None else levels[0]
