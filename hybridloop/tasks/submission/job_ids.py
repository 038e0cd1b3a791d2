"""Where a job stands in its run, and all that follows from it: its id, its name, its sampling value."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass

from hybridloop.errors import InputError

_STREAM = re.compile(r"[A-Za-z0-9_-]{1,40}")  # job names go unescaped into the service's filters
_NAME_UID_DIGITS = 12


@dataclass(frozen=True, slots=True)
class RoundKey:
    """The place of a round: its run's uid (a UUID), its stream and its number in that stream, from 0."""

    run_uid: str
    stream: str
    sequence: int

    @property
    def prefix(self) -> str:
        """What the names of all of the round's jobs begin with, and no other round's."""
        return f"{uuid.UUID(self.run_uid).hex[:_NAME_UID_DIGITS]}.{self.stream}.{self.sequence}."


@dataclass(frozen=True, slots=True)
class JobKey:
    """The place of a job in its round: PUB, point of the PUB and part of the point, each from 0."""

    round: RoundKey
    pub: int
    point: int
    part: int

    @property
    def path(self) -> str:
        """The place as text, the run's uid first; the service's books count duplicates by it."""
        at = self.round
        return f"{at.run_uid}/{at.stream}/{at.sequence}/{self.pub}/{self.point}/{self.part}"

    def job_id(self, attempt: int) -> str:
        """The job's id: the same for the same place and attempt, so that "did it arrive?" can be asked."""
        return str(uuid.uuid5(uuid.UUID(self.round.run_uid), f"job/{self.path}/{attempt}"))

    def name(self, attempt: int) -> str:
        """The job's name at the service."""
        return f"{self.round.prefix}{self.pub}.{self.point}.{self.part}.{attempt}"

    def sampling_value(self, seed: int) -> str:
        """What the local service samples by: from the run's seed and the place, without attempt, session or uid."""
        at = self.round
        place = f"{seed}/{at.stream}/{at.sequence}/{self.pub}/{self.point}/{self.part}"
        return hashlib.blake2b(place.encode(), digest_size=16).hexdigest()


def session_id(run_uid: str, ordinal: int) -> str:
    """The id of a run's session number `ordinal`, from 0."""
    return str(uuid.uuid5(uuid.UUID(run_uid), f"session/{ordinal}"))


def check_stream(stream: str) -> str:
    """Return the stream's name, or raise InputError if job names can't hold it."""
    if not _STREAM.fullmatch(stream):
        raise InputError(
            "stream",
            f"{stream!r} is not a stream's name",
            "Use 1 to 40 letters, digits, hyphens or underscores.",
        )
    return stream
