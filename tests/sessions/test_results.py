"""Results as counts: bits in their places, nothing lost, nothing made up."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.algorithms.rounds import Counts
from hybridloop.sessions.results import UnreadableResult, merge_counts, read_results_v2, spread

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


@given(bitstrings)
def test_merging_counts_with_themselves_doubles_them(rows: dict[str, int]) -> None:
    counts = Counts.from_bitstrings(rows)
    assert merge_counts([counts, counts]).bitstrings() == {key: 2 * n for key, n in sorted(rows.items())}


@given(bitstrings, st.data())
def test_measured_bits_come_to_their_classical_bits_and_the_others_read_zero(
    rows: dict[str, int], data: st.DataObject
) -> None:
    width = len(next(iter(rows)))
    wide = data.draw(st.integers(width, width + 9))
    positions = sorted(data.draw(st.permutations(range(wide)))[:width])
    spreaded = spread(Counts.from_bitstrings(rows), positions, wide).bitstrings()
    for key, n in rows.items():
        full = ["0"] * wide
        for bit, position in zip(reversed(key), positions, strict=True):
            full[wide - 1 - position] = bit
        assert spreaded["".join(full)] == n
    assert list(spreaded) == sorted(spreaded)


def test_outcomes_with_a_lost_qubit_are_left_out() -> None:
    histogram = [{"Outcome": [0, 1], "Count": 7}, {"Outcome": ["-", 1], "Count": 2}, {"Outcome": [2, 1], "Count": 1}]
    data = json.dumps({"Results": [{"Histogram": histogram}]}).encode()
    assert read_results_v2(data, 2, exact=False, shots=10).bitstrings() == {"01": 7}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"Results": []}',
        b'{"Results": [{"Histogram": []}]}',
        b'{"Results": [{"Histogram": [{"Outcome": [0, 1, 1], "Count": 5}]}]}',
        b'{"Results": [{"Histogram": [{"Outcome": [0, 1], "Count": 11}]}]}',
        b'{"Results": [{"Histogram": [{"Outcome": [0, 1], "Count": "many"}]}]}',
    ],
)
def test_what_is_no_result_of_this_program_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableResult):
        read_results_v2(data, 2, exact=False, shots=10)
