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
from hybridloop.journal.provenance import CHOICES, REVISION, changed_versions, versions
from hybridloop.journal.revisions import branch_of, extensions_in, revision_of_stream, stream_of
from hybridloop.preparation import prepare
from hybridloop.preparation.prepared import ClassicalPart, Prepared, title_of
from hybridloop.results.result import RunResult, stated_fields
from hybridloop.runs.effort import effort_in, of_whole_run
from hybridloop.runs.stored_run import StoredRun
from hybridloop.targets import Target, recorded_target
from hybridloop.tasks.cap_shares import Asked, CapShares
from hybridloop.tasks.replay.earlier_rounds import EarlierRounds
from hybridloop.tasks.replay.same_round import check_same_pubs, difference_of
from hybridloop.tasks.submission.results import stored_points

# fields, columns of a table and parts of a field that are texts, which other versions of the code word otherwise
_TEXTS = frozenset({"reason", "choices", "warnings", "problem_title", "larger_cap"})
_TEXTS_WITHIN = frozenset({"start", "reason", "choices", "meaning"})
# of all sessions of a run; of a result before an extension it is not known what of it there was then
_EFFORT = frozenset(
    {"jobs", "retried", "pings", "shots", "lost_shots", "cost", "costs", "sessions", "estimated", "reserved", "rounds"}
)
_OWN = frozenset({"hybridloop", CHOICES, REVISION})  # the versions of what words the texts


@dataclass(frozen=True, slots=True)
class Verification:
    """Verification of a stored result: `differences` names the fields that are not equal bit for bit.

    `stated` names those that were not derived. `revision` is that of the result. `versions` has the software versions
    that changed since the run, by name: (then, now).
    """

    run_key: str
    revision: int
    rounds: int
    jobs: int
    value: float
    unit: str
    differences: tuple[str, ...]
    stated: tuple[str, ...]
    versions: Mapping[str, tuple[str, str]]

    @property
    def agrees(self) -> bool:
        """Return True if all fields are equal."""
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {**dataclasses.asdict(self), "agrees": self.agrees}


def verify_run(run: StoredRun, *, is_earlier: bool = False) -> Verification:
    """Recompute a finished run: each field of its result that follows from counts, settings and prices.

    Of an `is_earlier` result, before an extension, it is the values: the effort is that of the whole run.
    Raises InputError for a run without a result, ReplayDiverged, JournalDamaged.
    """
    record, stored = run.record, run.result
    if record.algorithm == "session" and state_of(record.status) is State.ENDED:
        problem = f"run {record.key!r} is a script, whose values hybridloop does not compute"
        raise InputError("run", problem, "Started again with its run_key, it gets its rounds from the journal.")
    if not run.is_of_algorithm and record.algorithm != "session":
        problem = f"nothing of run {record.key!r} is derived: its algorithm {record.algorithm!r} is not installed"
        raise InputError("run", problem, "Install the package that has it, and verify the run again.")
    if stored is None or stored.value is None or stored.revision != run.revision:
        raise InputError("run", f"run {record.key!r} has no result to verify", f"To finish it: {how_to_resume(record)}")
    if run.is_pruned:
        raise InputError("run", f"run {record.key!r} was pruned to its result", "Its counts no longer exist.")
    target = recorded_target(record.target)
    prepared = prepare(record.algorithm, run.problem, run.settings, record.seed, recorded=run.recorded, target=target)
    rounds = _StoredRounds(run, target)
    measured = prepared.algorithm.measure(rounds, _show_nothing)
    derived = _derived(run, prepared, prepared.algorithm.finish(measured, ClassicalPart(_show_nothing)))
    changed = changed_versions(record.versions, versions())
    there, here = stored.as_dict(), derived.as_dict()
    left = {*stated_fields()}
    # what a cap's end is called depends on amounts that are not reserved again
    was_capped = bool(stored.larger_cap) and run.settings.caps != Caps()
    if changed.keys() & _OWN or is_earlier or was_capped:
        left |= _TEXTS | (_EFFORT if is_earlier else frozenset())
        there, here = _without_texts(there), _without_texts(here)
    differences = tuple(name for name in here if name not in left and not is_same(there[name], here[name]))
    assert derived.value is not None
    return Verification(
        *(record.key, run.revision, rounds.number, rounds.jobs),
        derived.value,
        derived.unit,
        differences,
        tuple(name for name in here if name in left),
        changed,
    )


def _show_nothing(_: object) -> None:
    """Take the progress of a run that is recomputed."""


def _derived(run: StoredRun, prepared: Prepared, outcome: Outcome) -> RunResult:
    """Return the result that follows from a run's records, but for what is stated alone."""
    record, facts, stored = run.record, prepared.algorithm.facts, run.result
    assert stored is not None
    rounds = list(run.rounds())
    result = RunResult(
        run_key=record.key,
        algorithm=record.algorithm,
        problem=record.problem,
        problem_title=title_of(run.problem, facts),
        target=record.target,
        provider_options=run.settings.options,
        is_local=record.is_local,
        seed=record.seed,
        exact=facts.exact(),
        reference=facts.reference,
        unit=facts.unit,
        is_active_space=facts.is_active_space,
        history=(),
        wall_seconds=stored.wall_seconds,
        resumed=stored.resumed,
        revision=run.revision,
        **effort_in(record, rounds, run.pings, run.sessions),
    )
    extensions = [run.events[place] for place in extensions_in(run.events)]
    whole = result.with_outcome(of_whole_run(prepared.judge(outcome), result, len(rounds), extensions))
    return RunResult.from_dict(json.loads(whole.to_json()))  # as the stored one was read


def verify_revisions(run: StoredRun) -> list[Verification]:
    """Recompute each result of a run: those before its extensions, and the last, if it has it; see `verify_run`."""
    is_going_on = run.earlier and (run.result is None or run.result.revision != run.revision)
    earlier = [verify_run(each, is_earlier=True) for each in run.earlier]
    return earlier if is_going_on else [*earlier, verify_run(run)]


def _without_texts(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result's values without the texts in rows of its fields."""

    def without(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: each for name, each in value.items() if name not in _TEXTS_WITHIN}
        return value

    return {
        name: [without(each) for each in value] if isinstance(value, list | tuple) else value
        for name, value in values.items()
    }


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
