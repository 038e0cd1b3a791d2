"""Prefect flows: they compose tasks and algorithms, and compute nothing themselves."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load_flow(algorithm: str) -> Any:
    """Return the flow of an algorithm, by the name that its runs have in the journal."""
    return getattr(import_module(f"hybridloop.flows.{'qaoa' if algorithm == 'rqaoa' else algorithm}"), algorithm)
