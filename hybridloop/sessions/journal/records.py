"""What the journal takes and gives: frozen records. All times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hybridloop.algorithms.rounds import Counts
    from hybridloop.errors import JournalDamaged
    from hybridloop.sessions.journal.owner import Owner


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that begins: `uid` is a random UUID, `key` its user's name for it, `settings` all that starts it again."""

    uid: str
    key: str
    algorithm: str
    problem: str
    target: str
    seed: int
    settings: Mapping[str, Any]
    flow_run_id: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run and its state: created, running, converged, finished, stopped, parked, interrupted or failed.

    `owner` is who claimed it last and has not released it, alive or not; `epoch` counts the claims.
    """

    uid: str
    key: str
    algorithm: str
    problem: str
    target: str
    seed: int
    settings: Mapping[str, Any]
    flow_run_id: str | None
    versions: Mapping[str, str]
    status: str
    reason: str
    result: Mapping[str, Any] | None
    created_at: float
    updated_at: float
    owner: Owner | None
    lease_expires_at: float | None
    epoch: int
    stop_requested: bool
    resume_requested: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """A process's claim on a run: whoever writes shows it, and a later claim's `epoch` makes it worthless."""

    run_uid: str
    token: str
    epoch: int


@dataclass(frozen=True, slots=True, eq=False)
class PubRecord:
    """A PUB as it was asked: `points` (k, parameters) in radians, and `slots` (k, s), the angles as filled in.

    `fingerprint` is a hash of the logical circuit and the shots; `program` the key of the program that its jobs are
    filled from, None where each job has a payload of its own.
    """

    fingerprint: str
    program: str | None
    shots: int
    points: NDArray[np.float64]
    slots: NDArray[np.float64]
    measured: tuple[int, ...]
    num_clbits: int


@dataclass(frozen=True, slots=True)
class JobIntent:
    """A job that is to be submitted in the run's session number `session`, with what is `reserved` for it by unit.

    `program` is the key of its payload, only where that is not its PUB's.
    """

    id: str
    pub: int
    point: int
    part: int
    attempt: int
    shots: int
    program: str | None
    session: int
    reserved: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class JobRecord:
    """A job as the journal knows it: intended, submitted, done (it has counts), failed or lost."""

    id: str
    pub: int
    point: int
    part: int
    attempt: int
    shots: int
    program: str | None
    session: int
    reserved: Mapping[str, float]
    state: str
    counts: Counts | None
    reason: str
    billed: Mapping[str, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class JobOutcome:
    """What became of a job: done (with counts), failed or lost (with the reason)."""

    id: str
    state: str
    counts: Counts | None = None
    reason: str = ""
    billed: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RoundRecord:
    """A round: its PUBs, and the jobs of all attempts in the order of PUB, point, part, attempt."""

    stream: str
    sequence: int
    target: str
    pubs: tuple[PubRecord, ...]
    jobs: tuple[JobRecord, ...]
    complete: bool


_LIVE = frozenset({"Waiting", "Executing"})  # the service's own words


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session of a run: `reason` is why it followed its predecessor, "" for the first."""

    ordinal: int
    id: str
    target: str
    status: str
    reason: str
    opened_at: float
    ended_at: float | None = None

    @property
    def is_running_out(self) -> bool:
        """Whether it was closed over running jobs, so that its status was not yet the last when it was asked for."""
        return self.ended_at is not None and self.status in _LIVE


@dataclass(frozen=True, slots=True)
class Ping:
    """Job number `n` that keeps session number `session` alive, in the state that a job of a round would have."""

    id: str
    session: int
    n: int
    reserved: Mapping[str, float]
    billed: Mapping[str, float] | None = None
    state: str = "intended"
    shots: int = 1


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a round or a ping was in flight; no end where it is not known to have ended."""

    begun_at: float
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth telling that happened to a run, numbered from 0."""

    n: int
    at: float
    kind: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Charge:
    """A job's or ping's shots, the most that was set aside for it, and its bill (None: not known); amounts by unit.

    `may_be_unsent` is a ping that is not known to have ended: it may only stand by.
    """

    shots: int
    reserved: Mapping[str, float]
    billed: Mapping[str, float] | None
    may_be_unsent: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: its rounds, its jobs (pings apart) by state, and the pings that were sent."""

    rounds: int
    rounds_complete: int
    jobs: Mapping[str, int]
    pings: int


@dataclass(frozen=True, slots=True)
class DamagedRun:
    """A run of which a row that was looked at is damaged: what can be read of its name, and which row it is.

    `key` is empty where none can be read.
    """

    uid: str
    key: str
    error: JournalDamaged


@dataclass(frozen=True, slots=True)
class Effort:
    """What a list of runs tells of one: its complete rounds, its jobs (all attempts, pings apart), the pings sent."""

    rounds_complete: int
    jobs: int
    pings: int
