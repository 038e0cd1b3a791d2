"""Computes a run's values anew from its stored counts alone: no service, no Prefect, nothing submitted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import Lost, Measured
from hybridloop.errors import InputError, ReplayDiverged
from hybridloop.flows.preparing import PREPARE
from hybridloop.flows.results import RunResult
from hybridloop.flows.runs import problem_of, settings_of
from hybridloop.sessions.answers import measured
from hybridloop.sessions.journal import Journal, RoundRecord, RunRecord
from hybridloop.sessions.programs import describe
from hybridloop.sessions.replay import SAME_RAD, check_same

_COMPARED = (
    *("value", "standard_error", "interval95", "parameters", "is_exact", "rounding_bound", "rounds", "history"),
    *("best_bitstring", "best_value", "approximation_ratio", "table"),
)


@dataclass(frozen=True, slots=True)
class Verified:
    """What came out: `differences` names what is not bit for bit as it was written down."""

    run_key: str
    rounds: int
    jobs: int
    value: float
    unit: str
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether all is as it was written down."""
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**dataclasses.asdict(self), "agrees": self.agrees}


def verified(journal: Journal, record: RunRecord) -> Verified:
    """Go over a finished run again. Raises InputError for one without a result, ReplayDiverged, JournalDamaged."""
    if record.algorithm not in PREPARE or record.result is None or record.result.get("value") is None:
        raise InputError(
            "run", f"run {record.key!r} has no result to verify", "Finish it first (hybridloop runs resume)."
        )
    settings = settings_of(journal, record)
    prepared = PREPARE[record.algorithm](problem_of(record), settings, record.seed)
    rounds = _Recorded(journal.rounds(record.uid), record.target)
    found = prepared.measured(rounds, lambda _: None)
    stored = RunResult.from_dict(record.result)
    differences = [name for name in _COMPARED if not _same(getattr(stored, name), getattr(found, name))]
    return Verified(record.key, rounds.number, rounds.jobs, found.value, prepared.unit, tuple(differences))


class _Recorded:
    """The rounds of a journal in their order, as a `RunRound`."""

    def __init__(self, rounds: Iterator[RoundRecord], target: str) -> None:
        self._rounds = rounds
        self._target = target
        self.number = 0
        self.jobs = 0

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[Measured]:
        """The round as it was measured, if the journal has it."""
        record = next(self._rounds, None)
        if record is None or not record.complete:
            raise ReplayDiverged(f"round {self.number}", "it is asked for, and was never measured")
        check_same(record, [describe(pub) for pub in pubs], [pub.shots for pub in pubs], self._target, SAME_RAD)
        self.number += 1
        self.jobs += len(record.jobs)
        latest = {(job.pub, job.point, job.part): job for job in record.jobs}
        return measured(record.pubs, {at: job.counts or Lost(job.reason) for at, job in latest.items()})


def _same(stored: Any, found: Any) -> bool:
    """Whether two values are the same to the last bit: every float has a text of its own."""
    one, other = (json.dumps(each, default=dataclasses.asdict, sort_keys=True) for each in (stored, found))
    return one == other
