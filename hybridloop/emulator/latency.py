"""How long a job takes besides its computing: queue, run, and the lag until its status says what is so."""

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
class Profile:
    """A target's medians in seconds, and the standard deviation of the logarithm of the whole."""

    queue_s: float = 0.0
    run_s: float = 0.0
    lag_s: float = 0.0
    spread: float = 0.0


class FateKind(enum.StrEnum):
    """What can befall a job that was told to fare badly."""

    FAILS = "fails"
    HANGS = "hangs"
    IS_CANCELLED = "is cancelled"


@dataclass(frozen=True, slots=True)
class Fate:
    """A job fails with a code and message (both may be null), waits for ever, or is cancelled `after_s` from its
    acceptance."""

    kind: FateKind
    code: str | None = None
    message: str | None = None
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Course:
    """A job's way besides its computing: it begins no earlier than `begins` (seconds since 1970), executes at least
    `run_s`, and is over `lag_s` before its status says so; a fate is what befalls it on the way."""

    begins: float
    run_s: float = 0.0
    lag_s: float = 0.0
    fate: Fate | None = None

    @property
    def takes_time(self) -> bool:
        """Whether it goes on after the computing."""
        return self.run_s > 0 or self.lag_s > 0

    def to_json(self) -> str:
        """The course as one JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Course:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        fate = fields.pop("fate", None)
        return cls(**fields, fate=None if fate is None else Fate(FateKind(fate.pop("kind")), **fate))


class Latency:
    """Draws jobs' courses; without profiles only `queues`, set by hand, take time.

    `queues` has the seconds for which other people's jobs are ahead at a target; such a queue replaces the profile's.
    """

    def __init__(self, profiles: Mapping[str, Profile], seed: int) -> None:
        self.queues: Mapping[str, float] = {}
        self._profiles = profiles
        self._seed = seed

    def course_of(self, target: str, job_id: str, accepted: float) -> Course:
        """The course of a job accepted at that moment: the same for the same service seed and job id.

        All three parts are longer or shorter by one factor, whose logarithm is normal with the target's spread.
        """
        profile = self._profiles.get(target, Profile())
        factor = math.exp(profile.spread * random.Random(f"{self._seed}/{job_id}").gauss(0.0, 1.0))
        queue_s = self.queues.get(target, profile.queue_s)
        return Course(accepted + factor * queue_s, factor * profile.run_s, factor * profile.lag_s)


def recorded_profiles() -> Mapping[str, Profile]:
    """The profiles that come with the package, by target id."""
    text = resources.files("hybridloop.emulator").joinpath("latency.json").read_text(encoding="utf-8")
    entries: dict[str, dict[str, Any]] = json.loads(text)["targets"]
    return {target: Profile(**_resolved(entry, entries)) for target, entry in entries.items()}


def _resolved(entry: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    own = {key: float(value) for key, value in entry.items() if key != "like"}
    return {**entries[entry["like"]], **own} if "like" in entry else own
