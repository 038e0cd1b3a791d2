"""Prepare sample-based quantum diagonalization: a circuit at fixed angles, and the bounds of its subspaces."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.configurations import Samples
from hybridloop.algorithms.estimation.observable import MeasurementGroup
from hybridloop.algorithms.outcome import Outcome, RoundLog
from hybridloop.algorithms.problems.determinants import count_determinants
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import FailedPoint, RunRound
from hybridloop.algorithms.sqd.comparison import compare_with_classical
from hybridloop.algorithms.sqd.diagonalization import SqdBounds, diagonalize_samples
from hybridloop.algorithms.sqd.full_space import FullSpace, solve_in_turn
from hybridloop.algorithms.sqd.outcome import outcome_of
from hybridloop.algorithms.sqd.product_spaces import check_pyscf
from hybridloop.descriptions.sqd import SqdSettings
from hybridloop.errors import InputError, JobFailed
from hybridloop.preparation.choices.orbitals import electrons_in_orbitals
from hybridloop.preparation.choices.sampled_circuit import choose_sampled_circuit
from hybridloop.preparation.prepared import ClassicalPart, OnRound, PlanFacts, PreparedAlgorithm, ProblemFacts, chosen
from hybridloop.settings import NOTHING, ProblemText, Recorded
from hybridloop.targets import Target
from hybridloop.tasks.subspaces.solver import subspace_solver

DEFAULT_SHARE = 0.1  # of all determinants
DEFAULT_MOST = 10_000  # determinants: some seconds for a batch
LEAST = 4  # determinants; fewer are no subspace of two strings of each spin


@dataclass(frozen=True, slots=True)
class PreparedSqd(PreparedAlgorithm):
    """A run of sample-based quantum diagonalization that lacks only a session.

    `full` is the full configuration space, None where it is too large.
    """

    facts: ProblemFacts
    problem: ElectronicProblem
    ansatz: Ansatz
    settings: SqdSettings
    bounds: SqdBounds
    full: FullSpace | None
    choices: Mapping[str, str] = field()

    def plan_facts(self, *, samples: bool) -> PlanFacts:
        """Return the one round, and the number and size of the diagonalizations."""
        number, total = self.bounds.batches * self.bounds.iterations, count_determinants(self.problem.molecule)
        size = f"at most {self.bounds.max_subspace:,} of {total:,} determinants"
        classical = f"up to {number:,} subspaces of {size} are diagonalized on this machine, which the time leaves out"
        return PlanFacts(0, 1, classical=classical)

    def measure(self, run_round: RunRound, _on_progress: OnRound, /) -> Samples:
        """Measure the one round. Raises JobFailed where it has no counts."""
        every = MeasurementGroup("Z" * self.problem.encoding.num_qubits, (), np.zeros(0))
        circuit = every.measurement_circuit(self.ansatz.circuit)
        ((counts,),) = run_round([SamplerPub.coerce((circuit, self._point[None, :], self.settings.shots))])
        if isinstance(counts, FailedPoint):
            failure = f"the one job of the run failed ({counts.reason})"
            raise JobFailed(failure, "There are no samples to choose a subspace by.", "Run again.")
        return Samples.of(counts, self.problem.encoding)

    def finish(self, samples: Samples, part: ClassicalPart, /) -> Outcome:
        """Diagonalize in subspaces, and compare with classical ones of the same size."""
        log, molecule = RoundLog(part.on_progress), self.problem.molecule
        with ExitStack() as solving:
            solve = solve_in_turn(molecule, self.full)
            if part.in_processes:
                solve = solving.enter_context(subspace_solver(molecule, self.full, part.check))
            found = diagonalize_samples(samples, molecule, solve, self.bounds, part.steps, log, self._point)
            compared = compare_with_classical(molecule, self.full, found.best, part.steps)
        return outcome_of(
            found,
            compared,
            samples,
            self.problem,
            exact=self.facts.exact(),
            parameters=tuple(self._point.tolist()),
            history=tuple(log.history),
        )

    @property
    def _point(self) -> NDArray[np.float64]:
        return self.ansatz.initial_point


def prepare_sqd(
    problem: ProblemText, settings: SqdSettings, seed: int, target: Target, _recorded: Recorded = NOTHING
) -> PreparedSqd:
    """Build a run of sample-based quantum diagonalization from its problem text. Raises InputError."""
    check_pyscf()
    facts, orbitals = electrons_in_orbitals(problem, settings, target, "sqd samples a molecule's electrons")
    resolved = orbitals.problem
    molecule = resolved.molecule
    most = _most_determinants(resolved, settings)
    bounds = SqdBounds(most, settings.batches, settings.iterations, settings.tolerance, seed)
    ansatz, reason = choose_sampled_circuit(resolved, settings, seed)
    full = FullSpace.of(molecule)
    if full is not None and full.is_solvable:
        solved = full
        facts = replace(facts, exact=cache(lambda: solved.ground_state[0]), is_solved=lambda: solved.is_solved)
    else:
        facts = replace(facts, exact=lambda: None)
    return PreparedSqd(facts, resolved, ansatz, settings, bounds, full, chosen(orbitals=orbitals.source, start=reason))


def _most_determinants(problem: ElectronicProblem, settings: SqdSettings) -> int:
    """Return the bound of a subspace; by default far below all determinants. Raises InputError for too few of these."""
    total = count_determinants(problem.molecule)
    if settings.max_subspace is not None:
        return min(settings.max_subspace, total)
    most = min(int(DEFAULT_SHARE * total), DEFAULT_MOST)
    if most < LEAST:
        what = f"{problem.molecule.source} has {total} determinants, of which a tenth is no subspace worth sampling"
        raise InputError("max_subspace", what, f"Give it, such as {math.ceil(total / 2)}, or run vqe.")
    return most
