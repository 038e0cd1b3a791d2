"""Prepare a variational quantum deflation (VQD): a search for each energy level, its start simulated or random."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.circuits.perturbation import missing_energies
from hybridloop.algorithms.circuits.statevector import StatevectorModel
from hybridloop.algorithms.diagnostics import StateChecks, StateFacts
from hybridloop.algorithms.error_budget import error_budget, interval95
from hybridloop.algorithms.estimation.reference_mixture import ReferenceMixture
from hybridloop.algorithms.estimation.reference_state import Reference
from hybridloop.algorithms.facts import MISSING_TOLERANCE
from hybridloop.algorithms.optimizers.missing_points import check_missing_point_policy
from hybridloop.algorithms.optimizers.registry import choose_optimizer
from hybridloop.algorithms.outcome import Outcome, RoundProgress, measured_value
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.exact import lowest_eigenvalues
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.vqd import MAX_OVERLAP, Level, vqd
from hybridloop.azure.targets import Target
from hybridloop.errors import InputError
from hybridloop.preparation.circuit import shape_of
from hybridloop.preparation.prepared import ProblemFacts
from hybridloop.preparation.problem import Subject, facts_of, num_qubits_of, resolve_subject
from hybridloop.preparation.vqe import missing_point_policy
from hybridloop.settings import ProblemText, VqdSettings


@dataclass(frozen=True, slots=True)
class PreparedVqd:
    """A VQD run that lacks only a session; its random starts are drawn from `seed`, and `model` is its simulation.

    `exact_levels` returns the lowest eigenvalues of the operator, for any number of electrons; None where there are too
    many states.
    """

    facts: ProblemFacts
    problem: Subject
    ansatz: Ansatz
    settings: VqdSettings
    seed: int
    exact_levels: Callable[[], tuple[float, ...] | None]
    model: StatevectorModel | None

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
            model=self.model,
            reference=self._reference(),
        )
        ground, rounds = result.levels[0], result.rounds
        rows: list[dict[str, Any]] = []
        doubts: list[str] = []
        requested = [f"level {i}: {level.reason}" for i, level in enumerate(result.levels) if level.is_requested]
        points = np.array([level.parameters for level in result.levels])
        is_examined = isinstance(self.problem, ElectronicProblem)
        missing = missing_energies(self.problem.hamiltonian, self.ansatz, points) if is_examined else None
        exact_levels = self.exact_levels() or (None,) * self.settings.levels
        for i, (level, exact) in enumerate(zip(result.levels, exact_levels, strict=True)):
            state, measured = self._state(np.array(level.parameters), run_round)
            rounds += measured
            rows.append(_row(i, level, exact, state))
            doubts += _doubts(i, level, state)
            if missing is not None and missing[i] > MISSING_TOLERANCE:
                expects = f"the simulation at these angles expects {1e3 * missing[i]:.2g} mHa above the energy level"
                doubts.append(f"level {i} is no eigenstate: {expects}. Give more layers, or run levels.")
        return Outcome(
            **measured_value(ground.final, ground.residue)
            | {"is_precise": all(level.final.is_precise for level in result.levels)},
            parameters=ground.parameters,
            converged=not doubts and all(level.converged for level in result.levels),
            is_requested=all(level.converged or level.is_requested for level in result.levels),
            reason="; ".join([*doubts, *requested])
            or f"all {len(rows)} searches met their own criterion, and the levels are distinct",
            rounds=rounds,
            history=result.history,
            table=tuple(rows),
            warnings=tuple(doubts),
        )

    def _reference(self) -> Reference | None:
        """Return the states that share the shots; None for a Pauli sum."""
        if not isinstance(self.problem, ElectronicProblem):
            return None
        hartree_fock = self.problem.reference_state
        return ReferenceMixture.of_levels(self.problem.hamiltonian, self.settings.levels, hartree_fock)

    def _state(self, point: NDArray[np.float64], run_round: RunRound) -> tuple[StateFacts, int]:
        """Return electrons and spin of a level at a point (n,), and the rounds measured."""
        if not isinstance(self.problem, ElectronicProblem):
            return StateFacts(None, None, ()), 0
        checks = StateChecks.of(self.problem, self.ansatz)
        pubs = checks.pubs(point)
        return checks.read(run_round(pubs) if pubs else [], has_any_spin=True), int(bool(pubs))


def prepare_vqd(problem: ProblemText, settings: VqdSettings, seed: int, target: Target) -> PreparedVqd:
    """Build a VQD run from its problem text. Raises InputError."""
    subject = resolve_subject(problem, settings, target)
    qubits = num_qubits_of(subject)
    if settings.levels > 2**qubits:
        raise InputError("levels", f"{qubits} qubit(s) have {2**qubits} levels", f"Give 1 to {2**qubits}.")
    layers = qubits - 1 if settings.layers is None else settings.layers  # one makes any state of two qubits
    rotations, entanglement = shape_of(subject, settings)
    generator = np.random.default_rng(seed)
    ansatz = hardware_efficient(qubits, generator, reps=layers, rotations=rotations, entanglement=entanglement)
    model = StatevectorModel.of(ansatz.circuit, subject.hamiltonian)
    searched = replace(ansatz, model=model)
    check_missing_point_policy(missing_point_policy(settings.failure), choose_optimizer(searched).optimizer)
    exact_levels = cache(lambda: lowest_eigenvalues(subject.hamiltonian, settings.levels))

    def exact() -> float | None:
        levels = exact_levels()
        return None if levels is None else levels[0]

    facts = replace(facts_of(subject), sense=0, exact=exact)  # rounds are of different levels
    return PreparedVqd(facts, subject, ansatz, settings, seed, exact_levels, model)


def _row(number: int, level: Level, exact: float | None, state: StateFacts) -> dict[str, Any]:
    estimate = level.final.estimate
    return {
        "level": number,
        "energy": estimate.value,
        "standard_error": estimate.standard_error,
        "interval95": list(interval95(estimate, error_budget(estimate, level.residue))),
        "exact": exact,
        "overlap": max((overlap for overlap in level.overlaps if not math.isnan(overlap)), default=0.0),
        "electrons": state.columns["electrons"],
        "spin_squared": state.columns["spin_squared"],
        "converged": level.converged,
        "parameters": list(level.parameters),
        "overlaps": [None if math.isnan(overlap) else overlap for overlap in level.overlaps],
    }


def _doubts(number: int, level: Level, state: StateFacts) -> list[str]:
    """Return the reasons to doubt that this is an energy level of the molecule."""
    doubts: list[str] = []
    if not (level.converged or level.is_requested):
        doubts.append(f"level {number}: {level.reason}")
    if not level.is_orthogonal:
        most = "unknown" if any(map(math.isnan, level.overlaps)) else f"{max(level.overlaps):.3f}"
        doubts.append(f"level {number} overlaps with lower levels: {most}, and at most {MAX_OVERLAP} is allowed")
    doubts += [f"level {number}: {warning}" for warning in state.warnings]
    return doubts
