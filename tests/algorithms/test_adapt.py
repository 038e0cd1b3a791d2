"""ADAPT-VQE: gradients against dense commutators, operators against the reference, correct termination."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

import hybridloop as hl
from hybridloop.algorithms.adapt.coupled_pool import CoupledPool
from hybridloop.algorithms.adapt.excitation_pool import ExcitationPool, PoolKind
from hybridloop.algorithms.adapt.growth import Growth, adapt
from hybridloop.algorithms.adapt.operator_pool import PoolDerivatives
from hybridloop.algorithms.adapt.result import AdaptResult
from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.observable import Grouping
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.problems.electronic import to_pauli_sum
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub, pub_points
from hybridloop.algorithms.search import Search
from hybridloop.descriptions.adapt import AdaptSettings, PoolName
from hybridloop.errors import InputError, JobFailed
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.algorithms.reference_helpers import MOLECULES, problem_of
from tests.long_form import long_form, long_only, short_or_long
from tests.preparation.test_spin_and_stability import problem as problem_text
from tests.preparation_helpers import prepare_adapt
from tests.value_helpers import known

EXACT = Sampling(10**9, 1e-6)  # shots that leave 1e-7 hartree of rounding


def rotosolve(ansatz: Ansatz) -> Search:
    return Search(Rotosolve(ansatz.initial_point, ansatz.frequencies))


def exactly(derivatives: PoolDerivatives, ansatz: Ansatz, point: NDArray[np.float64]) -> list[Estimate]:
    return derivatives.measure(ansatz, point, noiseless_rounds(), derivatives.shots_of(EXACT.shots))


def state_at(ansatz: Ansatz, point: ArrayLike) -> NDArray[np.complex128]:
    state: NDArray[np.complex128] = Statevector(ansatz.circuit.assign_parameters(np.asarray(point))).data
    return state


def errors_mha(pool: ExcitationPool, result: AdaptResult, exact: float) -> list[float]:
    """Exact energy at each step's angles, above the exact ground state; of the first of two added together, none."""
    matrix = pool.problem.hamiltonian.to_matrix(sparse=True)
    errors = []
    for count, step in enumerate(result.operators, start=1):
        if len(step.parameters) > count:
            errors.append(math.inf)
            continue
        chosen = [step.index for step in result.operators[:count]]
        state = state_at(pool.ansatz(chosen), step.parameters)
        errors.append(1e3 * (float(np.vdot(state, matrix @ state).real) - exact))
    return errors


@pytest.mark.parametrize("kind", list(PoolKind))
@pytest.mark.parametrize("mapping", list(FermionMapping))
@pytest.mark.parametrize("grouping", [Grouping.QUBIT_WISE, Grouping.FULLY_COMMUTING])
def test_gradients_are_the_dense_commutators(kind: PoolKind, mapping: FermionMapping, grouping: Grouping) -> None:
    problem = problem_of("LiH_3_cas(2,2)", mapping)
    pool = ExcitationPool.of(problem, kind)
    ansatz = pool.ansatz([0, 2, 1])
    point = np.array([0.4, -0.3, 0.7])
    state, energy = state_at(ansatz, point), problem.hamiltonian.to_matrix()
    found = exactly(PoolDerivatives.gradients(pool, grouping), ansatz, point)
    for (generator,), estimate in zip(pool.generators(), found, strict=True):
        a = to_pauli_sum(generator, problem.encoding.num_qubits).to_matrix()
        assert estimate.value == pytest.approx(np.vdot(state, (energy @ a - a @ energy) @ state).real, abs=1e-6)


@pytest.mark.parametrize("kind", list(PoolKind))
@pytest.mark.parametrize("mapping", list(FermionMapping))
def test_derivatives_of_tied_operators_are_those_along_the_appended_angle(
    kind: PoolKind, mapping: FermionMapping
) -> None:
    problem = problem_of("LiH_1.595_cas(2,3)", mapping)
    pool = ExcitationPool.tied(problem, kind)
    assert {len(group) for group in pool.groups} == {1, 2}
    chosen, point = [0, len(pool.groups) - 1], np.array([0.4, -0.3])
    matrix, h = problem.hamiltonian.to_matrix(), 1e-3

    def energy(index: int, angle: float, before: Sequence[int] = chosen) -> float:
        angles = [*(point if before else ()), angle]
        state = state_at(pool.ansatz([*before, index]), angles)
        return float(np.vdot(state, matrix @ state).real)

    ansatz = pool.ansatz(chosen)
    slopes = exactly(PoolDerivatives.gradients(pool), ansatz, point)
    curvatures = exactly(PoolDerivatives.curvatures(pool), ansatz, point)
    gradient, hessian = pool.derivatives_at_hartree_fock()
    for index in range(len(pool.groups)):
        for first, second, before in (
            (slopes[index].value, curvatures[index].value, chosen),
            (gradient[index], hessian[index, index], []),
        ):
            low, middle, high = (energy(index, angle, before) for angle in (-h, 0.0, h))
            assert first == pytest.approx((high - low) / (2 * h), abs=1e-5)
            assert second == pytest.approx((high - 2 * middle + low) / h**2, abs=1e-4)


