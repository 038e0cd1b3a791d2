"""Prepare an ADAPT-VQE: its operator pool, and the optimizer of each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hybridloop.algorithms.adapt import AdaptStep, adapt
from hybridloop.algorithms.adapt_pool import OperatorPool, PoolKind
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.optimizers.gradient import ParallelGradient
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import RunRound
from hybridloop.azure.targets import Target
from hybridloop.errors import InputError
from hybridloop.preparation.prepared import ProblemFacts
from hybridloop.preparation.problem import facts_of, resolve_molecule
from hybridloop.preparation.vqe import lost_points
from hybridloop.settings import AdaptSettings, ProblemText
from hybridloop.tasks.failure_policy import OnLostJob


@dataclass(frozen=True, slots=True)
class PreparedAdapt:
    """An ADAPT-VQE that lacks only a session."""

    facts: ProblemFacts
    problem: ElectronicProblem
    pool: OperatorPool
    settings: AdaptSettings

    def measure(self, run_round: RunRound, on_progress: Callable[[RoundProgress], None], /) -> Outcome:
        """Grow the circuit operator by operator, then measure its energy."""
        found = adapt(
            self.pool,
            next_search,
            run_round,
            shots=self.settings.shots,
            precision=self.settings.precision,
            tolerance=self.settings.tolerance,
            max_operators=self.settings.max_operators,
            max_rounds=self.settings.max_rounds,
            on_lost=lost_points(self.settings.failure),
            on_progress=on_progress,
        )
        return Outcome(
            final=found.final,
            parameters=found.parameters,
            converged=found.converged,
            reason=f"{found.reason} ({len(found.operators)} of {len(self.pool.excitations)} operators taken)",
            rounds=found.rounds,
            history=found.history,
            table=tuple(_row(each) for each in found.operators),
        )


def prepare_adapt(problem: ProblemText, settings: AdaptSettings, _seed: int, target: Target) -> PreparedAdapt:
    """Build an ADAPT-VQE from its problem text; it draws nothing itself. Raises InputError; sends nothing."""
    electronic = resolve_molecule(problem, settings, target, "adapt")
    pool = OperatorPool.of(electronic, PoolKind(settings.pool))
    if not pool.excitations:
        what = f"{electronic.molecule.source} has no excitation that keeps its symmetries: Hartree-Fock is exact"
        raise InputError("problem", what, "Check NELEC, MS2 and NORB.")
    if settings.failure.on_lost_job is OnLostJob.SKIP:
        what = "the first operator's search needs every point that it asks for, so none can be skipped"
        raise InputError("on_lost_job", what, "Give penalize or fail.")
    return PreparedAdapt(facts_of(electronic), electronic, pool, settings)


def next_search(ansatz: Ansatz) -> Optimizer:
    """One angle's fit is global; more start where the last search ended, near the minimum, and need their slopes."""
    if ansatz.num_parameters == 1:
        return Rotosolve(ansatz.initial_point, ansatz.frequencies)
    return ParallelGradient(ansatz.initial_point, ansatz.frequencies)


def _row(growth: AdaptStep) -> dict[str, Any]:
    emptied, filled = growth.excitation
    return {
        "emptied": list(emptied),
        "filled": list(filled),
        "gradient": growth.gradient,
        "gradient_error": growth.gradient_error,
        "expected_left": growth.remaining_gain,
        "energy": growth.value,
    }
