"""Results as counts: every bit in its place, and the right number of shots."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.algorithms.rounds import Counts, merge_counts
from hybridloop.targets import find_target
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey
from hybridloop.tasks.submission.jobs import JobSpec
from hybridloop.tasks.submission.results import (
    UnreadableResult,
    expand_bits,
    largest_remainder,
    read_counts,
    read_results_v2,
)

bitstrings = st.integers(1, 19).flatmap(
    lambda n: st.dictionaries(st.text("01", min_size=n, max_size=n), st.integers(1, 50), min_size=1, max_size=8)
)


def document(rows: dict[str, int]) -> bytes:
    histogram = [{"Outcome": [int(b) for b in key], "Display": key, "Count": n} for key, n in rows.items()]
    return json.dumps({"DataFormat": "microsoft.quantum-results.v2", "Results": [{"Histogram": histogram}]}).encode()


@given(bitstrings)
def test_a_histogram_reads_back_as_it_was_written(rows: dict[str, int]) -> None:
    width = len(next(iter(rows)))
    counts = read_results_v2(document(rows), width, exact=False, shots=sum(rows.values()))
    assert counts.bitstrings() == dict(sorted(rows.items()))


@given(st.integers(1, 80).flatmap(lambda n: st.lists(st.text("01", min_size=n, max_size=n), min_size=1, max_size=12)))
def test_shots_are_counted_by_outcome_in_ascending_order(shots: list[str]) -> None:
    width = len(shots[0])
    packed = [Counts.from_bitstrings({shot: 1}).outcomes[0] for shot in shots]
    counts = Counts.from_shots(width, np.array(packed))
    assert list(counts.bitstrings().items()) == sorted(Counter(shots).items())
    assert [array.dtype.name for array in (counts.outcomes, counts.counts)] == ["uint8", "int64"]


@given(bitstrings)
def test_merging_counts_with_themselves_doubles_them(rows: dict[str, int]) -> None:
    counts = Counts.from_bitstrings(rows)
    assert merge_counts([counts, counts]).bitstrings() == {key: 2 * n for key, n in sorted(rows.items())}


@given(bitstrings, st.data())
def test_measured_qubits_set_their_classical_bits_and_other_bits_are_zero(
    rows: dict[str, int], data: st.DataObject
) -> None:
    width = len(next(iter(rows)))
    wide = data.draw(st.integers(width, width + 9))
    positions = sorted(data.draw(st.permutations(range(wide)))[:width])
    spreaded = expand_bits(Counts.from_bitstrings(rows), positions, wide).bitstrings()
    for key, n in rows.items():
        full = ["0"] * wide
        for bit, position in zip(reversed(key), positions, strict=True):
            full[wide - 1 - position] = bit
        assert spreaded["".join(full)] == n
    assert list(spreaded) == sorted(spreaded)


@given(
    st.dictionaries(st.text("01", min_size=3, max_size=3), st.floats(1e-6, 1.0), min_size=1),
    st.integers(1, 10_000),
)
def test_a_distribution_becomes_counts_that_sum_to_the_shots_each_within_one_of_its_share(
    weights: dict[str, float], shots: int
) -> None:
    total = sum(weights.values())
    counts = largest_remainder(weights, shots)
    assert sum(counts.values()) == shots
    assert all(abs(counts.get(bits, 0) - weight / total * shots) < 1 + 1e-6 for bits, weight in weights.items())


@pytest.mark.parametrize("weights", [(0.5, 0.5), (1 / 3, 1 / 3, 1 / 3), (0.1, 0.2, 0.7), (0.25, 0.25, 0.25, 0.25)])
@pytest.mark.parametrize("shots", [1, 7, 1000, 1001])
def test_rounding_in_a_simulation_does_not_change_counts(weights: tuple[float, ...], shots: int) -> None:
    clean = {f"{k:02b}": weight for k, weight in enumerate(weights)}
    noisy = {bits: weight + 1e-12 * (-1) ** k for k, (bits, weight) in enumerate(clean.items())}
    assert largest_remainder(noisy, shots) == largest_remainder(clean, shots)


def test_counts_of_an_exact_target_sum_to_the_shots_with_any_rounding() -> None:
    histogram = [{"Outcome": [k & 1, k >> 1], "Count": 2.5} for k in range(4)]
    data = json.dumps({"Results": [{"Histogram": histogram}]}).encode()
    assert read_results_v2(data, 2, exact=True, shots=11).bitstrings() == {"00": 3, "01": 3, "10": 3, "11": 2}


def test_registers_of_a_tuple_are_joined_the_highest_first() -> None:
    data = json.dumps({"Results": [{"Histogram": [{"Outcome": {"Item1": [1, 0], "Item2": [1]}, "Count": 4}]}]}).encode()
    assert read_results_v2(data, 3, exact=False, shots=4).bitstrings() == {"101": 4}


def test_outcomes_with_a_lost_qubit_are_left_out() -> None:
    histogram = [{"Outcome": [0, 1], "Count": 7}, {"Outcome": ["-", 1], "Count": 2}, {"Outcome": [2, 1], "Count": 1}]
    data = json.dumps({"Results": [{"Histogram": histogram}]}).encode()
    assert read_results_v2(data, 2, exact=False, shots=10).bitstrings() == {"01": 7}


def test_a_result_whose_shots_all_lost_a_qubit_has_no_counts() -> None:
    data = json.dumps({"Results": [{"Histogram": [{"Outcome": ["-", 1], "Count": 10}]}]}).encode()
    counts = read_results_v2(data, 2, exact=False, shots=10)
    assert (counts.num_bits, counts.shots, counts.bitstrings()) == (2, 0, {})


def test_fewer_counts_than_shots_are_read_only_where_shots_may_have_failed() -> None:
    key = JobKey(RoundKey("3f0d3a57-64a1-4c5f-8f6b-3a9d5a1a7a01", "main", 0), 0, 0, 0)
    spec, target = JobSpec(key, 0, 10, 2, b"", "value"), find_target("quantinuum.sim.h2-1e")
    assert read_counts(document({"01": 7}), spec, target, is_partial=True)[0].bitstrings() == {"01": 7}
    assert read_counts(document({}), spec, target, is_partial=True)[0].shots == 0
    with pytest.raises(UnreadableResult, match="7 counts for 10 shots"):
        read_counts(document({"01": 7}), spec, target)
    listed = {"Histogram": [{"Outcome": [0, 1], "Count": 7}], "Shots": [[1, 1]] * 7}
    with pytest.raises(UnreadableResult, match="its histogram and its list of shots differ"):
        read_counts(json.dumps({"Results": [listed]}).encode(), spec, target, is_partial=True)
    with pytest.raises(UnreadableResult, match="11 counts for 10 shots"):
        read_counts(document({"01": 11}), spec, target, is_partial=True)