def test_the_coupled_pool_is_ranked_by_gain_for_each_gate_that_an_operator_adds() -> None:
    problem = problem_of("LiH_1.595_cas(2,3)", FermionMapping.JORDAN_WIGNER)
    pool = CoupledPool.of(problem)
    texts = [pool.row(index)["operator"] for index in range(len(pool))]
    chosen, point = [texts.index("p0-1")], np.array([0.4])
    matrix, h = problem.hamiltonian.to_matrix(), 1e-3

    def energy(index: int, angle: float) -> float:
        state = state_at(pool.ansatz([*chosen, index]), [*point, angle])
        return float(np.vdot(state, matrix @ state).real)

    slopes = exactly(PoolDerivatives.gradients(pool), pool.ansatz(chosen), point)
    curvatures = exactly(PoolDerivatives.curvatures(pool), pool.ansatz(chosen), point)
    for index in range(len(pool)):
        low, middle, high = (energy(index, angle) for angle in (-h, 0.0, h))
        assert slopes[index].value == pytest.approx((high - low) / (2 * h), abs=1e-5)
        assert curvatures[index].value == pytest.approx((high - 2 * middle + low) / h**2, abs=1e-4)
    ranks = pool.ranks(np.ones(len(pool)), np.full(len(pool), 0.5), chosen)
    by_text = dict(zip(texts, ranks.tolist(), strict=True))
    assert by_text["p0-2"] == pytest.approx(1 / 3)  # two gates, and the copy of an orbital more
    assert all(rank <= 1 / 4 for text, rank in by_text.items() if text[0] in "sdc")
    assert not pool.independent[[text[0] == "c" for text in texts]].any()


@pytest.mark.parametrize("name", ["H3+_0.9", *(pytest.param(name, marks=pytest.mark.slow) for name in ("h4", "beh2"))])
def test_the_coupled_pool_takes_at_most_half_of_the_gates(name: str) -> None:
    gates = []
    text = ProblemText(name=name) if name.islower() else problem_text(name)
    for pool in ("coupled", "fermionic"):
        prepared = prepare_adapt(text, AdaptSettings(pool=pool), 0)
        outcome = prepared.measure(noiseless_rounds(), lambda _: None)
        exact = prepared.facts.exact()
        assert isinstance(outcome, AdaptResult)
        assert outcome.value == pytest.approx(known(exact), abs=0.8e-3)
        gates.append(outcome.ansatz.circuit.num_nonlocal_gates())
    assert gates[0] <= gates[1] / 2


def test_the_standard_errors_of_sampled_gradients_are_correct() -> None:
    pool = ExcitationPool.of(problem_of("LiH_3_cas(2,2)"))
    ansatz, point = pool.ansatz([0]), np.array([-0.2])
    gradients = PoolDerivatives.gradients(pool)
    exact = exactly(gradients, ansatz, point)
    scores = [
        (estimate.value - right.value) / estimate.standard_error
        for seed in range(60)
        for estimate, right in zip(
            gradients.measure(ansatz, point, shot_rounds(seed), gradients.shots_of(500)), exact, strict=True
        )
    ]
    # 180 scores, correlated three by three: the standard deviation's own error is below 1 / sqrt(2 * 60) = 0.09
    assert 0.7 < np.std(scores) < 1.3


@long_form
@pytest.mark.parametrize(
    ("name", "operators", "errors"),  # exact, from a dense calculation with full re-optimization at each step
    [
        ("H2_0.735", 1, [0.0]),
        ("LiH_3_cas(2,2)", 3, [math.inf, math.inf, 0.0]),  # two in whose mixture the curvature is negative
        *short_or_long([], [("H4_1", 9, [43.9, 33.3, 22.2, 15.3, 10.9, 7.7, 5.3, 2.5, 1.42])]),
    ],
)
def test_chemical_accuracy_takes_as_many_operators_as_the_reference(
    name: str, operators: int, errors: list[float]
) -> None:
    pool = ExcitationPool.of(problem_of(name))
    result = adapt(pool, rotosolve, noiseless_rounds(), sampling=EXACT)
    found = errors_mha(pool, result, MOLECULES[name]["exact_energy"])
    assert found[:operators] == pytest.approx(errors, abs=0.06)
    assert next(count for count, each in enumerate(found, start=1) if each <= 1.6) == operators
    # the termination criterion does not use the exact energy
    assert result.converged
    assert found[-1] <= 1.0
    assert result.final.estimate.value - MOLECULES[name]["exact_energy"] == pytest.approx(found[-1] / 1e3, abs=1e-5)


@long_form
@pytest.mark.slow
@long_only  # half a minute
@pytest.mark.parametrize("kind", list(PoolKind))
def test_lithium_hydride_takes_four_operators(kind: PoolKind) -> None:
    pool = ExcitationPool.of(problem_of("LiH_1.595_fc"), kind)
    result = adapt(pool, rotosolve, noiseless_rounds(), sampling=EXACT, growth=Growth(max_operators=4))
    found = errors_mha(pool, result, MOLECULES["LiH_1.595_fc"]["exact_energy"])
    assert found == pytest.approx([5.64, 3.74, 1.98, 1.39], abs=0.06)
    assert not result.converged


