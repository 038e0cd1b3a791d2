"""Recompute a run's result from its stored counts alone: no service, no Prefect, nothing submitted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.azure.targets import recorded_target
from hybridloop.compiler.programs import describe_pub
from hybridloop.errors import InputError, ReplayDiverged
from hybridloop.journal import RoundRecord
from hybridloop.journal.claimed_run import how_to_resume
from hybridloop.journal.provenance import changed_versions, versions
from hybridloop.preparation import prepare
from hybridloop.runs.recorded import recorded_groupings
from hybridloop.runs.result import RunResult
from hybridloop.runs.stored_run import StoredRun
from hybridloop.tasks.submission.replay import SAME_RAD, check_same
from hybridloop.tasks.submission.results import stored_points

COMPARED = (
    *("value", "standard_error", "interval95", "parameters", "is_exact", "rounding_bound", "rounds", "history"),
    *("best_bitstring", "best_value", "approximation_ratio", "table", "error_budget"),
)
_TEXTS = frozenset({"start", "reason", "choices"})


@dataclass(frozen=True, slots=True)
class Verification:
    """Verification of a stored result: `differences` names the fields that are not equal bit for bit.

    `versions` has the software versions that changed since the run, by name: (then, now).
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
        """Return True if all fields are equal."""
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {**dataclasses.asdict(self), "agrees": self.agrees}


def verify_run(run: StoredRun) -> Verification:
    """Recompute a finished run. Raises InputError for a run without a result, ReplayDiverged, JournalDamaged."""
    record, stored = run.record, run.result
    if stored is None or stored.value is None:
        raise InputError("run", f"run {record.key!r} has no result to verify", f"To finish it: {how_to_resume(record)}")
    if run.is_pruned:
        raise InputError("run", f"run {record.key!r} was pruned to its result", "Its counts no longer exist.")
    groupings, target = recorded_groupings(record), recorded_target(record.target)
    prepared = prepare(
        record.algorithm, run.problem, run.settings, record.seed, groupings=groupings, target=target
    ).algorithm
    rounds = _StoredRounds(run.rounds(), record.target)
    outcome = prepared.run(rounds)
    columns = frozenset(stored.table[0]) - _TEXTS if stored.table else frozenset()
    differences = tuple(
        name for name in COMPARED if not is_same(_value(stored, name, columns), _value(outcome, name, columns))
    )
    changed, unit = changed_versions(record.versions, versions()), prepared.facts.unit
    return Verification(record.key, rounds.number, rounds.jobs, outcome.value, unit, differences, changed)


def _value(result: RunResult | Outcome, name: str, columns: frozenset[str]) -> Any:
    """Return a field's value; of a table, those of the columns that the stored one has, and no text of a version."""
    value = getattr(result, name)
    if name == "error_budget":
        return [(source.source, source.amount) for source in value]
    return [{key: row[key] for key in row.keys() & columns} for row in value] if name == "table" else value


class _StoredRounds:
    """A `RunRound` that returns stored rounds in their order."""

    def __init__(self, rounds: Iterator[RoundRecord], target: str) -> None:
        self._rounds = rounds
        self._target = target
        self.number = 0
        self.jobs = 0

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        record = next(self._rounds, None)
        if record is None or not record.complete:
            raise ReplayDiverged(f"round {self.number}", "the algorithm asks for it, but it was never measured")
        check_same(record, [describe_pub(pub) for pub in pubs], [pub.shots for pub in pubs], self._target, SAME_RAD)
        self.number += 1
        self.jobs += len(record.jobs)
        return stored_points(record)


def is_same(stored: Any, computed: Any) -> bool:
    """Compare two values to the last bit by their JSON, in which each float has a text of its own."""
    one, other = (json.dumps(value, default=dataclasses.asdict, sort_keys=True) for value in (stored, computed))
    return one == other
