"""A warning about an energy below the exact one, given where it holds and only there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hybridloop.algorithms.diagnostics import below_exact


@given(st.floats(-2, 2), st.floats(1e-4, 1), st.floats(-10, 10))
def test_an_energy_more_than_three_standard_errors_below_the_exact_one_has_a_warning(
    exact: float, error: float, sigmas: float
) -> None:
    doubt = below_exact(exact + sigmas * error, error, 0.0, exact)
    if abs(sigmas + 3) > 1e-6:
        assert (doubt is not None) == (sigmas < -3)


def test_an_exact_value_below_the_exact_energy_by_more_than_rounding_has_a_warning() -> None:
    assert below_exact(-1.0009, 0.0, 1e-3, -1.0) is None
    doubt = below_exact(-1.0021, 0.0, 1e-3, -1.0)
    assert doubt is not None
    assert "2.10 mHa below" in str(doubt)
    assert below_exact(-99.0, 0.0, 0.0, None) is None  # no exact energy
