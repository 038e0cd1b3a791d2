"""Prepare energy levels: of a molecule a VQE and the determinants after it, of a Pauli sum all basis states."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.model_space import ModelSpace, basis_space, model_space
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.final import MIN_PILOT_SHOTS, FinalMeasurement
from hybridloop.algorithms.estimation.grouping import GroupingChoice
from hybridloop.algorithms.levels import MAX_LEVEL_ROUNDS, LevelsResult, SubspaceLevel, measure_levels
from hybridloop.algorithms.outcome import Outcome, RoundLog, measured_value
from hybridloop.algorithms.problems.determinants import count_determinants
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.exact import exact_levels, lowest_eigenvalues
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.algorithms.rounds import RunRound
from hybridloop.azure.targets import Target
from hybridloop.descriptions.levels import LevelsSettings
from hybridloop.errors import InputError
from hybridloop.preparation.measurement_groups import measurement_groups
from hybridloop.preparation.prepared import (
    Accuracy,
    OnRound,
    PlanFacts,
    PreparedAlgorithm,
    PreparedEnergy,
    ProblemFacts,
)
from hybridloop.preparation.problem import accuracy_of, facts_of, resolve_problem
from hybridloop.preparation.vqe import PreparedVqe, prepare_vqe, shares_angles
from hybridloop.settings import AnsatzName, ProblemText

ALL_DETERMINANTS = "none: the levels are those of all determinants at any angles"
SETTINGS_OF_SEARCH = (
    *("ansatz", "layers", "rotations", "entanglement", "initial_point"),
    *("search", "optimizer", "tolerance", "gradient_norm"),
)


@dataclass(frozen=True, slots=True)
class PreparedLevels(PreparedAlgorithm):
    """A run for a molecule's energy levels that lacks only a session.

    `unitary` is the VQE's circuit without shortening, so that it is the same on all determinants of the `space`. `seed`
    draws the bootstrap. `exact_levels` returns the lowest energies with the molecule's electrons; None where there are
    too many determinants.
    """

    facts: ProblemFacts
    vqe: PreparedVqe
    problem: ElectronicProblem
    unitary: Ansatz
    space: ModelSpace
    settings: LevelsSettings
    seed: int
    exact_levels: Callable[[], tuple[float, ...] | None]

    @property
    def groupings(self) -> tuple[str, ...]:
        """The grouping that was chosen, if the settings leave it open."""
        return self.vqe.groupings

    @property
    def origin_of_angles(self) -> str:
        """The origin of the VQE's angles."""
        return self.vqe.origin_of_angles

    def plan_facts(self, *, samples: bool) -> PlanFacts:
        """Return the facts of the VQE, with a pilot and a second round over all states for each level."""
        facts, states = self.vqe.plan_facts(samples=samples), self.space.states

        def after(shots: int) -> tuple[int, tuple[int, ...]]:
            return states, (MIN_PILOT_SHOTS, math.ceil(self.settings.levels * shots / states))

        return replace(facts, final=facts.final + MAX_LEVEL_ROUNDS, other=None, after=after)

    def measure(self, run_round: RunRound, on_progress: OnRound, /) -> Outcome:
        """Run the VQE, then measure the levels at its angles.

        Levels of all determinants are exact at any angles, so doubts about the VQE's search are none about them. Else
        the levels are as far from the exact ones as the VQE's circuit is from an eigenstate, and its claims hold.
        """
        ground = self.vqe.measure(run_round, on_progress)
        log = RoundLog(on_progress)
        log.history.extend(ground.history)
        found = measure_levels(
            self.problem,
            self.space,
            self.vqe.energy.observable,
            self.unitary,
            np.array(ground.parameters),
            run_round,
            levels=self.settings.levels,
            precision=self.vqe.accuracy.precision,
            seed=self.seed,
            log=log,
        )
        if self.space.is_complete:
            reason = f"all determinants: the levels do not depend on the angles of the VQE ({ground.reason})"
            ground = replace(ground, converged=True, is_requested=False, warnings=(), facts=(), reason=reason)
            left: tuple[float | None, str | None] = (0.0, ALL_DETERMINANTS)
        else:
            left = (ground.residue, None)
        return replace(
            ground,
            **measured_value(FinalMeasurement(found.ground, found.is_precise), *left),
            rounds=ground.rounds + found.rounds,
            history=tuple(log.history),
            table=_table(found, self.exact_levels(), list(self.problem.molecule.electrons)),
            choices=(*ground.choices, f"determinants: {self._determinants()}", f"vqe: {_energy(ground)}"),
        )

    def _determinants(self) -> str:
        electrons = "{} alpha and {} beta electrons".format(*self.problem.molecule.electrons)
        if self.space.is_complete:
            return f"all {self.space.size} with {electrons}"
        total = count_determinants(self.problem.molecule)
        return f"the {self.space.size} of at most two excitations, of {total:,} with {electrons}"


