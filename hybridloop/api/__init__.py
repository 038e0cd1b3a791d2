"""The public functions: flows called as functions, with everything they need started around them."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Load a function that callers find here since before it was `hybridloop.run_housekeeping`."""
    if name == "keep_house":
        from hybridloop.api.algorithms import run_housekeeping

        return run_housekeeping
    raise AttributeError(f"module 'hybridloop.api' has no attribute {name!r}")
