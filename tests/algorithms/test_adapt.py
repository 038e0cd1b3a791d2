"""ADAPT-VQE: gradients against dense commutators, operators against the reference, correct termination."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.adapt import AdaptResult, OperatorPool, PoolGradients, PoolKind, adapt
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.problems.electronic import ElectronicProblem, FermionMapping, to_pauli_sum
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub, RunRound, pub_points
from hybridloop.errors import InputError, JobFailed
from tests.algorithms.batched_state_helpers import noiseless_rounds
from tests.long_form import long_form, long_only, short_or_long

MANY = 10**9  # shots that leave 1e-7 hartree of rounding


def rotosolve(ansatz: Ansatz) -> Rotosolve:
    return Rotosolve(ansatz.initial_point, ansatz.frequencies)


def state_at(ansatz: Ansatz, point: ArrayLike) -> NDArray[np.complex128]:
    state: NDArray[np.complex128] = Statevector(ansatz.circuit.assign_parameters(np.asarray(point))).data
    return state


def errors_mha(pool: OperatorPool, result: AdaptResult, exact: float) -> list[float]:
    """Exact energy at each step's angles, above the exact ground state."""
    matrix = pool.problem.hamiltonian.to_matrix(sparse=True)
    errors = []
    for count, step in enumerate(result.operators, start=1):
        chosen = [pool.excitations.index(step.excitation) for step in result.operators[:count]]
        state = state_at(pool.ansatz(chosen), step.parameters)
        errors.append(1e3 * (float(np.vdot(state, matrix @ state).real) - exact))
    return errors


@pytest.mark.parametrize("kind", list(PoolKind))
@pytest.mark.parametrize("mapping", list(FermionMapping))
def test_gradients_are_the_dense_commutators(
    problem_of: Callable[..., ElectronicProblem], kind: PoolKind, mapping: FermionMapping
) -> None:
    problem = problem_of("LiH_3_cas(2,2)", mapping)
    pool = OperatorPool.of(problem, kind)
    ansatz = pool.ansatz([0, 2, 1])
    point = np.array([0.4, -0.3, 0.7])
    state, energy = state_at(ansatz, point), problem.hamiltonian.to_matrix()
    found = PoolGradients.of(pool).measure(ansatz, point, noiseless_rounds(), MANY)
    for generator, estimate in zip(pool.generators(), found, strict=True):
        a = to_pauli_sum(generator, problem.encoding.num_qubits).to_matrix()
        assert estimate.value == pytest.approx(np.vdot(state, (energy @ a - a @ energy) @ state).real, abs=1e-6)


def test_the_standard_errors_of_sampled_gradients_are_correct(
    problem_of: Callable[..., ElectronicProblem], sampled_rounds: Callable[[int], RunRound]
) -> None:
    pool = OperatorPool.of(problem_of("LiH_3_cas(2,2)"))
    ansatz, point = pool.ansatz([0]), np.array([-0.2])
    gradients = PoolGradients.of(pool)
    exact = gradients.measure(ansatz, point, noiseless_rounds(), MANY)
    scores = [
        (estimate.value - known.value) / estimate.standard_error
        for seed in range(60)
        for estimate, known in zip(gradients.measure(ansatz, point, sampled_rounds(seed), 500), exact, strict=True)
    ]
    # 180 scores, correlated three by three: the standard deviation's own error is below 1 / sqrt(2 * 60) = 0.09
    assert 0.7 < np.std(scores) < 1.3


