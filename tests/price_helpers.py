"""Amounts that a test knows to be known."""


def known(amount: float | None) -> float:
    """Return the amount; fails if it is None."""
    assert amount is not None
    return amount
