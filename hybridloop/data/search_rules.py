"""Version of the rules that choose start and optimizer where the settings leave them open."""

from __future__ import annotations

from collections.abc import Mapping

SEARCH = "search rules"  # key among a run's recorded versions
SEARCH_RULES = 6


def search_rules(recorded: Mapping[str, str]) -> int:
    """Return the search rules of a run by its recorded versions, so that a resumed run asks for the same points."""
    return int(recorded.get(SEARCH, "1"))
