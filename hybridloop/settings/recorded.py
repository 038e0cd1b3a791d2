"""The record of a run that was begun before, as its preparation takes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Recorded:
    """The choices for a run when it was begun, and the settings by which it has ended before.

    `groupings` are the measurement groups with the least shots of a job, one for each point of a scan; empty where they
    were not recorded. Their choice depends on tables of prices and error rates, which may have changed since. `before`
    are the settings of earlier revisions of its result, in order.
    """

    groupings: tuple[str, ...] = ()
    before: tuple[Any, ...] = ()

    def of_point(self, number: int) -> Self:
        """Return it for one point of a scan."""
        return replace(self, groupings=self.groupings[number : number + 1])


NOTHING = Recorded()
