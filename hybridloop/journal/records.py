"""Frozen records that the journal takes and returns. All times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridloop.data.states import State, state_of

if TYPE_CHECKING:
    from hybridloop.algorithms.rounds import Counts
    from hybridloop.errors import JournalDamaged
    from hybridloop.journal.owner import Owner

LEASE_S = 60.0
PRUNED = "pruned"  # kind of the one event of a run whose measurements were deleted
UNSETTLED = frozenset({"intended", "submitted"})  # states of jobs and pings whose end is not recorded
Settle = Callable[[Sequence[dict[str, Any]], Sequence[dict[str, Any]]], list[dict[str, Any]]]
"""Counts jobs or pings by their rows before and after a change; returns the latter with the day on which they count."""
DRAWN_KEY = {"key": "drawn"}  # in the record of a script's run whose user gave no key
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_local(settings: Mapping[str, Any]) -> bool:
    """Return whether the settings of a run's record are of a workspace of the local service."""
    workspace = settings.get("workspace")
    return isinstance(workspace, Mapping) and workspace.get("host") in _LOOPBACK


@dataclass(frozen=True, slots=True)
class FlowRunEnd:
    """End of a run in a flow run, at the flow run's start number `starts`; `cancelled` by its user before it ended."""

    flow_run: str
    run_uid: str
    starts: int
    status: str
    reason: str
    cancelled: bool
    ended_at: float


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run and its status (`hybridloop.data.states`).

    `uid` is a random UUID, `key` the user's name for it; `settings` has all that a restart needs. `owner` is the
    process that held it last and has not released it, alive or not; `epoch` counts the holders. A run that the journal
    does not have has no `created_at`.
    """

    uid: str
    key: str
    algorithm: str
    problem: str
    target: str
    seed: int
    settings: Mapping[str, Any]
    flow_run_id: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    status: str = State.NEW.value
    reason: str = ""
    result: Mapping[str, Any] | None = None
    created_at: float = 0.0
    updated_at: float = 0.0
    owner: Owner | None = None
    lease_expires_at: float | None = None
    epoch: int = 0
    stop_requested: bool = False
    resume_requested: bool = False

    @property
    def state(self) -> State:
        """State by its status."""
        return state_of(self.status)

    @property
    def is_local(self) -> bool:
        """True if the run is in a workspace of the local service, which bills nothing."""
        return is_local(self.settings)

    @property
    def has_drawn_key(self) -> bool:
        """True for a script's run whose user gave no key: its user may not know that it can be resumed."""
        return DRAWN_KEY.items() <= self.settings.items()

    @property
    def is_stored(self) -> bool:
        """True if the journal has the run."""
        return self.created_at > 0.0

    @property
    def last_seen_at(self) -> float:
        """Time of the last status, or of the last renewal of the lease if that is later."""
        return max(self.updated_at, (self.lease_expires_at or 0.0) - LEASE_S)

    def is_held(self, now: float) -> bool:
        """Return True if a process that may be alive holds the run's lease at this time, in seconds."""
        lapsed = self.lease_expires_at is not None and now >= self.lease_expires_at
        return self.owner is not None and not lapsed and not self.owner.is_known_dead()

    def is_orphaned(self, now: float) -> bool:
        """Return True if the journal has the run as started and the process that held it is gone."""
        is_started = self.state in (State.RUNNING, State.PREPARING) or (
            self.state is State.NEW and self.owner is not None
        )
        return is_started and not self.is_held(now)

    @property
    def has_begun(self) -> bool:
        """True once a process has worked on the run in a flow run or a script."""
        return self.state not in (State.NEW, State.PREPARING, State.REFUSED)


class RunLabel(NamedTuple):
    """Names and time by which a table shows and groups a run."""

    key: str
    algorithm: str
    problem: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Lease:
    """A process's hold on a run, needed for each write; a later one has a higher `epoch` and makes it invalid."""

    run_uid: str
    token: str
    epoch: int


@dataclass(frozen=True, slots=True, eq=False)
class PubRecord:
    """A PUB as requested: `points` (k, parameters) in radians, and `slots` (k, s), the angles filled into the program.

    `fingerprint` is a hash of the logical circuit and the shots. `program` is the key of the template that all its jobs
    fill in; None if each job has its own payload.
    """

    fingerprint: str
    program: str | None
    shots: int
    points: NDArray[np.float64]
    slots: NDArray[np.float64]
    measured: tuple[int, ...]
    num_clbits: int


