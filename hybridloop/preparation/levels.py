"""Prepare energy levels: a VQE, and the determinants whose matrix is measured after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.model_space import ModelSpace, model_space
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.final import FinalMeasurement
from hybridloop.algorithms.levels import SubspaceLevel, measure_levels
from hybridloop.algorithms.outcome import Outcome, RoundLog, RoundProgress, measured_value
from hybridloop.algorithms.problems.determinants import count_determinants
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.exact import exact_levels
from hybridloop.algorithms.rounds import RunRound
from hybridloop.azure.targets import Target
from hybridloop.errors import InputError
from hybridloop.preparation.prepared import ProblemFacts
from hybridloop.preparation.problem import resolve_subject
from hybridloop.preparation.vqe import PreparedVqe, prepare_vqe, shares_angles
from hybridloop.settings import AnsatzName, LevelsSettings, ProblemText


@dataclass(frozen=True, slots=True)
class PreparedLevels:
    """A run for energy levels that lacks only a session.

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

    def measure(self, run_round: RunRound, on_progress: Callable[[RoundProgress], None], /) -> Outcome:
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
            precision=self.settings.precision,
            seed=self.seed,
            log=log,
        )
        exact = self.exact_levels() or (None,) * len(found.levels)
        rows = zip(range(len(exact)), found.levels, exact, strict=True)
        if self.space.is_complete:
            reason = f"all determinants: the levels do not depend on the angles of the VQE ({ground.reason})"
            ground = replace(ground, converged=True, is_requested=False, warnings=(), facts=(), reason=reason)
        return replace(
            ground,
            **measured_value(FinalMeasurement(found.ground, found.is_precise), ground.residue),
            rounds=ground.rounds + found.rounds,
            history=tuple(log.history),
            table=tuple(_row(*row, self.problem.molecule.electrons) for row in rows),
            choices=(*ground.choices, f"determinants: {self._determinants()}", f"vqe: {_energy(ground)}"),
        )

    def _determinants(self) -> str:
        electrons = "{} alpha and {} beta electrons".format(*self.problem.molecule.electrons)
        if self.space.is_complete:
            return f"all {self.space.size} with {electrons}"
        total = count_determinants(self.problem.molecule)
        return f"the {self.space.size} of at most two excitations, of {total:,} with {electrons}"


def prepare_levels(
    problem: ProblemText,
    settings: LevelsSettings,
    seed: int,
    target: Target,
    groupings: Sequence[str] = (),
) -> PreparedLevels:
    """Build a run for energy levels from its problem text. Raises InputError."""
    if settings.mitigation:
        raise InputError("mitigation", "levels are measured without error mitigation", "Leave it out.")
    subject = resolve_subject(problem, settings, target)
    if not isinstance(subject, ElectronicProblem):
        what = f"levels are measured from a molecule's determinants, and {subject.source} is a Pauli sum"
        raise InputError("problem", what, "Give a molecule, or run vqd.")
    space = model_space(subject)
    if settings.levels > space.size:
        what = f"{subject.molecule.source} has {space.size} determinants, and so many levels"
        raise InputError("levels", what, f"Give 1 to {space.size}.")
    vqe = prepare_vqe(problem, settings, seed, target, groupings)
    if not isinstance(settings.ansatz, AnsatzName) or vqe.ansatz.name != AnsatzName.UCCSD:
        what = "the levels need a circuit that conserves the electrons from any determinant"
        raise InputError("ansatz", what, "Leave it out: only uccsd does.")
    levels = cache(lambda: exact_levels(subject.molecule, settings.levels))

    def exact() -> float | None:
        known = levels()
        return None if known is None else known[0]

    facts = replace(vqe.facts, exact=exact, note=lambda: None)
    unitary = uccsd(subject, is_tied=shares_angles(subject, vqe.ansatz), max_tracked_states=0)
    return PreparedLevels(facts, vqe, subject, unitary, space, settings, seed, levels)


def _row(number: int, level: SubspaceLevel, exact: float | None, electrons: tuple[int, int]) -> dict[str, Any]:
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
        "electrons": list(electrons),
        "symmetry": level.symmetry,
    }


def _energy(ground: Outcome) -> str:
    return f"its own final measurement gave {ground.value:.6f} ± {ground.standard_error:.6f} hartree"
