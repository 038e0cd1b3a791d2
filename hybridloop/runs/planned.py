"""Expected jobs and shots of the last plan of a request, for a warning of a run that takes far more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

from hybridloop.runtime.json_cache import keep, read_cached
from hybridloop.runtime.text_table import count_text
from hybridloop.settings import LIMITS, ProblemText, RunSettings

CACHE = "plans"
EXCESS = 2  # a plan leaves out retries and a machine's noise, so less is no surprise


@dataclass(frozen=True, slots=True)
class PlannedEffort:
    """Jobs and shots that a plan expects."""

    jobs: int
    shots: int

    def warn(self, jobs: int, shots: int) -> str | None:
        """Return a warning for a run that has taken above `EXCESS` times its plan; None for others."""
        for name, taken, planned in (("shots", shots, self.shots), ("jobs", jobs, self.jobs)):
            if taken > EXCESS * planned:
                return f"this run has taken {taken:,} {name}, above twice its plan of {planned:,}"
        return None


@dataclass(frozen=True, slots=True)
class MissingEffort:
    """Effort that a run is expected to miss: a plan of the whole run, less what it has taken.

    `cost` is the expected amount by unit, empty where the price is unknown.
    """

    run: str
    status: str
    jobs: int
    shots: int
    cost: Mapping[str, float]
    taken_jobs: int
    taken_shots: int

    def __str__(self) -> str:
        """Return the text that the command line prints."""
        price = ", ".join(f"{amount:,.2f} {unit}" for unit, amount in self.cost.items()) or "at an unknown price"
        taken = f"{count_text(self.taken_jobs, 'job')}, {count_text(self.taken_shots, 'shot')}"
        more = f"about {count_text(self.jobs, 'job')}, {count_text(self.shots, 'shot')}, {price}"
        missing = more if self.shots else "nothing"
        return f"run {self.run} is {self.status}\n  taken    {taken}\n  missing  {missing}\nNothing was started."


def store_plan(algorithm: str, problem: ProblemText, settings: RunSettings, effort: PlannedEffort) -> None:
    """Keep the effort of a request for later processes, in place of an earlier one."""
    keep(CACHE, _key(algorithm, problem, settings), asdict(effort))


def planned_effort(algorithm: str, problem: ProblemText, settings: RunSettings) -> PlannedEffort | None:
    """Return the effort kept for a request; None if it was not planned in this state folder."""
    with suppress(TypeError, KeyError, ValueError):  # of another program
        kept = read_cached(CACHE, _key(algorithm, problem, settings))
        return PlannedEffort(int(kept["jobs"]), int(kept["shots"]))
    return None


def _key(algorithm: str, problem: ProblemText, settings: RunSettings) -> str:
    """Return the key of a request: its seed and its limits change no plan."""
    chosen = settings.model_dump(mode="json", exclude={*LIMITS, "seed"})
    request = json.dumps([algorithm, problem.model_dump(), chosen], sort_keys=True)
    return hashlib.sha256(request.encode()).hexdigest()