class Slice(NamedTuple):
    """Slice of a job: it measures one point, or some shots of one. `pub`, `point` and `part` count from 0."""

    pub: int
    point: int
    part: int
    shots: int


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A job in the run's session number `session`, as it is intended or stored; `reserved` is its maximum cost by unit.

    `program` is the key of its payload; None if it fills in its PUB's program. A job of many points has its `slices`,
    is numbered by the first of them, and `program` is the key of its parameter sets, beside its PUBs' program.
    `state` is intended, submitted, done (with the counts of each slice), or failed or lost (with the reason).
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
    state: str = "intended"
    counts: tuple[Counts, ...] | None = None
    reason: str = ""
    billed: Mapping[str, float] | None = None
    slices: tuple[Slice, ...] = ()

    @property
    def parts(self) -> tuple[Slice, ...]:
        """Its slices; a job of a single point has one."""
        return self.slices or (Slice(self.pub, self.point, self.part, self.shots),)


@dataclass(frozen=True, slots=True, eq=False)
class RoundRecord:
    """A stored round: its PUBs, and the jobs of all attempts in the order of PUB, point, part, attempt.

    `shared_seed` replaces the run's seed in all its jobs; None if it was not given. Bundles do not state it.
    """

    stream: str
    sequence: int
    target: str
    pubs: tuple[PubRecord, ...]
    jobs: tuple[Job, ...]
    complete: bool
    shared_seed: int | None = None


_LIVE = frozenset({"Waiting", "Executing"})  # the service's names


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session of a run; `reason` says why it replaced the session before it, "" for the first."""

    ordinal: int
    id: str
    target: str
    status: str
    reason: str
    opened_at: float
    ended_at: float | None = None

    @property
    def is_draining(self) -> bool:
        """True if it was closed while jobs were running, so that the stored status is not the final one."""
        return self.ended_at is not None and self.status in _LIVE

    @property
    def shown_status(self) -> str:
        """Its last known status at the service; `Closed` if that was one of an open session, as while jobs run."""
        return "Closed" if self.is_draining else self.status


@dataclass(frozen=True, slots=True)
class Ping:
    """Keep-alive job number `n` of session number `session`; its `state` has the values of a round's job."""

    id: str
    session: int
    n: int
    reserved: Mapping[str, float]
    billed: Mapping[str, float] | None = None
    state: str = "intended"
    shots: int = 1


@dataclass(frozen=True, slots=True)
class Span:
    """The time in which a round or a ping was in flight; `ended_at` is None if it is not known to have ended."""

    begun_at: float
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A run's event, such as a retry or a takeover; `n` counts from 0."""

    n: int
    at: float
    kind: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Charge:
    """A job's or ping's shots, its reserved maximum cost and its billed cost (None: unknown); amounts by unit.

    `may_be_unsent` marks a ping that is not known to have ended: it may never have been sent.
    """

    shots: int
    reserved: Mapping[str, float]
    billed: Mapping[str, float] | None
    may_be_unsent: bool = False


@dataclass(frozen=True, slots=True)
class RunProgress:
    """A run's progress: its rounds, its jobs (without pings) by state, and the pings that were sent."""

    rounds: int
    rounds_complete: int
    jobs: Mapping[str, int]
    pings: int

    @property
    def has_submitted(self) -> bool:
        """True if a job or a ping was submitted."""
        return self.pings > 0 or any(number for state, number in self.jobs.items() if state != "intended")


@dataclass(frozen=True, slots=True)
class DamagedRun:
    """A run with a damaged row, which `error` names; `key` is empty if it can't be read."""

    uid: str
    key: str
    error: JournalDamaged


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Totals of a run in a list of runs: complete rounds, jobs (all attempts, without pings), pings sent."""

    rounds_complete: int
    jobs: int
    pings: int


@dataclass(frozen=True, slots=True)
class DayAmount:
    """Amounts of a run in a unit on a day; the units "jobs" and "shots" count these.

    `reserved` is for jobs in flight that were reserved on that day; `spent` counts jobs without a bill as reserved.
    """

    run_uid: str
    unit: str
    day: int
    reserved: float
    spent: float
    billed: float
