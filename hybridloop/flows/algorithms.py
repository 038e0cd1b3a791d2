"""Prefect flows of the algorithms, as deployments name them: `vqe`, `adapt`, and the others of the table."""

from __future__ import annotations

from typing import Any

from hybridloop.descriptions import ALGORITHMS
from hybridloop.flows.in_prefect.algorithm_run import algorithm_flow


def __getattr__(name: str) -> Any:
    """Make a flow when it is first used: all of them would take a fifth of a second."""
    if name.startswith("_") or name not in ALGORITHMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()[name] = algorithm_flow(ALGORITHMS[name])
    return made
