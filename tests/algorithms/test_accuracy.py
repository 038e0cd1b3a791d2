"""Accuracy bounds of the benchmarks, in their short form."""

from __future__ import annotations

import pytest

from benchmarks.accuracy import ROWS
from tests.long_form import IS_LONG, long_form


# bounds on time are checked by `make bench` only
@pytest.mark.slow
@long_form
@pytest.mark.parametrize("row", sorted(set(ROWS) - {"speeds"}))
def test_an_accuracy_bound_is_kept(row: str) -> None:
    missed = [str(each) for each in ROWS[row](not IS_LONG) if not each.is_kept]
    assert not missed
