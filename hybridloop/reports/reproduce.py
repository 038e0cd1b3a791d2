"""Comparison of a run with its repetition: equal to the last bit, or within error bars."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hybridloop.data.statuses import WITH_RESULT
from hybridloop.errors import InputError
from hybridloop.journal.provenance import changed_versions
from hybridloop.reports.verify import is_same
from hybridloop.results.result import RunResult
from hybridloop.runs.stored_run import StoredRun
from hybridloop.runtime.text_table import count_text

SIGMAS = 3.0  # of the difference of two independent estimates: one in 370 lies outside by chance
_EXACT = ("parameters", "rounds", "jobs", "shots", "best_bitstring", "best_value")
SAME, WITHIN, OUTSIDE, OTHER = "the same", "within error bars", "outside error bars", "another"


@dataclass(frozen=True, slots=True)
class ComparedValue:
    """One quantity of both runs, with the verdict: the same, within or outside error bars, or another."""

    name: str
    before: Any
    again: Any
    verdict: str

    @property
    def same(self) -> bool:
        """Return True if both are equal to the last bit."""
        return self.verdict == SAME


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A repetition's status, and its comparison with the first run; empty if a limit stopped it.

    `versions` has the software versions that changed since the first run, by name: (then, now).
    """

    before: str
    again: str
    status: str
    compared: tuple[ComparedValue, ...]
    versions: Mapping[str, tuple[str, str]]

    @property
    def is_finished(self) -> bool:
        """Return True if the repetition finished, so that it can be compared."""
        return self.status in WITH_RESULT

    @property
    def identical(self) -> bool:
        """Return True if all quantities are equal to the last bit."""
        return self.is_finished and all(value.same for value in self.compared)

    @property
    def agrees(self) -> bool:
        """Return True if no value lies outside its error bars."""
        return self.is_finished and all(value.verdict != OUTSIDE for value in self.compared)

    @property
    def in_words(self) -> str:
        """Return the verdict as text."""
        if not self.is_finished:
            return f"it is {self.status}; resume it with: hybridloop runs resume {self.again}"
        if self.identical:
            return "identical to the last bit"
        return f"its values agree within {SIGMAS:g} standard errors" if self.agrees else "its values do NOT agree"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "before": self.before,
            "again": self.again,
            "status": self.status,
            "identical": self.identical,
            "agrees": self.agrees,
            "compared": [dataclasses.asdict(value) for value in self.compared],
            "versions": {name: list(both) for name, both in self.versions.items()},
        }


def check_repeatable(run: StoredRun) -> None:
    """Raise InputError for a script, or for a run that has not finished."""
    key = run.record.key
    if not run.is_of_algorithm:
        raise InputError("run", f"run {key!r} is a script's", "Start the script again with another run_key.")
    if run.record.status not in WITH_RESULT:
        raise InputError("run", f"run {key!r} has no result to compare with", "Finish it first.")


def compare_runs(before: StoredRun, again: StoredRun) -> Reproduction:
    """Compare two finished runs of the same settings."""
    old, new = before.result, again.result
    assert old is not None
    assert new is not None
    values = [*_estimates(old, new), *_exact_values(old, new)]
    if not before.is_pruned:
        values.append(_counts(before, again))
    versions = changed_versions(before.record.versions, again.record.versions)
    return Reproduction(before.record.key, again.record.key, new.status, tuple(values), versions)


def _estimates(old: RunResult, new: RunResult) -> Iterator[ComparedValue]:
    """Compare the value, and the energies of a table's rows with standard errors: levels, and points of a scan."""
    bound = old.rounding_bound + new.rounding_bound
    errors = old.standard_error or 0.0, new.standard_error or 0.0
    yield _estimate("value", old.value, new.value, errors, bound)
    for one, other in zip(old.table, new.table, strict=False):
        if None not in (one.get("standard_error"), other.get("standard_error")) and "energy" in one:
            name = f"energy of {one.get('point', one.get('level', one.get('space')))}"
            errors = one["standard_error"], other["standard_error"]
            yield _estimate(name, one["energy"], other["energy"], errors, bound)


def _estimate(
    name: str, old: float | None, new: float | None, errors: tuple[float, float], bound: float
) -> ComparedValue:
    if is_same(old, new):
        return ComparedValue(name, old, new, SAME)
    if old is None or new is None:
        return ComparedValue(name, old, new, OUTSIDE)
    tolerance = SIGMAS * math.hypot(*errors) + bound
    return ComparedValue(name, old, new, WITHIN if abs(old - new) <= tolerance else OUTSIDE)


def _exact_values(old: RunResult, new: RunResult) -> Iterator[ComparedValue]:
    for name in _EXACT:
        one, other = getattr(old, name), getattr(new, name)
        if one is not None or other is not None:
            yield ComparedValue(name, one, other, SAME if is_same(one, other) else OTHER)


def _counts(before: StoredRun, again: StoredRun) -> ComparedValue:
    one, other = _counts_by_job(before), _counts_by_job(again)
    equal = sum(counts == other.get(job) for job, counts in one.items())
    verdict = SAME if equal == len(one) == len(other) else OTHER
    return ComparedValue("counts", count_text(len(one), "job"), f"{equal} with the same counts", verdict)


def _counts_by_job(run: StoredRun) -> dict[object, object]:
    return {
        (round_.stream, round_.sequence, job.pub, job.point, job.part): [
            (counts.outcomes.tobytes(), counts.counts.tobytes()) for counts in job.counts
        ]
        for round_ in run.rounds()
        for job in round_.jobs
        if job.counts is not None
    }
