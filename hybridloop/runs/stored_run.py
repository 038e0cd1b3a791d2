"""A stored run with all of its records, from a journal or a bundle; reports and verification are made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hybridloop.descriptions import ALGORITHMS
from hybridloop.journal import PRUNED, Event, Journal, Ping, RoundRecord, RunRecord, SessionRow, Span
from hybridloop.journal.revisions import extensions_in, revision_of
from hybridloop.results.result import RunResult
from hybridloop.runs.recorded import problem_of, recorded_of, settings_after
from hybridloop.settings import ProblemText, Recorded, RunSettings


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run's records; `rounds` iterates over its rounds, `program` returns the compiled program of a key.

    Times are seconds since the epoch; `spans` has the time in flight of each round and ping. `is_foreign` is true for a
    bundle's, whose result is what the bundle states.
    """

    record: RunRecord
    sessions: Sequence[SessionRow]
    pings: Sequence[Ping]
    events: Sequence[Event]
    spans: Mapping[str, Span]
    rounds: Callable[[], Iterator[RoundRecord]]
    program: Callable[[str], bytes | None]
    is_foreign: bool = False

    @property
    def is_of_algorithm(self) -> bool:
        """True for a run of one of the algorithms; False for a script's own loop."""
        return self.record.algorithm in ALGORITHMS

    @property
    def is_pruned(self) -> bool:
        """True if the measurements were pruned, and only the result is left."""
        return any(event.kind == PRUNED for event in self.events)

    @property
    def result(self) -> RunResult | None:
        """The result, final or so far; None for a script, and before any result was stored."""
        return result_of(self.record)

    @property
    def settings(self) -> RunSettings:
        """Settings of an algorithm's run, with its seed and the limits of the last resume."""
        return settings_after(self.record, self.events)

    @property
    def revision(self) -> int:
        """Number of the revision of the result, from 1."""
        return revision_of(self.events)

    @property
    def earlier(self) -> tuple[StoredRun, ...]:
        """The run as it had ended before each extension, in order."""
        ends = extensions_in(self.events)
        return tuple(
            replace(self, record=replace(self.record, **self.events[end].facts["before"]), events=self.events[:end])
            for end in ends
        )

    @property
    def recorded(self) -> Recorded:
        """Its record as a preparation takes it."""
        return recorded_of(self.record, self.events)

    @property
    def problem(self) -> ProblemText:
        """Problem of an algorithm's run."""
        return problem_of(self.record)


def result_of(record: RunRecord) -> RunResult | None:
    """Return the result, final or so far; None for a script, and before any result was stored."""
    stored = record.result
    return RunResult.from_dict(stored) if record.algorithm in ALGORITHMS and stored is not None else None


def load_run(journal: Journal, key: str) -> StoredRun:
    """Load the run of a key, or of the first characters of a uid. Raises InputError if there is none."""
    record = journal.run(key)
    uid = record.uid
    return StoredRun(
        record,
        journal.sessions(uid),
        journal.pings(uid),
        journal.events(uid),
        journal.spans(uid),
        lambda: journal.rounds(uid),
        journal.program,
    )