@dataclass(frozen=True, slots=True)
class PreparedBasisLevels(PreparedEnergy):
    """A run for a Pauli sum's energy levels that lacks only a session; it has no search.

    `unitary` has no angles, and is applied to the basis states of the `space`. `seed` draws the bootstrap.
    """

    facts: ProblemFacts
    problem: PauliProblem
    unitary: Ansatz
    space: ModelSpace
    accuracy: Accuracy
    energy: GroupingChoice
    settings: LevelsSettings
    seed: int
    exact_levels: Callable[[], tuple[float, ...] | None]

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
            self.unitary.initial_point,
            run_round,
            levels=self.settings.levels,
            precision=self.accuracy.precision,
            seed=self.seed,
            log=log,
        )
        return Outcome(
            **measured_value(FinalMeasurement(found.ground, found.is_precise), 0.0),
            parameters=(),
            converged=True,
            reason=f"all {self.space.size} basis states: the levels do not depend on a search",
            rounds=found.rounds,
            history=tuple(log.history),
            table=_table(found, self.exact_levels(), None),
            choices=tuple(
                filter(None, (self.accuracy.choice, f"groups: {self.energy.text}" if self.is_grouping_open else ""))
            ),
        )


def prepare_levels(
    problem: ProblemText,
    settings: LevelsSettings,
    seed: int,
    target: Target,
    groupings: Sequence[str] = (),
) -> PreparedLevels | PreparedBasisLevels:
    """Build a run for energy levels from its problem text. Raises InputError."""
    if settings.mitigation:
        raise InputError("mitigation", "levels are measured without error mitigation", "Leave it out.")
    resolved = resolve_problem(problem, settings, target)
    if isinstance(resolved, PauliProblem):
        return _prepare_basis_levels(resolved, settings, seed, target, groupings)
    space = model_space(resolved)
    _check_number(settings.levels, space, f"{resolved.molecule.source} has {space.size} determinants")
    vqe = prepare_vqe(problem, settings, seed, target, groupings)
    if not isinstance(settings.ansatz, AnsatzName) or vqe.ansatz.name != AnsatzName.UCCSD:
        what = "the levels need a circuit that conserves the electrons from any determinant"
        raise InputError("ansatz", what, "Leave it out: only uccsd does.")
    levels = cache(lambda: exact_levels(resolved.molecule, settings.levels))
    facts = replace(vqe.facts, exact=lambda: _lowest(levels()), note=lambda: None)
    unitary = uccsd(resolved, is_tied=shares_angles(resolved, vqe.ansatz), max_tracked_states=0)
    return PreparedLevels(facts, vqe, resolved, unitary, space, settings, seed, levels)


def _prepare_basis_levels(
    problem: PauliProblem, settings: LevelsSettings, seed: int, target: Target, groupings: Sequence[str]
) -> PreparedBasisLevels:
    """Build a run for a Pauli sum's levels. Raises InputError, also for settings of a search."""
    defaults = LevelsSettings()
    for field in SETTINGS_OF_SEARCH:
        if getattr(settings, field) != getattr(defaults, field):
            raise InputError(field, "levels of a Pauli sum take no search", "Leave it out.")
    space, unitary = basis_space(problem.hamiltonian)
    _check_number(settings.levels, space, f"{problem.source} has {space.size} basis states")
    accuracy = accuracy_of(problem, settings, None)
    energy = measurement_groups(problem, unitary, settings, accuracy, target, groupings)
    levels = cache(lambda: lowest_eigenvalues(problem.hamiltonian, settings.levels))
    facts = replace(facts_of(problem), exact=lambda: _lowest(levels()))
    return PreparedBasisLevels(facts, problem, unitary, space, accuracy, energy, settings, seed, levels)


def _check_number(levels: int, space: ModelSpace, has: str) -> None:
    if levels > space.size:
        raise InputError("levels", f"{has}, and so many levels", f"Give 1 to {space.size}.")


def _lowest(levels: tuple[float, ...] | None) -> float | None:
    return None if levels is None else levels[0]


def _table(
    found: LevelsResult, exact: tuple[float, ...] | None, electrons: list[int] | None
) -> tuple[dict[str, Any], ...]:
    rows = zip(found.levels, exact or (None,) * len(found.levels), strict=True)
    return tuple(_row(number, *row, electrons) for number, row in enumerate(rows))


def _row(number: int, level: SubspaceLevel, exact: float | None, electrons: list[int] | None) -> dict[str, Any]:
    return {
        "level": number,
        "energy": level.energy,
        "standard_error": level.standard_error,
        "rounding_bound": level.rounding_bound,
        "exact": exact,
        "noise_bias": level.noise_bias,
        "excitation": level.excitation,
        "excitation_error": level.excitation_error,
        "multiplicity": level.multiplicity,
        "spin_squared": level.spin_squared,
        "electrons": electrons,
        "symmetry": level.symmetry,
    }


def _energy(ground: Outcome) -> str:
    return f"its own final measurement gave {ground.value:.6f} ± {ground.standard_error:.6f} hartree"
