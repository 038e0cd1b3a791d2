"""Data of the package: JSON tables of problems, targets, prices, QAOA angles, live checks; rules of the search."""

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
