"""Job in flight: a job of a started round, with the phase of its latest attempt."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from hybridloop.algorithms.rounds import Counts
from hybridloop.journal import Job
from hybridloop.tasks.submission.jobs import JobSpec


class Phase(enum.IntEnum):
    """Phase of a job's latest attempt, in order of progress."""

    INTENDED = enum.auto()  # recorded, and not sent
    UNCLEAR = enum.auto()  # recorded by an earlier process, which may have sent it
    ACCEPTED = enum.auto()  # known to the service
    FOUND_ENDED = enum.auto()  # sent by an earlier process, and ended before this one asked for it
    ENDING = enum.auto()  # its end was listed: its result is being read, or its failure judged
    DONE = enum.auto()  # its counts are known
    LOST = enum.auto()  # given up: its point has no counts


TRANSITIONS: Mapping[Phase, frozenset[Phase]] = MappingProxyType(
    {
        Phase.INTENDED: frozenset({Phase.ACCEPTED}),
        Phase.UNCLEAR: frozenset({Phase.ACCEPTED, Phase.FOUND_ENDED}),
        Phase.ACCEPTED: frozenset({Phase.ENDING}),
        Phase.FOUND_ENDED: frozenset({Phase.ENDING}),
        Phase.ENDING: frozenset({Phase.INTENDED, Phase.DONE, Phase.LOST}),  # INTENDED: the next attempt
        Phase.DONE: frozenset(),
        Phase.LOST: frozenset(),
    }
)
_RECORDED = {"intended": Phase.UNCLEAR, "submitted": Phase.UNCLEAR, "done": Phase.DONE, "lost": Phase.LOST}


@dataclass(slots=True)
class JobInFlight:
    """A job of the round with its latest attempt; `lost` is the reason if it was given up."""

    spec: JobSpec
    session: int = -1
    phase: Phase = Phase.INTENDED
    container: str = ""
    counts: tuple[Counts, ...] | None = None  # of each slice
    lost: str = ""
    failures: int = 0
    first_failure_at: float = 0.0
    listed: str = ""  # its status when the service listed it last

    @classmethod
    def from_record(cls, spec: JobSpec, record: Job) -> JobInFlight:
        """Return the job as an earlier process recorded it."""
        phase = _RECORDED[record.state]
        lost = record.reason if phase is Phase.LOST else ""
        return cls(spec, record.session, phase, counts=record.counts, lost=lost)

    def move(self, phase: Phase) -> None:
        """Enter the next phase. Raises RuntimeError if the table does not permit this transition."""
        if phase not in TRANSITIONS[self.phase]:
            raise RuntimeError(f"job {self.spec.id} can't go from phase {self.phase.name} to {phase.name}")
        self.phase = phase

    def begin_attempt(self, spec: JobSpec, session: int) -> None:
        """Replace the failed attempt with the next one, which the journal has as intended."""
        self.move(Phase.INTENDED)
        self.spec, self.session, self.container, self.listed = spec, session, "", ""

    def ended(
        self, state: str, billed: Mapping[str, float] | None, reason: str = "", counts: tuple[Counts, ...] | None = None
    ) -> Job:
        """Return the journal's record of how this attempt ended."""
        return replace(self.spec.intent(self.session), state=state, counts=counts, reason=reason, billed=billed)
