"""Formats of durations: exact texts, and the error of rounding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.runtime.durations import format_duration, format_elapsed

SIZES = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 s"),
        (0.5, "0.5 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (1799.9, "30 min"),
        (7140.0, "119 min"),
        (9000.0, "2.5 h"),
        (43_200.0, "12 h"),
        (1e6, "11.6 d"),
        (1e8, "1157.4 d"),
    ],
)
def test_a_duration_is_formatted_in_one_unit(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


@given(st.floats(0, 1e9))
def test_a_duration_in_one_unit_is_exact_to_a_tenth_of_it(seconds: float) -> None:
    number, unit = format_duration(seconds).split()
    assert abs(float(number) * SIZES[unit] - seconds) <= 0.0501 * SIZES[unit]


@given(st.floats(0, 1e9))
def test_an_elapsed_time_is_rounded_down_by_less_than_its_last_unit(seconds: float) -> None:
    words = format_elapsed(seconds).split()
    shown = sum(int(number) * SIZES[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert 0 <= seconds - shown < SIZES[words[-1]]
