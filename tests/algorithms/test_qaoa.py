"""QAOA: fixed angles give the reference's ratios in one job; mixers, penalties and warm starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.binary import problem_kinds as qubo
from hybridloop.algorithms.binary.annealing import descend
from hybridloop.algorithms.binary.ising import ising_from_qubo
from hybridloop.algorithms.optimizers.missing_points import FAIL
from hybridloop.algorithms.qaoa.angles import with_simulated_angles
from hybridloop.algorithms.qaoa.circuit import Mixer, QaoaCircuit, qaoa_circuit
from hybridloop.algorithms.qaoa.recursive import rqaoa
from hybridloop.algorithms.qaoa.search import QaoaSearch, qaoa
from hybridloop.algorithms.rounds import Counts, MeasuredPub, RunRound, pub_points
from hybridloop.errors import InputError, JobFailed
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.algorithms.qaoa_helpers import (
    REFERENCE,
    exact_ratio,
    failing_rounds,
    max_cut_problem,
    portfolio_problem,
    probabilities,
    trained,
)

CUBIC = sorted(name for name in REFERENCE["graphs"] if name.startswith("reg3_"))


def by_formula(ansatz: QaoaCircuit) -> NDArray[np.float64]:
    """Probabilities with the standard mixer, from the exponentials instead of gates."""
    count, energies = ansatz.cost.num_variables, ansatz.cost.all_energies()
    betas, gammas = np.split(ansatz.initial_point, 2)
    state = np.full(2**count, 2 ** (-count / 2), complex)
    for beta, gamma in zip(betas, gammas, strict=True):
        state = state * np.exp(1j * gamma * energies)
        for qubit in range(count):
            pairs = state.reshape(-1, 2, 2**qubit)
            state = (np.cos(beta) * pairs - 1j * np.sin(beta) * pairs[:, ::-1, :]).reshape(-1)
    probability_vector: NDArray[np.float64] = np.abs(state) ** 2
    return probability_vector


def sampled_from(probability_vector: NDArray[np.float64], rng: np.random.Generator) -> RunRound:
    """Rounds of one job, sampled from these probabilities."""

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        ((pub,), width) = (pubs, int(probability_vector.size).bit_length() - 1)
        numbers = rng.multinomial(pub.shots, probability_vector / probability_vector.sum())
        counts = Counts.from_bitstrings({format(i, f"0{width}b"): int(n) for i, n in enumerate(numbers) if n})
        return [MeasuredPub(pub_points(pub), (counts,))]

    return run_round


def test_one_job_at_the_angles_of_the_tree_of_three_layers_samples_the_best_cut_of_all_cubic_graphs() -> None:
    """The best cut's probability is 0.10 at least, so that 1000 shots miss it once in 10^45 runs."""
    ratios = []
    for number, name in enumerate(CUBIC):
        entry, ansatz = REFERENCE["graphs"][name], trained(max_cut_problem(name), 3)
        probability_vector = by_formula(ansatz)
        if entry["n"] <= 10:  # larger circuits take seconds each
            np.testing.assert_allclose(probabilities(ansatz), probability_vector, atol=1e-9)
        ratios.append(float(probability_vector @ ansatz.problem.objective.all_energies()) / entry["max_cut"])
        assert ratios[-1] == pytest.approx(entry["fixed_angle_ratio"]["3"], abs=2e-5)
        result = qaoa(ansatz, sampled_from(probability_vector, np.random.default_rng(number)), shots=1000)
        assert result.best_value == entry["max_cut"]
        assert [(round_.circuits, round_.shots, round_.phase) for round_ in result.history] == [(1, 1000, "final")]
        exact = ratios[-1] * entry["max_cut"]
        assert abs(result.value - exact) <= 4.5 * result.standard_error  # one of 15 exceeds that once in 10^4 runs
        ratio = ansatz.problem.approximation_ratio(result.value)
        assert ratio == pytest.approx(result.value / entry["max_cut"])
        bits = [int(bit) for bit in reversed(str(result.best_bitstring))]
        assert ansatz.problem.objective.energies(bits)[0] == result.best_value
    assert len(ratios) == 15
    assert fmean(ratios) >= 0.90
    assert min(ratios) >= 0.86


@pytest.mark.parametrize("name", ["reg3w_n8_s11", "reg3w_n10_s12"])
@pytest.mark.parametrize("layers", [1, 2])
def test_angles_of_the_tree_are_within_two_percent_of_the_best_known(name: str, layers: int) -> None:
    best = REFERENCE["graphs"][name]["best_expected_cut_ratio"][str(layers)]
    assert exact_ratio(trained(max_cut_problem(name), layers)) >= best - 0.02


@pytest.mark.parametrize("layers", [*range(1, 7), pytest.param(7, marks=pytest.mark.slow)])
def test_the_ratio_of_a_ring_obeys_its_bound_for_every_number_of_layers(layers: int) -> None:
    """No angles give a ring more than (2 p + 1) / (2 p + 2), while the ring is longer than 2 p + 1."""
    ratio = exact_ratio(trained(max_cut_problem("ring_n8"), layers))
    assert 0.7 < ratio <= ((2 * layers + 1) / (2 * layers + 2) + 1e-9 if layers <= 3 else 1.0)


