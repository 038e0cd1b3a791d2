"""A run with all that was kept of it, whether a journal has it or a bundle: what reports and checks are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hybridloop.journal import PRUNED, Event, Journal, Ping, RoundRecord, RunRecord, SessionRow, Span
from hybridloop.runs.lookup import problem_of, settings_after
from hybridloop.runs.result import RunResult
from hybridloop.settings import SETTINGS, ProblemText, RunSettings


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run: `rounds` goes over its rounds, as often as it is called; `program` has what their jobs were filled from.

    Times are seconds since the epoch; `spans` has from when to when rounds and pings were in flight.
    """

    record: RunRecord
    sessions: Sequence[SessionRow]
    pings: Sequence[Ping]
    events: Sequence[Event]
    spans: Mapping[str, Span]
    rounds: Callable[[], Iterator[RoundRecord]]
    program: Callable[[str], bytes | None]

    @property
    def is_ours(self) -> bool:
        """Whether an algorithm of ours made it; what a script measures only the script knows."""
        return self.record.algorithm in SETTINGS

    @property
    def is_stripped(self) -> bool:
        """Whether what was measured was forgotten, and only the result kept."""
        return any(event.kind == PRUNED for event in self.events)

    @property
    def result(self) -> RunResult | None:
        """What it came to, or has so far; None of a script, or before anything was written down."""
        stored = self.record.result
        return RunResult.from_dict(stored) if self.is_ours and stored is not None else None

    @property
    def settings(self) -> RunSettings:
        """Its settings with their seed and the limits that it was last given; of one of our algorithms."""
        return settings_after(self.record, self.events)

    @property
    def problem(self) -> ProblemText:
        """What it was begun for; of one of our algorithms."""
        return problem_of(self.record)


def kept_in_journal(journal: Journal, key: str) -> KeptRun:
    """The run of a key, or of the beginning of a uid. Raises InputError where there is none."""
    record = journal.run(key)
    uid = record.uid
    return KeptRun(
        record,
        journal.sessions(uid),
        journal.pings(uid),
        journal.events(uid),
        journal.spans(uid),
        lambda: journal.rounds(uid),
        journal.program,
    )
