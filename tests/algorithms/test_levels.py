"""Energy levels from a VQE's circuit: against full diagonalization, their spins, failed jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.model_space import basis_space, model_space
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.final import MIN_PILOT_SHOTS
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.levels import MAX_LEVEL_ROUNDS, LevelsResult, LevelsWanted, _multiplicity, measure_levels
from hybridloop.algorithms.outcome import RoundLog
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.exact import exact_levels, lowest_eigenvalues
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub, RunRound
from hybridloop.data import load_table
from hybridloop.errors import JobFailed
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.algorithms.reference_helpers import problem_of
from tests.spin_models import HEISENBERG, MORIYA, chain, ring, spin_model
from tests.value_helpers import known


def found(
    problem: ElectronicProblem, run_round: RunRound, *, angle: float = 0.1, precision: float = 1e-3, log: RoundLog
) -> LevelsResult:
    ansatz = uccsd(problem, max_tracked_states=0)
    return measure_levels(
        problem,
        model_space(problem),
        observable(problem.hamiltonian),
        replace(ansatz, initial_point=np.full(ansatz.num_parameters, angle)),
        run_round,
        LevelsWanted(4, Sampling(precision=precision), seed=3),
        log,
    )


@pytest.mark.parametrize("mapping", list(FermionMapping))
@pytest.mark.parametrize(
    ("name", "spins"), [("H2_0.735", [1, 3, 1, 1]), ("H2_2.5", [1, 3, 1, 1]), ("LiH_3_cas(2,2)", [1, 3, 1, 1])]
)
def test_levels_of_all_determinants_are_exact_at_any_angles(
    name: str, spins: list[int], mapping: FermionMapping
) -> None:
    problem, log = problem_of(name, mapping), RoundLog(lambda _: None)
    result = found(problem, noiseless_rounds(), angle=0.4, precision=1e-5, log=log)
    exact = exact_levels(problem.molecule, 4)
    assert [level.energy for level in result.levels] == pytest.approx(exact, abs=1e-5)
    assert [level.multiplicity for level in result.levels] == spins
    assert result.final.is_precise
    assert result.final.estimate.is_exact
    assert max(level.standard_error for level in result.levels) <= 1e-12
    assert max(level.rounding_bound for level in result.levels) <= 1e-5
    assert len(log.history) == result.rounds <= MAX_LEVEL_ROUNDS


def test_measured_levels_are_within_their_errors() -> None:
    problem, log = problem_of("H2_2.5"), RoundLog(lambda _: None)
    result = found(problem, shot_rounds(1), log=log)
    exact = known(exact_levels(problem.molecule, 4))
    assert result.final.is_precise
    assert result.rounds <= MAX_LEVEL_ROUNDS
    for level, energy in zip(result.levels, exact, strict=True):
        assert 0.0 < level.standard_error <= 1.05e-3  # the bootstrap's own error
        assert abs(level.energy - energy) <= 3 * level.standard_error
        assert abs(level.noise_bias) <= 0.25e-3
        assert level.excitation == pytest.approx(level.energy - result.levels[0].energy)
    assert result.levels[0].excitation_error == 0.0
    assert log.history[-1].total_shots == result.final.estimate.shots


def test_a_failed_circuit_is_measured_again() -> None:
    rounds, sizes = shot_rounds(1), list[int]()

    def losing(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        sizes.append(len(pubs))
        measured = rounds(pubs)
        lost = MeasuredPub(measured[-1].points, (FailedPoint("gone"),))
        return [*measured[:-1], lost] if len(sizes) == 1 else measured

    log = RoundLog(lambda _: None)
    result = found(problem_of("H2_0.735"), losing, precision=5e-3, log=log)
    assert sizes[:2] == [16, 1]  # eight states in two groups each
    assert log.history[0].circuits == 17
    assert log.history[0].shots == 17 * MIN_PILOT_SHOTS
    assert result.rounds == len(sizes)


def test_a_circuit_that_always_fails_ends_the_run() -> None:
    rounds = shot_rounds(1)

    def losing(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        *measured, last = rounds(pubs)
        return [*measured, MeasuredPub(last.points, (FailedPoint("gone"),))]

    with pytest.raises(JobFailed, match="gone"):
        found(problem_of("H2_0.735"), losing, log=RoundLog(lambda _: None))


@pytest.mark.parametrize(
    ("squared", "electrons", "multiplicity"),
    [(0.1, 2, 1), (1.8, 4, 3), (1.0, 2, None), (0.75, 3, 2), (3.6, 3, 4), (6.2, 4, 5), (-1e-12, 0, 1)],
)
def test_the_multiplicity_is_that_of_the_nearest_spin(squared: float, electrons: int, multiplicity: int | None) -> None:
    assert _multiplicity(squared, electrons) == multiplicity


SPINS = {
    "ising": (spin_model(4, ring(4), {"ZZ": -1.0}, "X"), 1e-2),
    "ordered": (spin_model(4, ring(4), {"ZZ": -1.0}), 1e-2),  # without a field: two ground states
    "heisenberg": (spin_model(4, ring(4), HEISENBERG), 1e-2),
    "moriya": (spin_model(3, chain(3), MORIYA), 1e-2),
    "majumdar-ghosh-6": (load_table("problems")["majumdar-ghosh-6"]["terms"], 3e-2),
    "ising-6": (load_table("problems")["ising-6"]["terms"], 3e-2),
}


@pytest.mark.parametrize("name", SPINS)
def test_levels_of_spin_models_are_exact_with_their_degeneracies(name: str) -> None:
    terms, precision = SPINS[name]
    problem = PauliProblem(SparsePauliOp.from_list(list(terms.items())), name)
    space, ansatz = basis_space(problem.hamiltonian)
    result = measure_levels(
        problem,
        space,
        observable(problem.hamiltonian),
        ansatz,
        shot_rounds(7),
        LevelsWanted(4, Sampling(precision=precision), seed=3),
        RoundLog(lambda _: None),
    )
    exact = known(lowest_eigenvalues(problem.hamiltonian, 4))
    assert result.final.is_precise
    for level, energy in zip(result.levels, exact, strict=True):
        assert level.standard_error <= 1.1 * precision  # the bootstrap's own error, and the correction of the bias
        assert abs(level.energy - energy) <= 4 * level.standard_error + 1e-9
        assert (level.spin_squared, level.multiplicity) == (None, None)
    if name in ("ordered", "majumdar-ghosh-6"):
        assert exact[1] - exact[0] < 1e-9
        assert abs(result.levels[1].excitation) <= 4 * result.levels[1].excitation_error + 1e-9


def test_levels_ascend_also_where_they_are_degenerate() -> None:
    for seed in range(5):
        result = found(problem_of("H2_2.5"), shot_rounds(seed), precision=2e-2, log=RoundLog(lambda _: None))
        energies = [level.energy for level in result.levels]  # the lowest two are 7 mHa apart
        assert energies == sorted(energies)
        assert result.final.estimate.value == energies[0]
        assert (result.levels[0].excitation, result.levels[0].excitation_error) == (0.0, 0.0)
        assert min(level.excitation for level in result.levels) == 0.0