@long_form
@pytest.mark.parametrize(
    ("name", "operators", "errors"),  # exact, from a dense calculation with full re-optimization at each step
    [
        ("H2_0.735", 1, [0.0]),
        ("LiH_3_cas(2,2)", 2, [5.916, 0.420]),
        *short_or_long([], [("H4_1", 9, [43.9, 33.3, 22.2, 15.3, 10.9, 7.7, 5.3, 2.5, 1.42])]),
    ],
)
def test_chemical_accuracy_takes_as_many_operators_as_the_reference(
    reference: Mapping[str, Any],
    problem_of: Callable[..., ElectronicProblem],
    name: str,
    operators: int,
    errors: list[float],
) -> None:
    pool = OperatorPool.of(problem_of(name))
    result = adapt(pool, rotosolve, noiseless_rounds(), shots=MANY, precision=1e-6)
    found = errors_mha(pool, result, reference[name]["exact_energy"])
    assert found[:operators] == pytest.approx(errors, abs=0.06)
    assert next(count for count, each in enumerate(found, start=1) if each <= 1.6) == operators
    # the termination criterion does not use the exact energy
    assert result.converged
    assert found[-1] <= 1.0
    assert result.final.estimate.value - reference[name]["exact_energy"] == pytest.approx(found[-1] / 1e3, abs=1e-5)


@long_form
@pytest.mark.slow
@long_only  # half a minute
@pytest.mark.parametrize("kind", list(PoolKind))
def test_lithium_hydride_takes_four_operators(
    reference: Mapping[str, Any], problem_of: Callable[..., ElectronicProblem], kind: PoolKind
) -> None:
    pool = OperatorPool.of(problem_of("LiH_1.595_fc"), kind)
    result = adapt(pool, rotosolve, noiseless_rounds(), shots=MANY, precision=1e-6, max_operators=4)
    found = errors_mha(pool, result, reference["LiH_1.595_fc"]["exact_energy"])
    assert found == pytest.approx([5.64, 3.74, 1.98, 1.39], abs=0.06)
    assert not result.converged


def test_under_shot_noise_it_ends_within_its_error_bar_and_counts_its_resources(
    reference: Mapping[str, Any],
    problem_of: Callable[..., ElectronicProblem],
    sampled_rounds: Callable[[int], RunRound],
) -> None:
    pool = OperatorPool.of(problem_of("LiH_3_cas(2,2)"))
    seen: list[tuple[int, int]] = []
    rounds = sampled_rounds(1)

    def counted(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        seen.append((sum(pub.size for pub in pubs), sum(pub.size * pub.shots for pub in pubs)))
        return rounds(pubs)

    result = adapt(pool, rotosolve, counted, shots=4000)
    estimate = result.final.estimate
    assert abs(estimate.value - reference["LiH_3_cas(2,2)"]["exact_energy"]) <= 1.6e-3 + 3 * estimate.standard_error
    assert (result.rounds, result.circuits, result.shots) == (len(seen), *map(sum, zip(*seen, strict=True)))


def test_gradients_within_noise_are_not_convergence(
    problem_of: Callable[..., ElectronicProblem], sampled_rounds: Callable[[int], RunRound]
) -> None:
    pool = OperatorPool.of(problem_of("LiH_3_cas(2,2)"))
    result = adapt(pool, rotosolve, sampled_rounds(0), shots=20, precision=0.02)
    assert not result.converged
    assert "noise" in result.reason


def test_a_failed_gradient_ends_the_run(problem_of: Callable[..., ElectronicProblem]) -> None:
    def losing(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        return [MeasuredPub(pub_points(pub), tuple(FailedPoint("gone") for _ in range(pub.size))) for pub in pubs]

    with pytest.raises(JobFailed, match="gone"):
        adapt(OperatorPool.of(problem_of("H2_0.735")), rotosolve, losing)


@pytest.mark.parametrize(("setting", "value"), [("tolerance", 0.0), ("tolerance", float("nan")), ("max_operators", 0)])
def test_settings_out_of_range_are_refused(
    problem_of: Callable[..., ElectronicProblem], setting: str, value: float
) -> None:
    settings: dict[str, Any] = {setting: value}
    with pytest.raises(InputError) as caught:
        adapt(OperatorPool.of(problem_of("H2_0.735")), rotosolve, noiseless_rounds(), **settings)
    assert caught.value.field == setting
