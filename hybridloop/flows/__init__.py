"""Prefect flows: they compose tasks and algorithms, and compute nothing themselves."""

from __future__ import annotations

from typing import Any

from hybridloop.descriptions import ALGORITHMS, load


def load_flow(algorithm: str) -> Any:
    """Return the flow of an algorithm, by the name that its runs have in the journal."""
    return load(ALGORITHMS[algorithm].flow)
