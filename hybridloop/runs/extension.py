"""Revisions of a run that was extended after its end: its results, and what each took beyond the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hybridloop.algorithms.outcome import Outcome
from hybridloop.descriptions import ALGORITHMS
from hybridloop.journal import Event, RunRecord
from hybridloop.journal.revisions import extensions_in
from hybridloop.results.result import RunResult

_OF_OBSERVABLES = frozenset({"observables", "observable_precision"})


def of_extension(outcome: Outcome, extensions: Sequence[Event]) -> Outcome:
    """Return the outcome of an extension, which says what it was to make better, and what of the claim is lost."""
    if extensions:
        changed = extensions[-1].facts["settings"]
        names = ", ".join(changed)
        better = ["the observables"] * bool(_OF_OBSERVABLES & {*changed})
        better[:0] = ["the value"] * bool({*changed} - _OF_OBSERVABLES)
        text = f"extension: {' and '.join(better)} ({names})"
        if outcome.observables and "the observables" not in better:
            text += "; observables stay as precise as they were asked for: observable_precision extends them"
        outcome = replace(outcome, choices=(*outcome.choices, text))
    if not extensions or outcome.converged or extensions[-1].facts["before"]["status"] != "converged":
        return outcome
    text = "the result before this one claimed convergence, and this one takes the claim back"
    return replace(outcome, warnings=(*outcome.warnings, f"{text}: {outcome.reason}"))


def results_of(record: RunRecord, events: Sequence[Event]) -> list[RunResult]:
    """Return the results of a run: those before its extensions, and the last, if it has that already."""
    stored = [events[place].facts["before"]["result"] for place in extensions_in(events)]
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
