"""`Steps`: the callable that records an algorithm's classical iterations, so that a resume repeats none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol


class Steps(Protocol):
    """Return the recorded values of a step, or compute and record them.

    `name` is the step's place in the algorithm, and belongs to one call. Values are a JSON object; floats keep their
    last bit. Another machine's arithmetic thus changes nothing of a step that is recorded.
    """

    def __call__(self, name: str, compute: Callable[[], dict[str, Any]], /) -> dict[str, Any]: ...


def compute_each(_: str, compute: Callable[[], dict[str, Any]], /) -> dict[str, Any]:
    """Compute a step without a record; the values are as a record returns them."""
    values: dict[str, Any] = json.loads(json.dumps(compute(), allow_nan=False))
    return values
