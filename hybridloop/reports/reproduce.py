"""Whether a run that was repeated came to the same: to the last bit, or within its error bars."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hybridloop.errors import InputError
from hybridloop.journal import RoundRecord
from hybridloop.journal.provenance import changed_versions
from hybridloop.reports.verify import same
from hybridloop.runs.result import RunResult
from hybridloop.runs.statuses import FINISHED
from hybridloop.runs.stored_run import KeptRun

SIGMAS = 3.0  # of the difference of two independent estimates: one in 370 lies outside by chance
_EXACTLY = ("parameters", "rounds", "jobs", "shots", "best_bitstring", "best_value", "status")
SAME, WITHIN, OUTSIDE, OTHER = "the same", "within error bars", "outside error bars", "another"


@dataclass(frozen=True, slots=True)
class Compared:
    """One quantity of both runs."""

    name: str
    before: Any
    again: Any
    verdict: str

    @property
    def same(self) -> bool:
        """Whether it is the same to the last bit."""
        return self.verdict == SAME


@dataclass(frozen=True, slots=True)
class Reproduced:
    """What came of a repetition, and its status: one that a limit stopped compares nothing yet.

    `versions` are of what is another one now, by name: (then, now).
    """

    before: str
    again: str
    status: str
    compared: tuple[Compared, ...]
    versions: Mapping[str, tuple[str, str]]

    @property
    def is_finished(self) -> bool:
        """Whether there is anything to compare."""
        return self.status in FINISHED

    @property
    def identical(self) -> bool:
        """Whether all is the same to the last bit."""
        return self.is_finished and all(each.same for each in self.compared)

    @property
    def agrees(self) -> bool:
        """Whether no value lies outside its error bars."""
        return self.is_finished and all(each.verdict != OUTSIDE for each in self.compared)

    @property
    def in_words(self) -> str:
        """The verdict."""
        if not self.is_finished:
            return f"it is {self.status}, and can be gone on with: hybridloop runs resume {self.again}"
        if self.identical:
            return "identical to the last bit"
        return f"its values agree within {SIGMAS:g} standard errors" if self.agrees else "its values do NOT agree"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "before": self.before,
            "again": self.again,
            "status": self.status,
            "identical": self.identical,
            "agrees": self.agrees,
            "compared": [dataclasses.asdict(each) for each in self.compared],
            "versions": {name: list(both) for name, both in self.versions.items()},
        }


def check_repeatable(run: KeptRun) -> None:
    """Raise InputError for a run that can't be repeated."""
    key = run.record.key
    if not run.is_ours:
        raise InputError("run", f"run {key!r} is a script's", "Start the script again with another run_key.")
    if run.record.status not in FINISHED:
        raise InputError("run", f"run {key!r} has no result to compare with", "Finish it first.")


def compared(before: KeptRun, again: KeptRun) -> Reproduced:
    """Compare two finished runs of the same settings."""
    old, new = before.result, again.result
    assert old is not None
    assert new is not None
    found = [_value(old, new), *_energies(old, new), *_plain(old, new)]
    if not before.is_stripped:
        found.append(_counts(before, again))
    versions = changed_versions(before.record.versions, again.record.versions)
    return Reproduced(before.record.key, again.record.key, new.status, tuple(found), versions)


def _value(old: RunResult, new: RunResult) -> Compared:
    return _estimates("value", (old.value, _spread(old)), (new.value, _spread(new)))


def _spread(result: RunResult) -> tuple[float, float]:
    return result.standard_error or 0.0, result.rounding_bound


def _energies(old: RunResult, new: RunResult) -> Iterator[Compared]:
    """Those of a table's rows, where they come with their standard errors: levels, and points of a scan."""
    for one, other in zip(old.table, new.table, strict=False):
        if {"energy", "standard_error"} <= one.keys() & other.keys():
            name = str(one.get("point", one.get("level")))
            both = ((row["energy"], (row["standard_error"], old.rounding_bound)) for row in (one, other))
            yield _estimates(f"energy of {name}", *both)


def _estimates(
    name: str, old: tuple[float | None, tuple[float, float]], new: tuple[float | None, tuple[float, float]]
) -> Compared:
    (one, (error, bound)), (other, (other_error, other_bound)) = old, new
    if same(one, other):
        return Compared(name, one, other, SAME)
    if one is None or other is None:
        return Compared(name, one, other, OUTSIDE)
    reach = SIGMAS * math.hypot(error, other_error) + bound + other_bound
    return Compared(name, one, other, WITHIN if abs(one - other) <= reach else OUTSIDE)


def _plain(old: RunResult, new: RunResult) -> Iterator[Compared]:
    for name in _EXACTLY:
        one, other = getattr(old, name), getattr(new, name)
        if one is not None or other is not None:
            yield Compared(name, one, other, SAME if same(one, other) else OTHER)


def _counts(before: KeptRun, again: KeptRun) -> Compared:
    """Jobs by their places, of which the counts are the same."""
    one, other = _by_place(before), _by_place(again)
    alike = sum(counts == other.get(place) for place, counts in one.items())
    is_same = alike == len(one) == len(other)
    return Compared("counts", f"{len(one)} jobs", f"{alike} with the same counts", SAME if is_same else OTHER)


def _by_place(run: KeptRun) -> dict[object, object]:
    found: dict[object, object] = {}
    for round_ in run.rounds():
        found |= _of_round(round_)
    return found


def _of_round(round_: RoundRecord) -> dict[object, object]:
    return {
        (round_.stream, round_.sequence, job.pub, job.point, job.part): (
            job.counts.outcomes.tobytes(),
            job.counts.counts.tobytes(),
        )
        for job in round_.jobs
        if job.counts is not None
    }
