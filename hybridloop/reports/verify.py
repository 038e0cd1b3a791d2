"""Recompute a run's result from its stored counts alone: no service, no Prefect, nothing submitted."""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.budget.caps import Budget, Caps, Spending
from hybridloop.data.states import State, state_of
from hybridloop.errors import InputError, ReplayDiverged, RoundTooLarge
from hybridloop.journal import RoundRecord
from hybridloop.journal.held_run import how_to_resume
from hybridloop.journal.provenance import changed_versions, versions
from hybridloop.journal.revisions import branch_of, revision_of_stream, stream_of
from hybridloop.preparation import prepare
from hybridloop.results.result import RunResult
from hybridloop.runs.stored_run import StoredRun
from hybridloop.targets import Target, recorded_target
from hybridloop.tasks.cap_shares import Asked, CapShares
from hybridloop.tasks.replay.earlier_rounds import EarlierRounds
from hybridloop.tasks.replay.same_round import check_same_pubs, difference_of
from hybridloop.tasks.submission.results import stored_points

COMPARED = (
    *("value", "standard_error", "interval95", "parameters", "is_exact", "rounding_bound", "unseen_bound"),
    "history",
    *("best_bitstring", "best_value", "approximation_ratio", "table", "error_budget", "constraints", "feasible_share"),
    *("best_share", "search_value", "search_error", "cvar"),
    "observables",
)
_TEXTS = frozenset({"start", "reason", "choices"})


@dataclass(frozen=True, slots=True)
class Verification:
    """Verification of a stored result: `differences` names the fields that are not equal bit for bit.

    `revision` is that of the result. `versions` has the software versions that changed since the run, by name:
    (then, now).
    """

    run_key: str
    revision: int
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
    if record.algorithm == "session" and state_of(record.status) is State.ENDED:
        problem = f"run {record.key!r} is a script, whose values hybridloop does not compute"
        raise InputError("run", problem, "Started again with its run_key, it gets its rounds from the journal.")
    if stored is None or stored.value is None or stored.revision != run.revision:
        raise InputError("run", f"run {record.key!r} has no result to verify", f"To finish it: {how_to_resume(record)}")
    if run.is_pruned:
        raise InputError("run", f"run {record.key!r} was pruned to its result", "Its counts no longer exist.")
    target = recorded_target(record.target)
    prepared = prepare(
        record.algorithm, run.problem, run.settings, record.seed, recorded=run.recorded, target=target
    ).algorithm
    rounds = _StoredRounds(run, target)
    outcome = prepared.run(rounds)
    columns = frozenset(stored.table[0]) - _TEXTS if stored.table else frozenset()
    differences = tuple(
        name for name in COMPARED if not is_same(_value(stored, name, columns), _value(outcome, name, columns))
    )
    changed, unit = changed_versions(record.versions, versions()), prepared.facts.unit
    return Verification(record.key, run.revision, rounds.number, rounds.jobs, outcome.value, unit, differences, changed)


def verify_revisions(run: StoredRun) -> list[Verification]:
    """Recompute each result of a run: those before its extensions, and the last, if it has it; see `verify_run`."""
    is_going_on = run.earlier and (run.result is None or run.result.revision != run.revision)
    return [verify_run(each) for each in (*run.earlier, *(() if is_going_on else (run,)))]


def _value(result: RunResult | Outcome, name: str, columns: frozenset[str]) -> Any:
    """Return a field's value; of a table, those of the columns that the stored one has, and no text of a version."""
    value = getattr(result, name)
    if name == "error_budget":
        return [(source.source, source.amount) for source in value]
    return [{key: row[key] for key in row.keys() & columns} for row in value] if name == "table" else value


class _StoredRounds:
    """A `RunRound` that returns a revision's stored rounds in their order, and those that it takes of earlier ones.

    A round that a cap kept from being measured is too large for them as well: see `tasks.cap_shares`.
    """

    def __init__(self, run: StoredRun, target: Target) -> None:
        records = [(revision_of_stream(each.stream), each) for each in run.rounds()]
        self._stream = stream_of(run.revision)
        self._rounds = deque(each for _, each in records if each.stream == self._stream)
        self._branches = [each for revision, each in records if revision == run.revision]
        self._earlier = EarlierRounds(
            [each for revision, each in records if revision == number] for number in range(1, run.revision)
        )
        self._is_capped = run.is_of_algorithm and run.settings.caps != Caps()
        # nothing is spent again: the caps say only that one of them may have ended a search
        self.budget, self.target = Budget(run.settings.caps if self._is_capped else Caps()), target
        shares = CapShares(self)
        self.share, self.larger_cap, self._fitted = shares.share, shares.larger_cap, shares.fitted
        self.left = self._earlier.left
        self.number = 0
        self.jobs = 0

    def recorded(self, asked: Asked | None = None) -> RoundRecord | None:
        """Return the next round; where it measured other PUBs, the next one of the branch that the run went on in."""
        record = self._rounds[0] if self._rounds else None
        branch = branch_of(self._stream)
        rounds = deque(each for each in self._branches if each.stream == branch)
        if record is None or asked is None or not rounds or not difference_of(record, asked(record)):
            return record
        self._stream, self._rounds = branch, rounds
        return self.recorded(asked)

    def needed(self, _pubs: Sequence[SamplerPub], /) -> Callable[[Sequence[int]], Spending]:
        """Return that a round takes nothing, for no cap is checked again."""
        return lambda _: Spending()

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        record = self._earlier.take(pubs)
        if record is None:
            pubs = self._fitted(pubs) if self._is_capped else pubs
            record = self.recorded(lambda _: pubs)
            if record is None and self._is_capped:
                raise RoundTooLarge("an earlier cap", "no such round is recorded", "Verify the run where it was made.")
            if record is None or not record.complete:
                raise ReplayDiverged(f"round {self.number}", "the algorithm asks for it, but it was never measured")
            check_same_pubs(record, pubs)
            self._rounds.popleft()
        self.number += 1
        self.jobs += len(record.jobs)
        return stored_points(record)


def is_same(stored: Any, computed: Any) -> bool:
    """Compare two values to the last bit by their JSON, in which each float has a text of its own."""
    one, other = (json.dumps(value, default=dataclasses.asdict, sort_keys=True) for value in (stored, computed))
    return one == other
