"""Prepare an ADAPT-VQE: its operator pool, and the optimizer of each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hybridloop.algorithms.adapt import AdaptStep, OperatorPool, PoolKind, adapt
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.optimizers.gradient import ParallelGradient
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.algorithms.rounds import RunRound
from hybridloop.azure.targets import Target
from hybridloop.errors import InputError
from hybridloop.preparation.prepared import ProblemFacts
from hybridloop.preparation.problem import facts_of, resolve_subject
from hybridloop.preparation.vqe import missing_point_policy
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
        """Grow the ansatz operator by operator, then measure its energy."""
        result = adapt(
            self.pool,
            _next_optimizer,
            run_round,
            shots=self.settings.shots,
            precision=self.settings.precision,
            tolerance=self.settings.tolerance,
            max_operators=self.settings.max_operators,
            max_rounds=self.settings.max_rounds,
            on_lost=missing_point_policy(self.settings.failure),
            on_progress=on_progress,
        )
        return Outcome(
            final=result.final,
            parameters=result.parameters,
            converged=result.converged,
            is_requested=result.is_requested,
            residue=result.residue,
            reason=f"{result.reason} ({len(result.operators)} of {len(self.pool.excitations)} operators taken)",
            rounds=result.rounds,
            history=result.history,
            table=tuple(_row(step) for step in result.operators),
        )


def prepare_adapt(problem: ProblemText, settings: AdaptSettings, _seed: int, target: Target) -> PreparedAdapt:
    """Build an ADAPT-VQE from its problem text; it needs no seed. Raises InputError."""
    electronic = resolve_subject(problem, settings, target)
    if isinstance(electronic, PauliProblem):
        what = f"{electronic.source} is a Pauli sum, and adapt starts from a molecule's Hartree-Fock state"
        raise InputError("problem", what, "Give a molecule, or run vqe or vqd.")
    pool = OperatorPool.of(electronic, PoolKind(settings.pool))
    if not pool.excitations:
        what = f"{electronic.molecule.source} has no excitation that keeps its symmetries: Hartree-Fock is exact"
        raise InputError("problem", what, "Check NELEC, MS2 and NORB.")
    if settings.failure.on_lost_job is OnLostJob.SKIP:
        what = "the search of the first operator needs all of its points, so none can be skipped"
        raise InputError("on_lost_job", what, "Give penalize or fail.")
    return PreparedAdapt(facts_of(electronic), electronic, pool, settings)


def _next_optimizer(ansatz: Ansatz) -> Optimizer:
    """Return Rotosolve for one angle, whose fit is global, else a gradient search: it starts near the minimum."""
    if ansatz.num_parameters == 1:
        return Rotosolve(ansatz.initial_point, ansatz.frequencies)
    return ParallelGradient(ansatz.initial_point, ansatz.frequencies)


def _row(step: AdaptStep) -> dict[str, Any]:
    emptied, filled = step.excitation
    return {
        "emptied": list(emptied),
        "filled": list(filled),
        "gradient": step.gradient,
        "gradient_error": step.gradient_error,
        "expected_left": step.remaining_gain,
        "energy": step.value,
    }
