"""Prepare energy levels: of a molecule a VQE and the determinants after it, of a Pauli sum all basis states."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.model_space import ModelSpace, model_space
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.final import MIN_PILOT_SHOTS
from hybridloop.algorithms.levels import MAX_LEVEL_ROUNDS, LevelsWanted, levels_table, measure_levels
from hybridloop.algorithms.outcome import Outcome, RoundLog, measured_value
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.exact import exact_levels
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.algorithms.rounds import RunRound
from hybridloop.descriptions.levels import LevelsSettings
from hybridloop.errors import InputError
from hybridloop.preparation.basis_levels import (
    PreparedBasisLevels,
    check_number,
    lowest_of_levels,
    prepare_basis_levels,
)
from hybridloop.preparation.choices.claims import shares_angles
from hybridloop.preparation.choices.orbitals import shots_of_levels
from hybridloop.preparation.prepared import (
    OnRound,
    PlanFacts,
    PreparedAlgorithm,
    ProblemFacts,
)
from hybridloop.preparation.problem import resolve_problem
from hybridloop.preparation.vqe import PreparedVqe, prepare_vqe
from hybridloop.settings import NOTHING, AnsatzName, OrbitalsName, ProblemText, Recorded, StartName
from hybridloop.targets import Target

MOST_OF_SHOTS = 0.5  # in natural orbitals, of those in the given ones: the estimate leaves out the groups
ALL_DETERMINANTS = "none: the levels are those of all determinants at any angles"


@dataclass(frozen=True, slots=True)
class PreparedLevels(PreparedAlgorithm):
    """A run for a molecule's energy levels that lacks only a session.

    `unitary` is the VQE's circuit without shortening, so that it is the same on all determinants of the `space`.
    `exact_levels` returns the lowest energies with the molecule's electrons; None where there are
    too many determinants.
    """

    facts: ProblemFacts
    vqe: PreparedVqe
    problem: ElectronicProblem
    unitary: Ansatz
    space: ModelSpace
    wanted: LevelsWanted
    exact_levels: Callable[[], tuple[float, ...] | None]

    @property
    def groupings(self) -> tuple[str, ...]:
        """The grouping that was chosen, if the settings leave it open."""
        return self.vqe.groupings

    @property
    def choices(self) -> Mapping[str, str]:
        """The choices of the VQE."""
        return self.vqe.choices

    def plan_facts(self, *, samples: bool) -> PlanFacts:
        """Return the facts of the VQE, with a pilot and a second round over all states for each level."""
        facts, states = self.vqe.plan_facts(samples=samples), self.space.states

        def after(shots: int) -> tuple[int, tuple[int, ...]]:
            return states, (MIN_PILOT_SHOTS, math.ceil(self.wanted.number * shots / states))

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
            replace(self.unitary, initial_point=np.array(ground.parameters)),
            run_round,
            self.wanted,
            log,
        )
        if self.space.is_complete:
            reason = f"all determinants: the levels do not depend on the angles of the VQE ({ground.reason})"
            ground = replace(ground, converged=True, is_requested=False, warnings=(), facts=(), reason=reason)
            left: tuple[float | None, str | None] = (0.0, ALL_DETERMINANTS)
        else:
            left = (ground.residue, None)
        return replace(
            ground,
            **measured_value(found.final, *left),
            rounds=ground.rounds + found.rounds,
            history=tuple(log.history),
            table=levels_table(found, self.exact_levels(), list(self.problem.molecule.electrons)),
            choices=(f"determinants: {self._determinants()}", f"vqe: {_energy(ground)}"),
        )

    def _determinants(self) -> str:
        electrons = "{} alpha and {} beta electrons".format(*self.problem.molecule.electrons)
        if self.space.is_complete:
            return f"all {self.space.size} with {electrons}"
        return f"the {self.space.size} of at most two excitations, of {self.space.total:,} with {electrons}"


def prepare_levels(
    problem: ProblemText,
    settings: LevelsSettings,
    seed: int,
    target: Target,
    recorded: Recorded = NOTHING,
) -> PreparedLevels | PreparedBasisLevels:
    """Build a run for energy levels from its problem text. Raises InputError."""
    if settings.mitigation:
        raise InputError("mitigation", "levels are measured without error mitigation", "Leave it out.")
    resolved = resolve_problem(problem, settings, target)
    if isinstance(resolved, PauliProblem):
        return prepare_basis_levels(resolved, settings, seed, target, recorded.groupings)
    size = model_space(resolved)
    check_number(settings.levels, size, f"{resolved.molecule.source} has {size.size} determinants")
    if settings.ansatz is AnsatzName.AUTO:
        settings = settings.model_copy(update={"ansatz": AnsatzName.UCCSD})
    is_open = settings.orbitals is OrbitalsName.AUTO and settings.initial_point is StartName.AUTO
    shots = shots_of_levels(resolved, settings.levels) if is_open else 1.0
    if shots <= MOST_OF_SHOTS:
        settings = settings.model_copy(update={"orbitals": OrbitalsName.NATURAL})
    vqe = prepare_vqe(problem, settings, seed, target, recorded)
    assert isinstance(vqe, PreparedVqe)  # a circuit is named
    if shots <= MOST_OF_SHOTS:
        why = f"{vqe.choices['orbitals']}, as the levels take an estimated {shots:.1g} of the shots there"
        vqe = replace(vqe, choices={**vqe.choices, "orbitals": why})
    if not isinstance(settings.ansatz, AnsatzName) or vqe.ansatz.name != AnsatzName.UCCSD:
        what = "the levels need a circuit that conserves the electrons from any determinant"
        raise InputError("ansatz", what, "Leave it out: only uccsd does.")
    levels = cache(lambda: exact_levels(resolved.molecule, settings.levels))
    facts = replace(vqe.facts, exact=lambda: lowest_of_levels(levels()), note=lambda: None)
    rotated = vqe.problem  # in the orbitals of its circuit
    assert isinstance(rotated, ElectronicProblem)
    unitary = uccsd(rotated, is_tied=shares_angles(rotated, vqe.ansatz), max_tracked_states=0)
    wanted = LevelsWanted(settings.levels, vqe.sampling, seed)
    return PreparedLevels(facts, vqe, rotated, unitary, model_space(rotated), wanted, levels)


def _energy(ground: Outcome) -> str:
    error = ground.standard_error + ground.rounding_bound
    return f"its own final measurement gave {ground.value:.6f} ± {error:.6f} hartree"
