"""Histogram of an output blob, whose bytes may be anything."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.portal.pages import MAX_BARS, MAX_LABEL_LENGTH, build_histogram

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["Display", "Count"]), inner),
    max_leaves=8,
)


def results(entries: object) -> bytes:
    return json.dumps({"Results": [{"Histogram": entries}]}).encode()


@given(st.dictionaries(st.integers(0, 2**29), st.integers(0, 10_000), min_size=1, max_size=50))
def test_bars_and_others_have_all_shots(counts: dict[int, int]) -> None:
    histogram = build_histogram(results([{"Display": str(bits), "Count": count} for bits, count in counts.items()]))
    assert histogram is not None
    assert len(histogram.bars) == min(MAX_BARS, len(counts))
    assert len(histogram.bars) + histogram.others == len(counts)
    assert sum(bar.weight for bar in histogram.bars) + histogram.others_weight == sum(counts.values())
    assert [bar.weight for bar in histogram.bars] == sorted(counts.values(), reverse=True)[:MAX_BARS]
    assert all(0 <= bar.share <= 1 for bar in histogram.bars)


@pytest.mark.parametrize("weight", [1e308, 1e16, 10**400, -1, float("nan")])
def test_weights_that_no_run_has_give_no_histogram(weight: float) -> None:
    entries = [{"Display": str(i), "Count": weight} for i in range(MAX_BARS + 4)]
    assert build_histogram(results(entries)) is None
    assert build_histogram(json.dumps({"histogram": {str(i): weight for i in range(40)}}).encode()) is None


@given(st.binary() | JSON.map(lambda document: json.dumps(document).encode()) | JSON.map(results))
def test_any_bytes_give_a_histogram_or_none(output: bytes) -> None:
    histogram = build_histogram(output)
    assert histogram is None or all(0 <= bar.share <= 1 for bar in histogram.bars)


@pytest.mark.parametrize(
    "output",
    [
        b"[" * 100_000,
        b'{"histogram": {"0": 1e999}}',
        b'{"histogram": {"0": -0.5}}',
        b'{"histogram": {"0": true}}',
        b'{"histogram": {}}',
        results([{"Display": "0", "Count": 10**400}]),
    ],
)
def test_invalid_outcomes_give_no_histogram(output: bytes) -> None:
    assert build_histogram(output) is None


@pytest.mark.parametrize(
    ("display", "label"),
    [("[0, 1, 1]", "011"), ("(0, 1)", "(0, 1)"), ("1", "1"), ("x" * 99, "x" * 19 + "…" + "x" * 19)],
)
def test_a_label_has_the_outcomes_bits_and_a_bounded_length(display: str, label: str) -> None:
    histogram = build_histogram(results([{"Display": display, "Count": 1}]))
    assert histogram is not None
    assert [bar.label for bar in histogram.bars] == [label]
    assert len(label) <= MAX_LABEL_LENGTH


def test_ionqs_probabilities_are_read() -> None:
    histogram = build_histogram(b'{"histogram": {"0": 0.25, "3": 0.75}}')
    assert histogram is not None
    assert [(bar.label, bar.weight, bar.share) for bar in histogram.bars] == [("3", 0.75, 1.0), ("0", 0.25, 1 / 3)]


@pytest.mark.parametrize(
    ("output", "bars"),
    [
        (b'{"c": ["01", "11", "01"]}', [("01", 2), ("11", 1)]),
        (b'{"ro": [[0, 1], [1, 1], [0, 1]]}', [("01", 2), ("11", 1)]),
        (b'{"a": ["0", "1"], "b": ["11", "00"]}', [("0 11", 1), ("1 00", 1)]),
        (b'{"a": ["0", "1"], "b": ["11"]}', None),
    ],
)
def test_lists_of_shots_are_counted(output: bytes, bars: list[tuple[str, int]] | None) -> None:
    histogram = build_histogram(output)
    assert (histogram and [(bar.label, bar.weight) for bar in histogram.bars]) == bars
