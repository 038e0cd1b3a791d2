"""Data of the package: JSON tables of problems, targets, prices, QAOA angles, live checks."""

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


def built_in_families() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the entries of the built-in problems by family and name: problems of energies, then binary ones."""
    families: dict[str, dict[str, dict[str, Any]]] = {}
    for table in ("problems", "binary_problems"):
        for name, entry in load_table(table).items():
            families.setdefault(entry["family"], {})[name] = entry
    return families