def test_under_shot_noise_it_ends_within_its_error_bar_and_counts_its_resources() -> None:
    pool = ExcitationPool.of(problem_of("LiH_3_cas(2,2)"))
    seen: list[tuple[int, int]] = []
    rounds = shot_rounds(1)

    def counted(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        seen.append((sum(pub.size for pub in pubs), sum(pub.size * pub.shots for pub in pubs)))
        return rounds(pubs)

    result = adapt(pool, rotosolve, counted)
    estimate = result.final.estimate
    assert abs(estimate.value - MOLECULES["LiH_3_cas(2,2)"]["exact_energy"]) <= 1.6e-3 + 3 * estimate.standard_error
    assert (result.rounds, result.circuits, result.shots) == (len(seen), *map(sum, zip(*seen, strict=True)))


def test_gradients_within_noise_are_not_convergence() -> None:
    pool = ExcitationPool.of(problem_of("LiH_3_cas(2,2)"))
    result = adapt(pool, rotosolve, shot_rounds(0), sampling=Sampling(20, 0.02))
    assert not result.converged
    assert "noise" in result.reason


def test_gradients_within_noise_are_measured_again_with_at_most_the_shots_of_the_final_measurement() -> None:
    pool, exact = ExcitationPool.of(problem_of("LiH_3_cas(2,2)")), MOLECULES["LiH_3_cas(2,2)"]["exact_energy"]
    result = adapt(pool, rotosolve, shot_rounds(0), sampling=Sampling(200))
    assert result.converged
    estimate = result.final.estimate
    assert estimate.value == pytest.approx(exact, abs=1.6e-3 + 3 * estimate.standard_error)
    imprecise = adapt(pool, rotosolve, shot_rounds(0), sampling=Sampling(200, 0.02))
    assert not imprecise.converged


@pytest.mark.parametrize("pool", list(PoolName))
def test_it_leaves_a_saddle_by_curvature(pool: PoolName) -> None:
    """All slopes of singles vanish at Hartree-Fock, 66 mHa above the lowest singlet of NaH."""
    prepared = prepare_adapt(problem_text("NaH_4.5"), AdaptSettings(orbitals="given", pool=pool), 0)
    outcome = prepared.measure(noiseless_rounds(), lambda _: None)
    exact = prepared.facts.exact()
    assert outcome.converged
    assert outcome.value == pytest.approx(known(exact), abs=1.6e-3 + 3 * outcome.standard_error)
    assert outcome.spin_squared == pytest.approx(0.0, abs=3 * (outcome.spin_squared_error or 0.0))
    if pool is PoolName.FERMIONIC:  # of a single in both spins
        assert outcome.spin_squared_error == 0.0
    assert any(row["curvature"] is not None and row["curvature"] < 0 for row in outcome.table)


def test_derivatives_take_fewer_circuits_and_shots_where_terms_commute() -> None:
    pool = ExcitationPool.tied(problem_of("H4_1"))
    ansatz, point = pool.ansatz([0, 3]), np.array([0.1, -0.2])
    shots, variances, circuits = [], [], []
    for grouping in (Grouping.QUBIT_WISE, Grouping.FULLY_COMMUTING):
        gradients = PoolDerivatives.gradients(pool, grouping)
        estimates = gradients.measure(ansatz, point, shot_rounds(0), gradients.shots_of(4000))
        circuits.append(len(gradients.groups_measured))
        shots.append(sum(gradients.shots_of(4000)))
        variances.append(sum(each.variance for each in estimates))
    assert circuits[0] > 5 * circuits[1]
    products = np.multiply(shots, variances)  # shots for equal variance
    assert products[1] < 0.8 * products[0]


def test_a_failed_gradient_ends_the_run() -> None:
    def losing(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        return [MeasuredPub(pub_points(pub), tuple(FailedPoint("gone") for _ in range(pub.size))) for pub in pubs]

    with pytest.raises(JobFailed, match="gone"):
        adapt(ExcitationPool.of(problem_of("H2_0.735")), rotosolve, losing)


@pytest.mark.parametrize(("setting", "value"), [("tolerance", 0.0), ("tolerance", float("nan")), ("max_operators", 0)])
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    settings: dict[str, Any] = {setting: value}
    with pytest.raises(InputError) as caught:
        Growth(**settings)
    assert caught.value.field == setting


def test_a_molecule_that_needs_no_operator_has_converged() -> None:
    fluoride = hl.problem("F 0 0 0; H 0 0 0.9", active_space=(2, 2))
    found = prepare_adapt(fluoride, AdaptSettings(active_space=(2, 2), precision=5e-3), 1).measure(
        shot_rounds(1), lambda _: None
    )
    assert (found.converged, found.parameters, found.table) == (True, (), ())
