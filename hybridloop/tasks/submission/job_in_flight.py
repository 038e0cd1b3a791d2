"""Job in flight: a job of a started round, with the phase of its latest attempt."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hybridloop.algorithms.rounds import Counts
from hybridloop.journal import Job
from hybridloop.tasks.submission.jobs import JobSpec


class JobPhase(enum.IntEnum):
    """Phase of a job's latest attempt, in order of progress."""

    INTENDED = enum.auto()  # recorded, and not sent
    UNCLEAR = enum.auto()  # recorded by an earlier process, which may have sent it
    ACCEPTED = enum.auto()  # known to the service
    FOUND_ENDED = enum.auto()  # sent by an earlier process, and ended before this one asked for it
    ENDING = enum.auto()  # its end was listed: its result is being read, or its failure judged
    DONE = enum.auto()  # its counts are known
    LOST = enum.auto()  # given up: its point has no counts


TRANSITIONS: Mapping[JobPhase, frozenset[JobPhase]] = {
    JobPhase.INTENDED: frozenset({JobPhase.ACCEPTED, JobPhase.FOUND_ENDED}),
    JobPhase.UNCLEAR: frozenset({JobPhase.ACCEPTED, JobPhase.FOUND_ENDED}),
    JobPhase.ACCEPTED: frozenset({JobPhase.ENDING}),
    JobPhase.FOUND_ENDED: frozenset({JobPhase.ENDING}),
    JobPhase.ENDING: frozenset({JobPhase.INTENDED, JobPhase.DONE, JobPhase.LOST}),  # INTENDED: the next attempt
    JobPhase.DONE: frozenset(),
    JobPhase.LOST: frozenset(),
}
_RECORDED = {"intended": JobPhase.UNCLEAR, "submitted": JobPhase.UNCLEAR, "done": JobPhase.DONE, "lost": JobPhase.LOST}


@dataclass(slots=True)
class JobInFlight:
    """A job of the round with its latest attempt; `lost` is the reason if it was given up."""

    spec: JobSpec
    session: int = -1
    phase: JobPhase = JobPhase.INTENDED
    container: str = ""
    counts: tuple[Counts, ...] | None = None  # of each slice
    lost: str = ""
    error: Exception | None = None  # that ends the round once its other jobs have ended
    failures: int = 0
    first_failure_at: float = 0.0
    listed: str = ""  # its status when the service listed it last
    known_at: float | None = None  # when that was a known status
    asked_at: float = 0.0  # when it was asked for by its id, because no list had it

    @classmethod
    def from_record(cls, spec: JobSpec, record: Job) -> JobInFlight:
        """Return the job as an earlier process recorded it."""
        phase = _RECORDED[record.state]
        lost = record.reason if phase is JobPhase.LOST else ""
        return cls(spec, record.session, phase, counts=record.counts, lost=lost)

    def move(self, phase: JobPhase) -> None:
        """Enter the next phase. Raises RuntimeError if the table does not permit this transition."""
        if phase not in TRANSITIONS[self.phase]:
            raise RuntimeError(f"job {self.spec.id} can't go from phase {self.phase.name} to {phase.name}")
        self.phase = phase

    def begin_attempt(self, spec: JobSpec, session: int) -> None:
        """Replace the failed attempt with the next one, which the journal has as intended."""
        self.move(JobPhase.INTENDED)
        self.spec, self.session, self.container, self.listed = spec, session, "", ""
        self.known_at, self.asked_at = None, 0.0

    def ended(
        self, state: str, billed: Mapping[str, float] | None, reason: str = "", counts: tuple[Counts, ...] | None = None
    ) -> Job:
        """Return the journal's record of how this attempt ended."""
        return replace(self.spec.intent(self.session), state=state, counts=counts, reason=reason, billed=billed)
