"""From a molecule as it travels to ADAPT-VQE; what can't be used is refused here, before a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hybridloop.algorithms.adapt import Growth, adapt
from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.gradient import ParallelGradient
from hybridloop.algorithms.optimizer import Optimizer
from hybridloop.algorithms.outcome import Outcome, Progress
from hybridloop.algorithms.pool import Pool, PoolKind
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.trigonometric import Rotosolve
from hybridloop.errors import InputError
from hybridloop.flows.problems import lost_points
from hybridloop.flows.settings import AdaptSettings, ProblemText
from hybridloop.flows.subjects import OfSubject, electronic_of
from hybridloop.sessions.policy import OnLostJob


@dataclass(frozen=True, slots=True)
class PreparedAdapt(OfSubject):
    """All that an ADAPT-VQE needs but a session."""

    problem: ElectronicProblem
    pool: Pool
    settings: AdaptSettings

    def measured(self, run_round: RunRound, on_progress: Callable[[Progress], None], /) -> Outcome:
        """Grow the circuit, and measure it in the end."""
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


def prepare_adapt(problem: ProblemText, settings: AdaptSettings, seed: int) -> PreparedAdapt:
    """Read the molecule. Raises InputError for what can't be used; sends nothing. The seed is the service's alone."""
    electronic = electronic_of(problem, settings, "adapt")
    pool = Pool.of(electronic, PoolKind(settings.pool))
    if not pool.excitations:
        what = f"{electronic.molecule.source} has no excitation that keeps its symmetries: Hartree-Fock is exact"
        raise InputError("problem", what, "Check NELEC, MS2 and NORB.")
    if settings.failure.on_lost_job is OnLostJob.SKIP:
        what = "the first operator's search needs every point that it asks for, so none can be skipped"
        raise InputError("on_lost_job", what, "Give penalize or fail.")
    return PreparedAdapt(electronic, pool, settings)


def next_search(ansatz: Ansatz) -> Optimizer:
    """One angle's fit is global; more start where the last search ended, near the minimum, and need their slopes."""
    if ansatz.num_parameters == 1:
        return Rotosolve(ansatz.initial_point, ansatz.frequencies)
    return ParallelGradient(ansatz.initial_point, ansatz.frequencies)


def _row(growth: Growth) -> dict[str, Any]:
    emptied, filled = growth.excitation
    return {
        "emptied": list(emptied),
        "filled": list(filled),
        "gradient": growth.gradient,
        "gradient_error": growth.gradient_error,
        "expected_left": growth.expected_left,
        "energy": growth.value,
    }
