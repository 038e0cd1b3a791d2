"""From a molecule as it travels to its energy levels; what can't be used is refused here, before a session."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hybridloop.algorithms.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.choice import choose
from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.exact import lowest_eigenvalues
from hybridloop.algorithms.lost import check_lost_points
from hybridloop.algorithms.outcome import Outcome, Progress
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.sector import SectorCheck, check_sector
from hybridloop.algorithms.vqd import MOST_OVERLAP, Level, vqd
from hybridloop.errors import InputError
from hybridloop.flows.problems import lost_points
from hybridloop.flows.settings import ProblemText, VqdSettings
from hybridloop.flows.subjects import OfSubject, num_qubits_of, subject_of


@dataclass(frozen=True, slots=True)
class PreparedVqd(OfSubject):
    """All that a search for levels needs but a session; its random starts are drawn from `seed`."""

    ansatz: Ansatz
    settings: VqdSettings
    seed: int

    @property
    def sense(self) -> int:
        """Rounds are of different levels."""
        return 0

    @property
    def levels(self) -> tuple[float, ...] | None:
        """The lowest eigenvalues of what is measured, as many as are asked for; None where there are too many."""
        return lowest_eigenvalues(self.problem.hamiltonian, self.settings.levels)

    @property
    def exact(self) -> float | None:
        """The lowest of them, whatever electrons it has."""
        return None if self.levels is None else self.levels[0]

    def measured(self, run_round: RunRound, on_progress: Callable[[Progress], None], /) -> Outcome:
        """Find the levels one above the other, then ask each for its electrons."""
        count = self.ansatz.num_parameters
        drawn = np.random.default_rng(self.seed).uniform(-math.pi, math.pi, (self.settings.starts, count))
        found = vqd(
            self.problem.hamiltonian,
            self.ansatz,
            list(drawn),
            lambda ansatz: choose(ansatz).optimizer,
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
        return [None] * self.settings.levels if self.levels is None else list(self.levels)


def prepare_vqd(problem: ProblemText, settings: VqdSettings, seed: int) -> PreparedVqd:
    """Read the molecule and build the circuit. Raises InputError for what can't be used; sends nothing."""
    subject = subject_of(problem, settings)
    qubits = num_qubits_of(subject)
    if settings.levels > 2**qubits:
        raise InputError("levels", f"{qubits} qubit(s) have {2**qubits} levels", f"Give 1 to {2**qubits}.")
    layers = qubits - 1 if settings.layers is None else settings.layers  # one makes any real state of two qubits
    ansatz = hardware_efficient(qubits, np.random.default_rng(seed), reps=layers)
    check_lost_points(lost_points(settings.failure), choose(ansatz).optimizer)
    return PreparedVqd(subject, ansatz, settings, seed)


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
    if not level.is_apart:
        most = "unknown" if any(map(math.isnan, level.overlaps)) else f"{max(level.overlaps):.3f}"
        doubts.append(f"level {place} overlaps with those below: {most}, {MOST_OVERLAP} is taken for apart")
    if sector is not None and not sector.is_right:
        doubts.append(f"level {place} has other electrons than the molecule: {sector.number.value:.2f} on average")
    return doubts
