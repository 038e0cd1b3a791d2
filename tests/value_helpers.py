"""Values of which a test knows that there is one."""

from typing import TypeVar

T = TypeVar("T")


def known(value: T | None) -> T:
    """Return the value; fails if it is None."""
    assert value is not None
    return value
