"""Keys of rounds and jobs, and what follows from them: idempotent job ids, names, sampling values."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

from hybridloop.errors import InputError
from hybridloop.journal.revisions import MAIN_STREAM, revision_of_stream

_LONGEST_NAME = 100
_NAME_UID_DIGITS = 12


@dataclass(frozen=True, slots=True)
class RoundKey:
    """Key of a round: its run's uid (a UUID), its stream and its number in that stream, from 0."""

    run_uid: str
    stream: str
    sequence: int

    @property
    def label(self) -> str:
        """The round as users count it: from 1, with its stream unless that is the main one."""
        return f"round {self.sequence + 1}" + f" of {self.stream}" * (self.stream != MAIN_STREAM)

    @property
    def is_named(self) -> bool:
        """True for a round of a stream that a program named, and not of the run's own."""
        return revision_of_stream(self.stream) is None

    def has_named(self, name: str, job_id: str) -> bool:
        """Return True if this is the id of the round's job of that name; a name that a user gave tells no id."""
        if self.is_named:
            return True
        numbers = name.removeprefix(self.prefix).split(".")
        if not name.startswith(self.prefix) or len(numbers) != 4 or not all(map(str.isdecimal, numbers)):
            return False
        pub, point, part, attempt = map(int, numbers)
        return JobKey(self, pub, point, part).job_id(attempt) == job_id

    @property
    def prefix(self) -> str:
        """Common prefix of the names of the round's jobs: the name that a user gave, numbered from its second round."""
        if self.is_named:
            return f"{self.stream} ({self.sequence + 1})" if self.sequence else self.stream
        return f"{uuid.UUID(self.run_uid).hex[:_NAME_UID_DIGITS]}.{self.stream}.{self.sequence}."


@dataclass(frozen=True, slots=True)
class JobKey:
    """Key of a job in its round: PUB, point of the PUB and part of the point, each from 0."""

    round: RoundKey
    pub: int
    point: int
    part: int

    @property
    def path(self) -> str:
        """The key as text, the run's uid first; the emulator's ledger counts duplicates by it."""
        key = self.round
        return f"{key.run_uid}/{key.stream}/{key.sequence}/{self.pub}/{self.point}/{self.part}"

    def job_id(self, attempt: int) -> str:
        """Return the job's id, an idempotency key: the same for the same key and attempt, so a repeat is recognized."""
        return str(uuid.uuid5(uuid.UUID(self.round.run_uid), f"job/{self.path}/{attempt}"))

    def name(self, attempt: int) -> str:
        """Return the job's name at the service."""
        if self.round.is_named:
            return self.round.prefix
        return f"{self.round.prefix}{self.pub}.{self.point}.{self.part}.{attempt}"

    def sampling_value(self, seed: int, shared_seed: int | None = None) -> str:
        """Return the sampling seed of the local service, from run seed and key, without attempt, session or uid.

        With a `shared_seed` it is the same at every place.
        """
        key = self.round
        text = f"{seed}/{key.stream}/{key.sequence}/{self.pub}/{self.point}/{self.part}"
        if shared_seed is not None:
            text = f"shared/{shared_seed}/{self.part}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def session_id(run_uid: str, ordinal: int) -> str:
    """Return the id of a run's session number `ordinal`, from 0."""
    return str(uuid.uuid5(uuid.UUID(run_uid), f"session/{ordinal}"))


def check_stream(stream: str, field: str = "stream") -> str:
    """Return the stream's name, which its jobs have at the service. Raises InputError about the `field`."""
    kind = "stream" if field == "stream" else "job"
    if not isinstance(stream, str) or not 1 <= len(stream) <= _LONGEST_NAME or not stream.isprintable():
        problem = f"{stream!r:.120} is not a valid name of a {kind}"
        raise InputError(field, problem, f"Use 1 to {_LONGEST_NAME} printable characters.")
    if stream.strip() != stream:
        raise InputError(field, f"the name {stream!r} begins or ends with a blank", "Remove it.")
    return stream
