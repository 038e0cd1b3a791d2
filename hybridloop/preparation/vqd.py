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
from hybridloop.errors import InputError
from hybridloop.preparation.prepared import ProblemFacts
from hybridloop.preparation.problem import Subject, facts_of, num_qubits_of, resolve_subject
from hybridloop.preparation.vqe import lost_points
from hybridloop.settings import ProblemText, VqdSettings


@dataclass(frozen=True, slots=True)
class PreparedVqd:
    """A VQD run that lacks only a session; its random starts are drawn from `seed`.

    `exact_levels` gives the lowest eigenvalues of the operator, whatever electrons they have; None where there are too
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
        drawn = np.random.default_rng(self.seed).uniform(-math.pi, math.pi, (self.settings.random_starts, count))
        found = vqd(
            self.problem.hamiltonian,
            self.ansatz,
            list(drawn),
            lambda ansatz: choose_optimizer(ansatz).optimizer,
            run_round,
            levels=self.settings.levels,
            penalty=self.settings.deflation,
            shots=self.settings.shots,
            precision=self.settings.precision,
            max_rounds=self.settings.max_rounds,
            on_lost=lost_points(self.settings.failure),
            on_progress=on_progress,
        )
        sectors = [self._sector(each, run_round) for each in found.levels]
        rows = [
            _row(place, *each, electrons=self._electrons)
            for place, each in enumerate(zip(found.levels, sectors, self._exact_or_none(), strict=True))
        ]
        doubts = [said for place, each in enumerate(found.levels) for said in _doubts(place, each, sectors[place])]
        return Outcome(
            final=replace(found.levels[0].final, is_precise=all(each.final.is_precise for each in found.levels)),
            parameters=found.levels[0].parameters,
            converged=not doubts,
            reason="; ".join(doubts) or f"all {len(rows)} searches met their own criterion, and the levels keep apart",
            rounds=found.rounds + sum(each is not None for each in sectors),
            history=found.history,
            table=tuple(rows),
            warnings=tuple(doubts),
        )

    @property
    def _electrons(self) -> float | None:
        """The molecule's."""
        return float(sum(self.problem.molecule.electrons)) if isinstance(self.problem, ElectronicProblem) else None

    def _sector(self, level: Level, run_round: RunRound) -> SectorCheck | None:
        if not isinstance(self.problem, ElectronicProblem):
            return None
        return check_sector(self.problem, self.ansatz, np.array(level.parameters), run_round)

    def _exact_or_none(self) -> list[float | None]:
        levels = self.exact_levels()
        return [None] * self.settings.levels if levels is None else list(levels)


def prepare_vqd(problem: ProblemText, settings: VqdSettings, seed: int, target: Target) -> PreparedVqd:
    """Build a VQD run from its problem text. Raises InputError; sends nothing."""
    subject = resolve_subject(problem, settings, target)
    qubits = num_qubits_of(subject)
    if settings.levels > 2**qubits:
        raise InputError("levels", f"{qubits} qubit(s) have {2**qubits} levels", f"Give 1 to {2**qubits}.")
    layers = qubits - 1 if settings.layers is None else settings.layers  # one makes any real state of two qubits
    ansatz = hardware_efficient(qubits, np.random.default_rng(seed), reps=layers)
    check_missing_point_policy(lost_points(settings.failure), choose_optimizer(ansatz).optimizer)
    exact_levels = cache(lambda: lowest_eigenvalues(subject.hamiltonian, settings.levels))

    def exact() -> float | None:
        levels = exact_levels()
        return None if levels is None else levels[0]

    facts = replace(facts_of(subject), sense=0, exact=exact)  # rounds are of different levels
    return PreparedVqd(facts, subject, ansatz, settings, seed, exact_levels)


def _row(
    place: int, level: Level, sector: SectorCheck | None, exact: float | None, *, electrons: float | None
) -> dict[str, Any]:
    estimate = level.final.estimate
    return {
        "level": place,
        "energy": estimate.value,
        "standard_error": estimate.standard_error,
        "exact": exact,
        "overlap": max((each for each in level.overlaps if not math.isnan(each)), default=0.0),
        # unchecked where the circuit or the mapping leaves no others
        "electrons": electrons if sector is None else sector.number.value,
        "converged": level.converged,
        "parameters": list(level.parameters),
        "overlaps": [None if math.isnan(each) else each for each in level.overlaps],
    }


def _doubts(place: int, level: Level, sector: SectorCheck | None) -> list[str]:
    """What speaks against taking the level for one of the molecule's."""
    doubts: list[str] = []
    if not level.converged:
        doubts.append(f"level {place}: {level.reason}")
    if not level.is_orthogonal:
        most = "unknown" if any(map(math.isnan, level.overlaps)) else f"{max(level.overlaps):.3f}"
        doubts.append(f"level {place} overlaps with those below: {most}, {MAX_OVERLAP} is taken for apart")
    if sector is not None and not sector.in_sector:
        doubts.append(f"level {place} has other electrons than the molecule: {sector.number.value:.2f} on average")
    return doubts
