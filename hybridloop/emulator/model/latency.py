"""Simulated latency of jobs beside their computation: queue time, run time, and status lag.

The status lag is the time from the end of a job's execution until its status says so. Jobs may also have an injected
outcome, from the fault plan. The recorded medians and their source are in `latency.json`.
"""

from __future__ import annotations

import enum
import json
import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class LatencyProfile:
    """Latency of a target: median times in seconds, all scaled by one random factor per job.

    `spread` is the standard deviation of the factor's logarithm.
    """

    queue_s: float = 0.0
    run_s: float = 0.0
    lag_s: float = 0.0
    spread: float = 0.0


class OutcomeKind(enum.StrEnum):
    """Kinds of injected job outcomes; the values are stored."""

    FAILS = "fails"
    HANGS = "hangs"
    IS_CANCELLED = "is cancelled"


@dataclass(frozen=True, slots=True)
class InjectedOutcome:
    """Outcome of a job that the fault plan injects.

    The job fails with `code` and `message` (both may be null), stays Waiting forever, or is cancelled `after_s`
    seconds after its acceptance.
    """

    kind: OutcomeKind
    code: str | None = None
    message: str | None = None
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class JobTimeline:
    """Simulated times of a job, and its injected outcome if it has one.

    The job starts no earlier than `begins` (seconds since 1970), executes for at least `run_s`, and ends `lag_s`
    after its execution.
    """

    begins: float
    run_s: float = 0.0
    lag_s: float = 0.0
    injected: InjectedOutcome | None = None

    @property
    def takes_time(self) -> bool:
        """True if the job takes time beside its queue and its computation."""
        return self.run_s > 0 or self.lag_s > 0

    def to_json(self) -> str:
        """Return the timeline as JSON text, as it is stored; the injected outcome is under the key `fate`."""
        document = asdict(self)
        document["fate"] = document.pop("injected")
        return json.dumps(document)

    @classmethod
    def from_json(cls, text: str) -> JobTimeline:
        fields = json.loads(text)
        outcome = fields.pop("fate", None)
        injected = None if outcome is None else InjectedOutcome(OutcomeKind(outcome.pop("kind")), **outcome)
        return cls(**fields, injected=injected)


class LatencyModel:
    """Random timelines of jobs. Without profiles, only the queues in `queue_overrides_s` take time.

    `queue_overrides_s` has the seconds of other users' jobs before a target, by target id. It replaces the queue time
    of the target's profile.
    """

    def __init__(self, profiles: Mapping[str, LatencyProfile], seed: int) -> None:
        self.queue_overrides_s: Mapping[str, float] = {}
        self._profiles = profiles
        self._seed = seed

    def draw_timeline(self, target: str, job_id: str, accepted: float) -> JobTimeline:
        """Draw the timeline of a job accepted at that time; it depends only on the service's seed and the job id.

        All three parts are scaled by one log-normal factor with the target's spread.
        """
        profile = self._profiles.get(target, LatencyProfile())
        factor = math.exp(profile.spread * random.Random(f"{self._seed}/{job_id}").gauss(0.0, 1.0))
        queue_s = self.queue_overrides_s.get(target, profile.queue_s)
        return JobTimeline(accepted + factor * queue_s, factor * profile.run_s, factor * profile.lag_s)


def load_latency_profiles() -> Mapping[str, LatencyProfile]:
    """Load the profiles from `latency.json`, by target id."""
    text = resources.files("hybridloop.emulator.model").joinpath("latency.json").read_text(encoding="utf-8")
    entries: dict[str, dict[str, Any]] = json.loads(text)["targets"]
    return {target: LatencyProfile(**_resolve_entry(entry, entries)) for target, entry in entries.items()}


def _resolve_entry(entry: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return an entry's numbers; with "like", the missing ones are those of the entry that it names."""
    numbers = {key: float(value) for key, value in entry.items() if key != "like"}
    return {**entries[entry["like"]], **numbers} if "like" in entry else numbers
