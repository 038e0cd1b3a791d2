"""Reason to doubt a value: with one, nothing is claimed of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reason to doubt a value: a clause that stands in the outcome's reason, and what it rests on, with a remedy."""

    headline: str
    explanation: str

    def __str__(self) -> str:
        """Return the warning for the user."""
        return f"{self.headline}: {self.explanation}"
