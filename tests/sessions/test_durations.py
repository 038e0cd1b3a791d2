"""Lengths of time read well, and are right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.sessions.durations import one_unit, two_units

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
def test_a_length_of_time_reads_well_in_one_unit(seconds: float, words: str) -> None:
    assert one_unit(seconds) == words


@given(st.floats(0, 1e9))
def test_in_one_unit_it_is_right_to_a_tenth_of_that(seconds: float) -> None:
    number, unit = one_unit(seconds).split()
    assert abs(float(number) * SIZES[unit] - seconds) <= 0.0501 * SIZES[unit]


@given(st.floats(0, 1e9))
def test_in_two_units_it_says_the_seconds_but_for_the_last_unit(seconds: float) -> None:
    words = two_units(seconds).split()
    said = sum(int(number) * SIZES[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert 0 <= seconds - said < SIZES[words[-1]]
