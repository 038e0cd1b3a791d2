"""Expected jobs and shots of the last plan of a request, for a warning of a run that takes far more."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from hybridloop.runtime.paths import home
from hybridloop.settings import LIMITS, ProblemText, RunSettings

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


def store_plan(algorithm: str, problem: ProblemText, settings: RunSettings, effort: PlannedEffort) -> None:
    """Store the effort of a request in the state folder, in place of an earlier one."""
    path = _path(algorithm, problem, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(effort)), "utf-8")


def planned_effort(algorithm: str, problem: ProblemText, settings: RunSettings) -> PlannedEffort | None:
    """Return the stored effort of a request; None if it was not planned in this state folder."""
    try:
        return PlannedEffort(**json.loads(_path(algorithm, problem, settings).read_text("utf-8")))
    except (OSError, ValueError):
        return None


def _path(algorithm: str, problem: ProblemText, settings: RunSettings) -> Path:
    """Return the file of a request: its seed and its limits change no plan."""
    chosen = settings.model_dump(mode="json", exclude={*LIMITS, "seed"})
    request = json.dumps([algorithm, problem.model_dump(), chosen], sort_keys=True)
    return home() / "plans" / f"{hashlib.sha256(request.encode()).hexdigest()}.json"
