"""Computes a run's values anew from its stored counts alone: no service, no Prefect, nothing submitted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub
from hybridloop.compiler.programs import describe_pub
from hybridloop.errors import InputError, ReplayDiverged
from hybridloop.journal import RoundRecord
from hybridloop.journal.provenance import changed_versions, versions
from hybridloop.preparation import prepare
from hybridloop.runs.stored_run import KeptRun
from hybridloop.tasks.submission.replay import SAME_RAD, check_same
from hybridloop.tasks.submission.results import measured

COMPARED = (
    *("value", "standard_error", "interval95", "parameters", "is_exact", "rounding_bound", "rounds", "history"),
    *("best_bitstring", "best_value", "approximation_ratio", "table"),
)


@dataclass(frozen=True, slots=True)
class Verified:
    """What came out: `differences` names what is not bit for bit as it was written down.

    `versions` are of what is another one here than where the run was made, by name: (there, here).
    """

    run_key: str
    rounds: int
    jobs: int
    value: float
    unit: str
    differences: tuple[str, ...]
    versions: Mapping[str, tuple[str, str]]

    @property
    def agrees(self) -> bool:
        """Whether all is as it was written down."""
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**dataclasses.asdict(self), "agrees": self.agrees}


def verified(run: KeptRun) -> Verified:
    """Go over a finished run again. Raises InputError for one without a result, ReplayDiverged, JournalDamaged."""
    record, stored = run.record, run.result
    if stored is None or stored.value is None:
        raise InputError(
            "run", f"run {record.key!r} has no result to verify", "Finish it first (hybridloop runs resume)."
        )
    if run.is_stripped:
        raise InputError("run", f"of run {record.key!r} only the result was kept", "Its counts were forgotten.")
    prepared = prepare(record.algorithm, run.problem, run.settings, record.seed).algorithm
    rounds = _Recorded(run.rounds(), record.target)
    found = prepared.measure(rounds, lambda _: None)
    differences = [name for name in COMPARED if not same(getattr(stored, name), getattr(found, name))]
    now = changed_versions(record.versions, versions())
    return Verified(record.key, rounds.number, rounds.jobs, found.value, prepared.facts.unit, tuple(differences), now)


class _Recorded:
    """The rounds of a journal in their order, as a `RunRound`."""

    def __init__(self, rounds: Iterator[RoundRecord], target: str) -> None:
        self._rounds = rounds
        self._target = target
        self.number = 0
        self.jobs = 0

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """The round as it was measured, if the journal has it."""
        record = next(self._rounds, None)
        if record is None or not record.complete:
            raise ReplayDiverged(f"round {self.number}", "it is asked for, and was never measured")
        check_same(record, [describe_pub(pub) for pub in pubs], [pub.shots for pub in pubs], self._target, SAME_RAD)
        self.number += 1
        self.jobs += len(record.jobs)
        latest = {(job.pub, job.point, job.part): job for job in record.jobs}
        return measured(record.pubs, {at: job.counts or FailedPoint(job.reason) for at, job in latest.items()})


def same(stored: Any, found: Any) -> bool:
    """Whether two values are the same to the last bit: every float has a text of its own."""
    one, other = (json.dumps(each, default=dataclasses.asdict, sort_keys=True) for each in (stored, found))
    return one == other
