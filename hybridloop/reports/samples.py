"""Samples of a binary problem: its measured assignments with counts, objectives and penalties."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO, overload

import numpy as np

from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.rounds import SAME_RAD, Counts
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.errors import InputError
from hybridloop.journal import RoundRecord
from hybridloop.journal.revisions import revision_of_stream
from hybridloop.preparation.binary import read_binary
from hybridloop.preparation.choices.constraints import circuit_of
from hybridloop.runs.stored_run import StoredRun
from hybridloop.runtime.escaping import spreadsheet_cell
from hybridloop.tasks.submission.results import stored_points

FINAL, SEARCH = "final", "search"  # the shots of the final measurement, or those of all rounds
SHOWN = 100  # samples of a command, without all of them
COLUMNS = ("count", "objective", "feasible", "penalty")


@dataclass(frozen=True, slots=True)
class Sample:
    """An assignment by the caller's variables, with the number of shots that gave it.

    Its `objective` is in the problem's own sense. `penalty` is what the search adds for the constraints that it breaks,
    with the best slack bits.
    """

    assignment: Mapping[Any, int]
    count: int
    objective: float
    feasible: bool
    penalty: float


@dataclass(frozen=True, slots=True)
class Samples(Sequence[Sample]):
    """Distinct assignments: feasible ones first, each kind from the best objective on."""

    rows: tuple[Sample, ...]
    maximizes: bool
    vartype: str

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        return self.rows[index]

    def to_dimod(self) -> Any:
        """Return a dimod.SampleSet, whose energy is the objective, or minus it where that is maximized.

        Its vectors are `num_occurrences`, `is_feasible` and `penalty`. Raises InputError where dimod is not installed.
        """
        try:
            import dimod
        except ImportError as error:
            what = "a SampleSet needs dimod, which is not installed"
            raise InputError("samples", what, "Install it: pip install 'hybridloop[dimod]'.") from error
        sign = -1.0 if self.maximizes else 1.0
        return dimod.SampleSet.from_samples(
            [dict(row.assignment) for row in self.rows],
            vartype=self.vartype,
            energy=[sign * row.objective + 0.0 for row in self.rows],
            num_occurrences=[row.count for row in self.rows],
            is_feasible=[row.feasible for row in self.rows],
            penalty=[row.penalty for row in self.rows],
        )

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame with a column for each variable. Raises InputError without pandas."""
        try:
            import pandas as pd
        except ImportError as error:
            what = "a DataFrame needs pandas, which is not installed"
            raise InputError("samples", what, "Install it: pip install 'hybridloop[pandas]'.") from error
        return pd.DataFrame([{**row.assignment, **_beside(row)} for row in self.rows])

    def as_rows(self, most: int | None = None) -> list[dict[str, Any]]:
        """Return plain values for JSON, with the variables' names: of the first `most` rows, None for all."""
        return [
            {"assignment": {str(name): value for name, value in row.assignment.items()}, **_beside(row)}
            for row in self.rows[:most]
        ]

    def write_csv(self, file: TextIO, most: int | None = None) -> None:
        """Write a column for each variable, then those of `COLUMNS`: the first `most` rows, None for all."""
        writer = csv.writer(file, lineterminator="\n")
        names = [str(name) for row in self.rows[:1] for name in row.assignment]
        writer.writerow([*map(spreadsheet_cell, names), *COLUMNS])
        for row in self.rows[:most]:
            writer.writerow([*row.assignment.values(), *_beside(row).values()])


def _beside(row: Sample) -> dict[str, Any]:
    return {name: getattr(row, name) for name in COLUMNS}


def samples_of(run: StoredRun, which: str = FINAL, variables: Mapping[str, Any] | None = None) -> Samples:
    """Return the samples of a QAOA run: those of its final measurement, or of all rounds.

    `variables` are the caller's by their names. Raises InputError for another run, or another choice.
    """
    if which not in (FINAL, SEARCH):
        raise InputError("samples", f"there are no samples {which!r}", f"Give {FINAL} or {SEARCH}.")
    settings = run.settings if run.is_of_algorithm else None
    if not isinstance(settings, QaoaSettings):
        what = f"run {run.record.key!r} measures no whole assignments of a binary problem"
        raise InputError("samples", what, "Only runs of qaoa have samples.")
    problem = circuit_of(read_binary(run.problem, settings.objective), settings, run.record.seed)[0].problem
    rounds = [each for each in run.rounds() if each.complete]
    chosen = rounds if which == SEARCH else _final(rounds, [*run.earlier, run])
    shots_of = Counter[str]()
    for counts in (found for each in chosen for found in _counts(each)):
        for bits, shots in counts.bitstrings().items():
            shots_of[bits[-problem.num_variables :]] += shots  # without slack bits
    rows = tuple(_rows(problem, shots_of, variables or {}))
    vartype = "SPIN" if problem.has_spins else "INTEGER" if problem.integers else "BINARY"
    return Samples(rows, problem.sign < 0, vartype)


def _rows(problem: BinaryProblem, shots_of: Mapping[str, int], variables: Mapping[str, Any]) -> Iterator[Sample]:
    if not shots_of:
        return
    bits = np.array([[int(bit) for bit in reversed(each)] for each in shots_of], dtype=np.uint8)
    objectives, feasible = problem.objective.energies(bits) + 0.0, problem.is_feasible(bits)
    penalties = problem.cost.energies(problem.completed(bits)) - problem.sign * objectives
    values = [tuple(row) for row in problem.values_of(bits).tolist()]
    count, place = Counter[tuple[int, ...]](), dict[tuple[int, ...], int]()
    for row, (value, shots) in enumerate(zip(values, shots_of.values(), strict=True)):
        count[value] += shots  # several bits may make one whole number
        place.setdefault(value, row)
    names = [variables.get(name, name) for name in problem.variables]

    def rank(value: tuple[int, ...]) -> tuple[bool, float, tuple[int, ...]]:
        row = place[value]
        return not feasible[row], round(problem.sign * float(objectives[row]), 9), value

    for value in sorted(count, key=rank):
        row, assignment = place[value], dict(zip(names, value, strict=True))
        penalty = max(0.0, round(float(penalties[row]), 9))
        yield Sample(assignment, count[value], float(objectives[row]), bool(feasible[row]), penalty)


def _final(rounds: Sequence[RoundRecord], revisions: Sequence[StoredRun]) -> list[RoundRecord]:
    """Return the rounds of the final measurements at the last point: of each revision as many as its result says."""
    found = list[RoundRecord]()
    for revision, run in enumerate(revisions, start=1):
        most = 0 if run.result is None else sum(progress.phase == FINAL for progress in run.result.history)
        own = [each for each in rounds if revision_of_stream(each.stream) == revision]
        alike = itertools.takewhile(lambda each: _is_same(each, rounds[-1]), reversed(own))
        found += itertools.islice(alike, most)
    return found


def _is_same(one: RoundRecord, other: RoundRecord) -> bool:
    if [pub.fingerprint for pub in one.pubs] != [pub.fingerprint for pub in other.pubs]:
        return False
    pairs = [
        (a, b) for x, y in zip(one.pubs, other.pubs, strict=True) for a, b in ((x.slots, y.slots), (x.points, y.points))
    ]
    return all(a.shape == b.shape and np.allclose(a, b, rtol=0.0, atol=SAME_RAD) for a, b in pairs)


def _counts(round_: RoundRecord) -> Iterator[Counts]:
    return (counts for pub in stored_points(round_) for counts in pub if isinstance(counts, Counts))
