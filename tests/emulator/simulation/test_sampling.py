"""Counts: exact ones equal the distribution, sampled ones follow it and are repeatable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.model.program import MEASURE, Instruction, OutputList, Program
from hybridloop.emulator.simulation.sampling import draw_shots, sampling_seed, scale_to_shots
from hybridloop.emulator.simulation.simulator import Simulator

weights = st.lists(st.floats(0, 1), min_size=1, max_size=32).filter(lambda values: sum(values) > 1e-3)


@given(weights, st.integers(1, 10_000))
def test_exact_counts_sum_to_the_shots_and_differ_by_less_than_one_from_the_expectation(
    values: list[float], shots: int
) -> None:
    probabilities = np.array(values) / sum(values)
    seen, counts, order = scale_to_shots(probabilities, shots)
    assert counts.sum() == shots == order.size
    assert (np.bincount(order, minlength=counts.size) == counts).all()
    full = np.zeros(len(values))
    full[seen] = counts
    # 1 for the remainder; quantising 32 probabilities to 1e-7 moves 10,000 shots by less than 0.04
    assert np.abs(full - probabilities * shots).max() < 1.04


@given(st.lists(st.integers(0, 300_000), max_size=31), st.integers(1, 10_000))
def test_rounding_noise_does_not_change_exact_counts(parts: list[int], shots: int) -> None:
    probabilities = np.array([*parts, 10_000_000 - sum(parts)]) / 1e7
    noise = np.random.default_rng(1).uniform(-1e-12, 1e-12, probabilities.size)
    quiet, noisy = scale_to_shots(probabilities, shots), scale_to_shots(np.clip(probabilities + noise, 0, 1), shots)
    assert [part.tolist() for part in quiet] == [part.tolist() for part in noisy]


def test_ties_go_to_the_smaller_outcome() -> None:
    seen, counts, _ = scale_to_shots(np.full(4, 0.25), 6)
    assert dict(zip(seen.tolist(), counts.tolist(), strict=True)) == {0: 2, 1: 2, 2: 1, 3: 1}


def test_drawn_shots_follow_the_distribution() -> None:
    probabilities = np.array([0.1, 0.0, 0.6, 0.3])
    seen, counts, order = draw_shots(probabilities, 100_000, np.random.default_rng(5))
    assert seen.tolist() == [0, 2, 3]
    assert (np.bincount(order) == counts).all()
    # at most five standard deviations of a count of 100,000 shots: 5·sqrt(1e5·0.6·0.4) = 775
    np.testing.assert_allclose(counts, probabilities[seen] * 100_000, atol=775)


def test_the_sampling_seed_depends_on_both_parts_and_not_on_the_machine() -> None:
    # the first value comes from `printf '0\nab' | b2sum -l 64`, halved
    assert sampling_seed(0, "ab") == int("8c4a30dbf866ef41", 16) >> 1
    assert len({sampling_seed(0, "ab"), sampling_seed(1, "ab"), sampling_seed(0, "ac")}) == 3


def bits(*instructions: Instruction, results: int) -> Program:
    output = OutputList(tuple(range(results)))
    return Program(instructions, output, 4, results)


def test_the_same_seed_gives_the_same_shots_also_with_mid_circuit_measurements() -> None:
    program = bits(
        Instruction("h", (0,)),
        Instruction(MEASURE, (0,), result=0),
        Instruction("reset", (0,)),
        Instruction("h", (0,)),
        Instruction(MEASURE, (0,), result=1),
        results=2,
    )
    first = Simulator().run(program, shots=400, seed=3, exact=False)
    assert first == Simulator().run(program, shots=400, seed=3, exact=False)
    assert first != Simulator().run(program, shots=400, seed=4, exact=False)
    assert set(first.outcomes) == {0, 1, 2, 3}
    # five standard deviations: 5·sqrt(400·1/4·3/4) = 43
    np.testing.assert_allclose(first.counts, 100, atol=43)


@pytest.mark.parametrize("exact", ["exact", "drawn"])
def test_only_the_measured_qubits_count_and_each_result_has_its_own_bit(exact: str) -> None:
    program = bits(
        Instruction("x", (7,)),
        Instruction("h", (3,)),
        Instruction(MEASURE, (7,), result=4),
        Instruction(MEASURE, (5,), result=0),
        results=5,
    )
    measured = Simulator().run(program, shots=50, seed=1, exact=exact == "exact")
    assert (measured.outcomes, measured.counts) == ((0b10000,), (50,))


def test_a_wide_register_is_sampled_without_computing_its_distribution() -> None:
    instructions = [Instruction("x", (q,)) for q in range(0, 22, 2)]
    instructions += [Instruction(MEASURE, (q,), result=q) for q in range(22)]
    measured = Simulator().run(bits(*instructions, results=22), shots=10, seed=1, exact=False)
    assert measured.outcomes == (sum(1 << q for q in range(0, 22, 2)),)
