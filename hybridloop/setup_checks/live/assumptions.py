"""Assumptions about Azure Quantum of the product and the local service: the table `live_checks` of the package's data.

`docs/emulator.md` names the same checks in its table of fidelity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hybridloop.data import load_table


@dataclass(frozen=True, slots=True)
class Assumption:
    """An assumption: the texts of which one is `expected`, where it is made, and the effect if it is wrong."""

    name: str
    assumed: str
    expected: tuple[str, ...]
    where: str
    effect: str


@cache
def assumptions_by_group() -> dict[str, dict[str, Assumption]]:
    """Return the assumptions of each group of checks, by name, in the order of the checks."""
    return {
        group: {
            name: Assumption(name, row["assumed"], tuple(row["expected"]), row["where"], row["effect"])
            for name, row in rows.items()
        }
        for group, rows in load_table("live_checks")["groups"].items()
    }
