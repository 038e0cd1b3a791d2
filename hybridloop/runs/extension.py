"""Extension of a run that has ended: which settings let it go on, and what its journal has of its revisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hybridloop.algorithms.outcome import Outcome
from hybridloop.data.statuses import WITH_RESULT
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import NOTHING_SUBMITTED, InputError
from hybridloop.journal import PRUNED, Event, RunRecord
from hybridloop.journal.revisions import EXTENDED, revision_of
from hybridloop.runs.recorded import check_choices, current_settings
from hybridloop.runs.result import RunResult
from hybridloop.settings import CAPS, LIMITS, goals_of

_SMALLER = frozenset({"precision", "tolerance"})


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that begins: the number of its revision, and the settings that it changes, as plain values."""

    revision: int
    changes: Mapping[str, Any]

    def facts(self, record: RunRecord, sessions: int) -> dict[str, Any]:
        """Return the facts of its event: its settings, the revision before it, and the sessions until then."""
        before = {"status": record.status, "reason": record.reason, "result": record.result}
        return {"settings": dict(self.changes), "sessions": sessions, "before": before}


def taken_back(outcome: Outcome, extensions: Sequence[Event]) -> Outcome:
    """Return the outcome of an extension, which says so if it does not show what the result before it claimed."""
    if not extensions or outcome.converged or extensions[-1].facts["before"]["status"] != "converged":
        return outcome
    text = "the result before this one claimed convergence, and this one takes the claim back"
    return replace(outcome, warnings=(*outcome.warnings, f"{text}: {outcome.reason}"))


def results_of(record: RunRecord, events: Sequence[Event]) -> list[RunResult]:
    """Return the results of a run: those before its extensions, and the last, if it has that already."""
    stored = [event.facts["before"]["result"] for event in events if event.kind == EXTENDED]
    if record.result is not None and record.algorithm in ALGORITHMS and record.result["revision"] > len(stored):
        stored.append(record.result)
    return [RunResult.from_dict(each) for each in stored]


def revision_rows(results: Sequence[RunResult]) -> list[dict[str, Any]]:
    """Return a row for each revision of a run's result, with what it took beyond the one before."""
    rows, before = list[dict[str, Any]](), None
    for result in results:
        own = {name: getattr(result, name) - (getattr(before, name) if before else 0) for name in ("jobs", "shots")}
        cost = {unit: amount - (before.cost.get(unit, 0.0) if before else 0.0) for unit, amount in result.cost.items()}
        known = {name: getattr(result, name) for name in ("revision", "status", "value", "standard_error")}
        rows.append({**known, **own, "cost": cost})
        before = result
    return rows


def reaching(algorithm: str) -> tuple[str, ...]:
    """Return the names of the settings by which a run of an algorithm goes on after its end."""
    return *CAPS, *(goals_of(ALGORITHMS[algorithm].settings) if algorithm in ALGORITHMS else ())


def extension_of(record: RunRecord, events: Sequence[Event], asked: Mapping[str, Any]) -> Extension | None:
    """Return the extension by which a run goes on to the settings asked for; None if it has them already.

    Raises InputError for a setting that does not reach further, for limits alone, for goals of a run that has not
    ended, and for a run of a version with other choices.
    """
    now = current_settings(record, events)
    changes = {name: value for name, value in asked.items() if name != "seed" and value != now.get(name)}
    names = reaching(record.algorithm)
    goals = [name for name in names if name in changes and name not in CAPS]
    if record.status not in WITH_RESULT:
        if goals:
            problem = f"run {record.key!r} has not ended: it is {record.status}"
            remedy = f"Resume it first: hybridloop runs resume {record.key}. Then let it go on."
            raise InputError(goals[0], problem, remedy, NOTHING_SUBMITTED)
        return None
    if not changes:
        return None
    if other := [name for name in changes if name not in (*LIMITS, *names)]:
        remedy = f"Start a new run: its settings differ in {other[0]}."
        raise InputError(other[0], f"run {record.key!r} has another value", remedy, NOTHING_SUBMITTED)
    for name in changes:
        if name in names:
            _check_further(record, name, now.get(name), changes[name])
    if not any(name in names for name in changes):
        problem = f"run {record.key!r} has ended, and this alone lets it not go on"
        options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise InputError(next(iter(changes)), problem, f"Give one of {options} with it.", NOTHING_SUBMITTED)
    if any(event.kind == PRUNED for event in events):
        problem = f"the measurements of run {record.key!r} were deleted"
        raise InputError("run", problem, "Start a new run.", NOTHING_SUBMITTED)
    check_choices(record)
    return Extension(revision_of(events) + 1, changes)


def _check_further(record: RunRecord, name: str, before: Any, now: Any) -> None:
    """Raise InputError for a setting that does not reach further than the run went."""
    if _is_further(name, before, now):
        return
    problem = f"run {record.key!r} has ended with {_shown(before)}, and {_shown(now)} does not reach further"
    word = "smaller" if name in _SMALLER else "larger"
    none = ", or none" if name in CAPS else ""
    raise InputError(name, problem, f"Give a {word} one{none}, or start a new run.", NOTHING_SUBMITTED)


def _is_further(name: str, before: Any, now: Any) -> bool:
    if name in CAPS and (now is None or before is None):
        return now is None
    if before is None:  # of a goal: the algorithm's own, which its preparation compares
        return now is not None
    if isinstance(now, Mapping):
        return all(now.get(unit, float("inf")) >= amount for unit, amount in before.items())
    return now is not None and bool(now < before if name in _SMALLER else now > before)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{amount:g}{unit}" for unit, amount in value.items()) or "no cap"
    return "none" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)
