"""Prepare a variational quantum deflation (VQD): one search for each energy level, from random starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.diagnostics import SectorCheck, check_sector
from hybridloop.algorithms.optimizers.missing_points import check_missing_point_policy
from hybridloop.algorithms.optimizers.registry import choose_optimizer
from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.exact import lowest_eigenvalues
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.vqd import MAX_OVERLAP, Level, vqd
from hybridloop.azure.targets import Target
from hybridloop.data.search_rules import SEARCH_RULES
from hybridloop.errors import InputError
from hybridloop.preparation.circuit import shape_of
from hybridloop.preparation.prepared import ProblemFacts
from hybridloop.preparation.problem import Subject, facts_of, num_qubits_of, resolve_subject
from hybridloop.preparation.vqe import missing_point_policy
from hybridloop.settings import ProblemText, VqdSettings


@dataclass(frozen=True, slots=True)
class PreparedVqd:
    """A VQD run that lacks only a session; its random starts are drawn from `seed`.

    `exact_levels` returns the lowest eigenvalues of the operator, for any number of electrons; None where there are too
    many states.
    """

    facts: ProblemFacts
    problem: Subject
    ansatz: Ansatz
    settings: VqdSettings
    seed: int
    exact_levels: Callable[[], tuple[float, ...] | None]

    def measure(self, run_round: RunRound, on_progress: Callable[[RoundProgress], None], /) -> Outcome:
        """Find the levels from the ground state up, then measure the electron number of each."""
        count = self.ansatz.num_parameters
        starts = np.random.default_rng(self.seed).uniform(-math.pi, math.pi, (self.settings.random_starts, count))
        result = vqd(
            self.problem.hamiltonian,
            self.ansatz,
            list(starts),
            lambda ansatz: choose_optimizer(ansatz).optimizer,
            run_round,
            levels=self.settings.levels,
            penalty=self.settings.deflation,
            shots=self.settings.shots,
            precision=self.settings.precision,
            max_rounds=self.settings.max_rounds,
            on_lost=missing_point_policy(self.settings.failure),
            on_progress=on_progress,
        )
        ground, rounds = result.levels[0], result.rounds
        rows: list[dict[str, Any]] = []
        doubts: list[str] = []
        requested = [f"level {i}: {level.reason}" for i, level in enumerate(result.levels) if level.is_requested]
        exact_levels = self.exact_levels() or (None,) * self.settings.levels
        for i, (level, exact) in enumerate(zip(result.levels, exact_levels, strict=True)):
            sector, electrons = None, None
            if isinstance(self.problem, ElectronicProblem):
                sector = check_sector(self.problem, self.ansatz, np.array(level.parameters), run_round)
                # unchecked where the ansatz or the mapping leaves no other number of electrons
                electrons = float(sum(self.problem.molecule.electrons)) if sector is None else sector.number.value
            rounds += sector is not None
            rows.append(_row(i, level, exact, electrons))
            doubts += _doubts(i, level, sector)
        return Outcome(
            final=replace(ground.final, is_precise=all(level.final.is_precise for level in result.levels)),
            parameters=ground.parameters,
            converged=not doubts and all(level.converged for level in result.levels),
            residue=ground.residue,
            is_requested=all(level.converged or level.is_requested for level in result.levels),
            reason="; ".join([*doubts, *requested])
            or f"all {len(rows)} searches met their own criterion, and the levels are distinct",
            rounds=rounds,
            history=result.history,
            table=tuple(rows),
            warnings=tuple(doubts),
        )


def prepare_vqd(
    problem: ProblemText, settings: VqdSettings, seed: int, target: Target, rules: int = SEARCH_RULES
) -> PreparedVqd:
    """Build a VQD run from its problem text. Raises InputError."""
    subject = resolve_subject(problem, settings, target)
    qubits = num_qubits_of(subject)
    if settings.levels > 2**qubits:
        raise InputError("levels", f"{qubits} qubit(s) have {2**qubits} levels", f"Give 1 to {2**qubits}.")
    layers = qubits - 1 if settings.layers is None else settings.layers  # one makes any state of two qubits
    rotations, entanglement = shape_of(subject, settings, rules)
    generator = np.random.default_rng(seed)
    ansatz = hardware_efficient(qubits, generator, reps=layers, rotations=rotations, entanglement=entanglement)
    check_missing_point_policy(missing_point_policy(settings.failure), choose_optimizer(ansatz).optimizer)
    exact_levels = cache(lambda: lowest_eigenvalues(subject.hamiltonian, settings.levels))

    def exact() -> float | None:
        levels = exact_levels()
        return None if levels is None else levels[0]

    facts = replace(facts_of(subject), sense=0, exact=exact)  # rounds are of different levels
    return PreparedVqd(facts, subject, ansatz, settings, seed, exact_levels)


def _row(number: int, level: Level, exact: float | None, electrons: float | None) -> dict[str, Any]:
    estimate = level.final.estimate
    return {
        "level": number,
        "energy": estimate.value,
        "standard_error": estimate.standard_error,
        "exact": exact,
        "overlap": max((overlap for overlap in level.overlaps if not math.isnan(overlap)), default=0.0),
        "electrons": electrons,
        "converged": level.converged,
        "parameters": list(level.parameters),
        "overlaps": [None if math.isnan(overlap) else overlap for overlap in level.overlaps],
    }


def _doubts(number: int, level: Level, sector: SectorCheck | None) -> list[str]:
    """Return the reasons to doubt that this is an energy level of the molecule."""
    doubts: list[str] = []
    if not (level.converged or level.is_requested):
        doubts.append(f"level {number}: {level.reason}")
    if not level.is_orthogonal:
        most = "unknown" if any(map(math.isnan, level.overlaps)) else f"{max(level.overlaps):.3f}"
        doubts.append(f"level {number} overlaps with lower levels: {most}, and at most {MAX_OVERLAP} is allowed")
    if sector is not None and not sector.in_sector:
        doubts.append(
            f"level {number} has another number of electrons than the molecule: {sector.number.value:.2f} on average"
        )
    return doubts