@given(
    matrix=st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=3), min_size=3, max_size=3),
    beta=st.floats(-3, 3),
    gamma=st.floats(-3, 3),
)
@settings(max_examples=30)
def test_a_layer_is_the_stated_exponentials(matrix: list[list[float]], beta: float, gamma: float) -> None:
    cost = ising_from_qubo(matrix)
    if max(np.abs(cost.fields).min(), *map(abs, cost.couplings.values()), 0.0) < 1e-3:
        return
    ansatz = qaoa_circuit(qubo.spin_glass(cost), layers=1)
    x = np.array([[0.0, 1.0], [1.0, 0.0]])
    mixer = np.sum([np.kron(np.kron(np.eye(2 ** (2 - i)), x), np.eye(2**i)) for i in range(3)], axis=0)
    values, vectors = np.linalg.eigh(mixer)
    phase = np.exp(1j * gamma * cost.all_energies())
    state = vectors @ (np.exp(-1j * beta * values) * (vectors.T @ (phase * np.full(8, 8**-0.5))))
    np.testing.assert_allclose(probabilities(ansatz, np.array([beta, gamma])), np.abs(state) ** 2, atol=1e-9)


@pytest.mark.parametrize("budget", range(6))
def test_the_xy_mixer_starts_from_all_feasible_states_and_conserves_the_budget(budget: int) -> None:
    rng = np.random.default_rng(budget)
    problem = qubo.portfolio(rng.normal(size=5), np.eye(5), risk_aversion=0.3, budget=budget)
    ansatz = qaoa_circuit(problem, layers=2, mixer=Mixer.XY)
    weights = np.bitwise_count(np.arange(32))
    start = probabilities(ansatz, np.zeros(4))
    np.testing.assert_allclose(start, (weights == budget) / (weights == budget).sum(), atol=1e-9)
    assert probabilities(ansatz)[weights == budget].sum() == pytest.approx(1.0)


def test_the_xy_mixer_finds_the_best_portfolio_within_its_budget() -> None:
    """Its probability is 0.12 at three layers."""
    ansatz, _ = with_simulated_angles(qaoa_circuit(portfolio_problem(), layers=3, mixer=Mixer.XY))
    result = qaoa(ansatz, shot_rounds(1), shots=1000)
    assert "penalty" not in result.reason
    assert result.best_bitstring == REFERENCE["portfolio"]["argmin"]
    assert result.best_value == pytest.approx(REFERENCE["portfolio"]["min"])
    assert exact_ratio(ansatz) > 0.7 > exact_ratio(trained(portfolio_problem(), 3))


def test_the_standard_mixer_states_the_penalty_and_its_best_assignment_is_feasible() -> None:
    result = qaoa(qaoa_circuit(portfolio_problem(), layers=1), shot_rounds(2), shots=1000)
    assert "because one asset changes the objective by at most" in result.reason
    assert str(result.best_bitstring).count("1") == 4


def test_a_warm_start_begins_near_a_local_optimum() -> None:
    problem = max_cut_problem("reg3_n8_s1")
    (bits,) = descend(problem.cost, np.random.default_rng(3).integers(0, 2, (1, 8)))
    energy = problem.cost.energies(bits)[0]
    for i in range(8):
        flipped = bits.copy()
        flipped[i] ^= 1
        assert problem.cost.energies(flipped)[0] >= energy
    ansatz = qaoa_circuit(problem, layers=1, mixer=Mixer.WARM_START, seed=3)
    start = probabilities(ansatz, np.zeros(2))
    assert start.argmax() == int("".join(map(str, bits[::-1])), 2)
    assert start.max() == pytest.approx(0.75**8)
    turned = probabilities(ansatz, np.array([0.7, 0.0]))
    np.testing.assert_allclose(turned, start, atol=1e-9)  # the first state is the mixer's own


def test_a_failed_final_job_is_repeated() -> None:
    ansatz = trained(max_cut_problem("ring_n6"), 1)
    result = qaoa(ansatz, failing_rounds(noiseless_rounds(), first=2), shots=500)
    assert result.value == pytest.approx(4.5, abs=result.rounding_bound)
    assert result.history[-1].total_shots == 1500
    assert rqaoa(ansatz.problem, failing_rounds(noiseless_rounds(), first=2)).value == 6
    with pytest.raises(JobFailed, match="8"):
        qaoa(ansatz, failing_rounds(noiseless_rounds(), first=8))
    with pytest.raises(JobFailed, match="8"):
        rqaoa(ansatz.problem, failing_rounds(noiseless_rounds(), first=8))


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: qaoa_circuit(max_cut_problem("ring_n6"), layers=1, mixer=Mixer.XY), "mixer"),
        (lambda: qaoa(qaoa_circuit(max_cut_problem("ring_n6"), layers=1), lambda _: [], shots=0), "shots"),
        (lambda: QaoaSearch(cvar=0.0), "cvar"),
        (
            lambda: QaoaSearch(extend_to=2).check(qaoa_circuit(max_cut_problem("ring_n6"), layers=2), FAIL),
            "extend_to",
        ),
        (lambda: rqaoa(max_cut_problem("ring_n6"), lambda _: [], stop_at=0), "stop_at"),
    ],
)
def test_invalid_settings_are_refused_by_name(call: Callable[[], object], field: str) -> None:
    with pytest.raises(InputError) as refused:
        call()
    assert refused.value.field == field
