"""The picture of a result, for any bytes: an output blob may be anything."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.histogram import LONGEST_LABEL, MOST_BARS, histogram_of

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["Display", "Count"]), inner),
    max_leaves=8,
)


def results(histogram: object) -> bytes:
    return json.dumps({"Results": [{"Histogram": histogram}]}).encode()


@given(st.dictionaries(st.integers(0, 2**29), st.integers(0, 10_000), min_size=1, max_size=50))
def test_no_shot_is_lost_between_the_bars_and_the_rest(counts: dict[int, int]) -> None:
    shown = histogram_of(results([{"Display": str(bits), "Count": count} for bits, count in counts.items()]))
    assert shown is not None
    assert len(shown.bars) == min(MOST_BARS, len(counts))
    assert len(shown.bars) + shown.others == len(counts)
    assert sum(bar.weight for bar in shown.bars) + shown.others_weight == sum(counts.values())
    assert [bar.weight for bar in shown.bars] == sorted(counts.values(), reverse=True)[:MOST_BARS]
    assert all(0 <= bar.share <= 1 for bar in shown.bars)


@given(st.binary() | JSON.map(lambda document: json.dumps(document).encode()) | JSON.map(results))
def test_bytes_of_any_kind_have_a_picture_or_none(output: bytes) -> None:
    shown = histogram_of(output)
    assert shown is None or all(0 <= bar.share <= 1 for bar in shown.bars)


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
def test_outcomes_that_are_none_have_no_picture(output: bytes) -> None:
    assert histogram_of(output) is None


@pytest.mark.parametrize(
    ("display", "label"),
    [("[0, 1, 1]", "011"), ("(0, 1)", "(0, 1)"), ("1", "1"), ("x" * 99, "x" * 19 + "…" + "x" * 19)],
)
def test_an_outcomes_label_is_its_bits_and_never_long(display: str, label: str) -> None:
    shown = histogram_of(results([{"Display": display, "Count": 1}]))
    assert shown is not None
    assert [bar.label for bar in shown.bars] == [label]
    assert len(label) <= LONGEST_LABEL


def test_ionqs_chances_are_read_too() -> None:
    shown = histogram_of(b'{"histogram": {"0": 0.25, "3": 0.75}}')
    assert shown is not None
    assert [(bar.label, bar.weight, bar.share) for bar in shown.bars] == [("3", 0.75, 1.0), ("0", 0.25, 1 / 3)]


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
    shown = histogram_of(output)
    assert (shown and [(bar.label, bar.weight) for bar in shown.bars]) == bars
