"""Amounts and others that a test knows to be known."""

from typing import TypeVar

T = TypeVar("T")


def known(amount: T | None) -> T:
    """Return the amount; fails if it is None."""
    assert amount is not None
    return amount
