"""Rounds and jobs of the optimizers from noisy energies, with the default choice of optimizer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from qiskit.quantum_info import Statevector

from benchmarks.accuracy_energies import MHA, CountedRounds, on_qubits, p95
from benchmarks.bounds import Bound, Side
from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.estimation.coefficient_splitting import split_coefficients
from hybridloop.algorithms.estimation.estimates import evaluation
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.optimizers.missing_points import FAIL
from hybridloop.algorithms.optimizers.registry import OPTIMIZERS, SearchSettings, choose_optimizer
from hybridloop.algorithms.outcome import RoundLog
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.exact import exact_ground_energy
from hybridloop.algorithms.search import DEFAULT_MAX_ROUNDS, run_optimizer
from hybridloop.algorithms.vqe import DEFAULT_SHOTS
from tests.algorithms.batched_state_helpers import shot_rounds

CHEMICAL_ACCURACY = 1.6  # mHa


@dataclass(frozen=True, slots=True)
class SearchErrors:
    """Error of the energy at the final angles (mHa above the exact one), and the search's counted rounds."""

    found_mha: float
    counted: CountedRounds


def search_errors(problem: ElectronicProblem, ansatz: Ansatz, seed: int) -> SearchErrors:
    """Run one search from the ansatz's start with the optimizer that a run would choose, which chooses its shots.

    The exact energy is only used for the score.
    """
    counted = CountedRounds(shot_rounds(seed))
    outset = SearchSettings(ansatz, is_near=not ansatz.initial_point.any(), seed=seed, max_rounds=DEFAULT_MAX_ROUNDS)
    chosen = choose_optimizer(ansatz).name
    optimizer = OPTIMIZERS[chosen].create(chosen, outset)
    reference = ReferenceState.perturbed(problem.hamiltonian, problem.reference_state)
    energy = split_coefficients(observable(problem.hamiltonian), reference)
    evaluated = evaluation(energy, ansatz, counted)
    point, _, _ = run_optimizer(
        evaluated, ansatz.initial_point, optimizer, DEFAULT_SHOTS, DEFAULT_MAX_ROUNDS, FAIL, RoundLog(lambda _: None)
    )
    state = Statevector(ansatz.circuit.assign_parameters(point))
    found = float(state.expectation_value(problem.hamiltonian).real) - exact_ground_energy(problem.molecule)
    return SearchErrors(found / MHA, counted)


def random_starts(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Search H2 with four angles from random starts until the optimizer stops; it claims no convergence from them."""
    runs = _from_random_starts(10 if quick else 40)
    jobs = [run.counted.jobs for run in runs]
    return [
        Bound(f"H2, random starts: solved of {len(runs)}", _solved(runs), Side.AT_LEAST, 9 if quick else 37),
        Bound("H2, random starts: p95 of rounds", p95([run.counted.rounds for run in runs]), Side.AT_MOST, 8),
        Bound("H2, random starts: p95 of jobs", p95(jobs), Side.AT_MOST, 150),
        Bound("H2, random starts: most jobs", max(jobs), Side.AT_MOST, 150),
    ]


def _from_random_starts(seeds: int) -> list[SearchErrors]:
    problem = on_qubits("H2_0.735")
    ansatzes = [hardware_efficient(2, np.random.default_rng(seed)) for seed in range(seeds)]
    return [search_errors(problem, ansatz, seed) for seed, ansatz in enumerate(ansatzes)]


def _solved(runs: list[SearchErrors]) -> int:
    return sum(run.found_mha < CHEMICAL_ACCURACY for run in runs)
