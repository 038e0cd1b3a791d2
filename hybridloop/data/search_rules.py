"""Version of the rules that choose start and optimizer where the settings leave them open."""

from __future__ import annotations

from collections.abc import Mapping

SEARCH = "search rules"  # key among a run's recorded versions
SEARCH_RULES = 7
GROUPINGS = "measurement groups"  # key among them: how terms were grouped, where the settings left it open


def search_rules(recorded: Mapping[str, str]) -> int:
    """Return the search rules of a run by its recorded versions, so that a resumed run asks for the same points."""
    return int(recorded.get(SEARCH, "1"))


def recorded_groupings(recorded: Mapping[str, str]) -> tuple[str, ...]:
    """Return the groupings that were chosen for a run, one for each point of a scan; none if they were not recorded.

    The choice depends on tables of prices and error rates, which a later version may have brought up to date.
    """
    return tuple(recorded[GROUPINGS].split(", ")) if GROUPINGS in recorded else ()
