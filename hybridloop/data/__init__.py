"""Data tables of the package, as JSON: built-in problems, targets, prices, QAOA angles."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def load_table(name: str) -> Any:
    """Return the parsed JSON of the table `name`.

    >>> sorted(load_table("targets"))
    ['source', 'targets']
    """
    return json.loads(resources.files("hybridloop.data").joinpath(f"{name}.json").read_text("utf-8"))
