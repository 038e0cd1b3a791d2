"""Markers of tests with two forms: a short one in every run, a long one with `make test-long`."""

from __future__ import annotations

import os
from typing import TypeVar

import pytest

T = TypeVar("T")

IS_LONG = os.environ.get("HYBRIDLOOP_TESTS") == "long"
long_form = pytest.mark.long_form  # `make test-long` runs the tests with this marker
long_only = pytest.mark.long_only  # no short form: deselected in other runs, see `tests/conftest.py`


def short_or_long(short: T, long: T) -> T:
    """Return the size for the requested form of a test."""
    return long if IS_LONG else short
