"""Prepare sample-based quantum diagonalization: a circuit at fixed angles, and the bounds of its subspaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.initial_point import MAX_ANGLE_RAD, gradient_and_hessian, newton_start
from hybridloop.algorithms.circuits.uccsd import symmetry_allowed_excitations, uccsd
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
from hybridloop.azure.targets import Target
from hybridloop.compiler.languages.qsharp_ansatz import is_qsharp_ansatz
from hybridloop.descriptions.sqd import SqdSettings
from hybridloop.errors import InputError, JobFailed
from hybridloop.preparation.circuit import own_circuit
from hybridloop.preparation.initial_point import choose_start
from hybridloop.preparation.prepared import ClassicalPart, OnRound, PlanFacts, PreparedAlgorithm, ProblemFacts
from hybridloop.preparation.problem import facts_of, resolve_problem
from hybridloop.preparation.sampled_electrons import check_electrons
from hybridloop.settings import AnsatzName, ProblemText, StartName
from hybridloop.tasks.subspaces.solver import subspace_solver

DEFAULT_SHARE = 0.1  # of all determinants
DEFAULT_MOST = 10_000  # determinants: some seconds for a batch
LEAST = 4  # determinants; fewer are no subspace of two strings of each spin
_BUILT_IN = frozenset({AnsatzName.HARDWARE_EFFICIENT, AnsatzName.HAMILTONIAN_VARIATIONAL})


@dataclass(frozen=True, slots=True)
class PreparedSqd(PreparedAlgorithm):
    """A run of sample-based quantum diagonalization that lacks only a session.

    `start_reason` says how the angles were chosen, None for given ones. `full` is the full configuration space, None
    where it is too large.
    """

    facts: ProblemFacts
    problem: ElectronicProblem
    ansatz: Ansatz
    start_reason: str | None
    settings: SqdSettings
    bounds: SqdBounds
    full: FullSpace | None

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
        choices = () if self.start_reason is None else (f"start: {self.start_reason}",)
        return outcome_of(
            found,
            compared,
            samples,
            total=count_determinants(molecule),
            num_qubits=self.problem.encoding.num_qubits,
            exact=self.facts.exact(),
            spin=0.5 * abs(molecule.electrons[0] - molecule.electrons[1]),
            parameters=tuple(self._point.tolist()),
            history=tuple(log.history),
            choices=choices,
        )

    @property
    def _point(self) -> NDArray[np.float64]:
        return self.ansatz.initial_point


def prepare_sqd(
    problem: ProblemText, settings: SqdSettings, seed: int, target: Target, _groupings: Sequence[str] = ()
) -> PreparedSqd:
    """Build a run of sample-based quantum diagonalization from its problem text. Raises InputError."""
    check_pyscf()
    resolved = resolve_problem(problem, settings, target)
    if not isinstance(resolved, ElectronicProblem):
        what = f"the samples are those of a molecule's electrons, and {resolved.source} is a Pauli sum"
        raise InputError("problem", what, "Give a molecule, or run vqe.")
    molecule = resolved.molecule
    most = _most_determinants(resolved, settings)
    bounds = SqdBounds(most, settings.batches, settings.iterations, settings.tolerance, seed)
    ansatz, reason = _circuit(resolved, settings, seed)
    is_own = not isinstance(settings.ansatz, AnsatzName)
    if is_own and not is_qsharp_ansatz(settings.ansatz):
        check_electrons(ansatz, resolved, settings.shots)
    full = FullSpace.of(molecule)
    facts = facts_of(resolved)
    if full is not None and full.is_solvable:
        solved = full
        facts = replace(facts, exact=cache(lambda: solved.ground_state[0]), is_solved=lambda: solved.is_solved)
    else:
        facts = replace(facts, exact=lambda: None)
    return PreparedSqd(facts, resolved, ansatz, reason, settings, bounds, full)


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


def _circuit(problem: ElectronicProblem, settings: SqdSettings, seed: int) -> tuple[Ansatz, str | None]:
    """Return the circuit at its angles, and the reason for angles that the settings left open. Raises InputError."""
    if settings.ansatz in _BUILT_IN:
        what = f"{settings.ansatz} has no angles that are known to be near a molecule's state"
        raise InputError("ansatz", what, "Give uccsd, or your own circuit with its angles.")
    if not isinstance(settings.ansatz, AnsatzName):
        return own_circuit(settings.ansatz, problem, settings.initial_point, seed), None
    if settings.initial_point is not StartName.AUTO:
        return choose_start(problem, settings.initial_point, seed).ansatz, None
    point, reason = _sampling_point(problem)
    return replace(uccsd(problem), initial_point=point), reason


def _sampling_point(problem: ElectronicProblem) -> tuple[NDArray[np.float64], str]:
    """Return angles (n,) whose state has the important determinants, without a job.

    The Newton start, where its model has a minimum. Else each excitation has the angle of its own minimum next to
    Hartree-Fock, E(θ) = g sin 2θ / 2 + h (1 − cos 2θ) / 4: together these are too large, which samples the more.
    """
    excitations = symmetry_allowed_excitations(problem)
    newton = newton_start(problem, excitations)
    if newton.gain > 0.0:
        return newton.point, f"Newton start, {1e3 * newton.gain:.0f} mHa below Hartree-Fock by its model"
    gradient, hessian = gradient_and_hessian(problem, excitations)
    angles: Any = 0.5 * np.arctan2(-0.5 * gradient, 0.25 * np.diag(hessian))
    angles[np.abs(gradient) < 1e-6] = 0.0  # rounding of the integrals, by which no angle follows
    point = np.round(np.clip(angles, -MAX_ANGLE_RAD, MAX_ANGLE_RAD), 9) + 0.0
    return point, "each excitation at its own minimum next to Hartree-Fock, as the Newton model has none nearby"
