"""Tests with two forms: a short one in every run, a long one with `make test-long`."""

from __future__ import annotations

import os
from typing import TypeVar

import pytest

T = TypeVar("T")

IS_LONG = os.environ.get("HYBRIDLOOP_TESTS") == "long"
long_form = pytest.mark.long_form  # `make test-long` runs what has it
long_only = pytest.mark.long_only  # has no short form: other runs leave it out, see `tests/conftest.py`


def short_or_long(short: T, long: T) -> T:
    """The size of a test in the form that was asked for."""
    return long if IS_LONG else short
