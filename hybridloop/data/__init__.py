"""Data of the package: JSON tables of problems, targets, prices, QAOA angles, live checks; words of other libraries."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

TABLES = ("problems", "binary_problems")  # of built-in problems: of energies, then binary ones


def load_table(name: str) -> Any:
    """Return the parsed JSON of the table `name`.

    >>> sorted(load_table("targets"))
    ['source', 'targets']
    """
    return json.loads(resources.files("hybridloop.data").joinpath(f"{name}.json").read_text("utf-8"))


def built_in_problem(table: str, name: str) -> dict[str, Any] | None:
    """Return the entry of a built-in problem in "problems" or "binary_problems", or of a member of a family labs-N."""
    entries = load_table(table)
    found: dict[str, Any] | None = entries.get(name.lower())
    of_length = re.fullmatch(r"labs-([1-9]\d?)", name.lower(), re.ASCII)
    if found is None and of_length and table == "binary_problems":
        length = int(of_length[1])
        title = f"Low-autocorrelation sequence of {length} spins"
        found = {**entries["labs-12"], "title": title, "variables": length, "text": json.dumps({"labs": length})}
        del found["optimum"]
    return found


def built_in_families() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the entries of the built-in problems by family and name: problems of energies, then binary ones."""
    families: dict[str, dict[str, dict[str, Any]]] = {}
    for table in TABLES:
        for name, entry in load_table(table).items():
            families.setdefault(entry["family"], {})[name] = entry
    return families
