"""Result of a sweep: a table with one row for each point, made from the journal, and a plot of the values."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from hybridloop.algorithms.coordinates import coordinate_columns
from hybridloop.data.statuses import NEVER_OPENED, WITH_RESULT
from hybridloop.descriptions import ALGORITHMS, Value
from hybridloop.flows.sweep_execution.spec import PROBLEM, Point, SweepSpec, varied_settings
from hybridloop.inputs.formats.energies import geometry_of
from hybridloop.journal import RunRecord
from hybridloop.preparation.checks import is_in_hartree
from hybridloop.results.result_text import LOCAL_NOTE, amounts_text
from hybridloop.runtime.durations import format_duration
from hybridloop.runtime.escaping import csv_text, escape_line
from hybridloop.runtime.text_table import as_html, format_table, join_list

if TYPE_CHECKING:
    from hybridloop.reports.plots.style import Picture

NOT_BEGUN = "not begun"
_MAX_TOLD = 20  # points without a result in a message
_OF_RESULT = ("value", "standard_error", "exact", "error", "reference", "best_value", "approximation_ratio", "rounds")
_SHOWN = ("problem", "value", "standard_error", "exact", "error", "exact_of", "best_value", "rounds", "jobs")


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Table of a sweep: `rows` with the same columns, of which `varied` are the settings that differ between points.

    A row has its run's key (`run`), status and reason. For a finished run it has the fields of its `RunResult`: value
    and standard error, the exact value if known, rounds, jobs, all their shots (`total_shots`), the billed cost, the
    ids of its sessions, and its seconds. An unfinished point has None there. Its measurements are in the journal, and
    the next start of the sweep resumes it. `axis` is the label of the picture's axis, if the specification has one.
    `costs` are the amounts by unit of all points so far, with what is reserved for jobs without a bill; `is_local` is
    true on the local service, which bills nothing.
    """

    name: str
    algorithm: str
    unit: str
    varied: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    begun: int
    wall_seconds: float
    axis: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    is_local: bool = False

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SweepResult:
        """Return the result of `dataclasses.asdict`, also after it was stored as JSON."""
        return cls(**{**fields, "varied": tuple(fields["varied"]), "rows": tuple(fields["rows"])})

    @property
    def counts(self) -> dict[str, int]:
        """Number of points by status."""
        return dict(Counter(row["status"] for row in self.rows))

    @property
    def is_complete(self) -> bool:
        """True if every point has a result."""
        return all(row["status"] in WITH_RESULT for row in self.rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns with a value in at least one row."""
        return tuple(name for name in self.rows[0] if any(row[name] is not None for row in self.rows))

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "algorithm": self.algorithm,
            "unit": self.unit,
            "complete": self.is_complete,
            "counts": self.counts,
            "costs": dict(self.costs),
            "is_local": self.is_local,
            "begun": self.begun,
            "wall_seconds": self.wall_seconds,
            "varied": list(self.varied),
            "axis": self.axis,
            "points": [dict(row) for row in self.rows],
        }

    def to_json(self) -> str:
        """Return one JSON document."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)

    def __str__(self) -> str:
        """Return the table as the command line prints it."""
        settings = [name for name in self.varied if name not in _SHOWN]
        columns = ["run_key", *settings, "status", *(name for name in _SHOWN if name in self.columns)]
        return "\n".join([*format_table(columns, self.rows), "", self.title, *self._unfinished()])

    @property
    def title(self) -> str:
        """Line with the number of points by status, the time, and what all points have cost so far."""
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        done = f"{self.begun} run now, {format_duration(self.wall_seconds)}"
        cost = amounts_text(self.costs) + LOCAL_NOTE * self.is_local if self.costs else "none"
        return f"{self.name}: {len(self.rows)} points, {counts}; {done}; cost {cost}"

    def text(self) -> str:
        """Return the text of the sweep's message: its points without a result, with their reasons."""
        lines = list(islice(self._unfinished(), _MAX_TOLD + 1))
        return "\n".join([self.title, *lines[:_MAX_TOLD], *["  and others"] * (len(lines) > _MAX_TOLD)])

    def _unfinished(self) -> Iterator[str]:
        for row in self.rows:
            if row["status"] not in WITH_RESULT:
                yield escape_line(f"  {row['run_key']}  {row['status']}: {row['reason']}")

    def _repr_html_(self) -> str:
        """Return the table as HTML, for notebooks."""
        return as_html(str(self))

    def to_csv(self) -> str:
        """Return the rows as CSV with a header; lists are joined by spaces."""
        return csv_text(self.columns, ([join_list(row[name]) for name in self.columns] for row in self.rows))

    def picture(self) -> Picture:
        """Return the picture of values with errors over what was varied, with exact values where they are known."""
        from hybridloop.reports.plots.curves import curve

        rows = [row for row in self.rows if row["value"] is not None]
        missing = len(self.rows) - len(rows)
        title = f"{self.name}: {len(rows)} points" + (f", {missing} without a result" if missing else "")
        quantity = ALGORITHMS[self.algorithm].value
        return curve(title, rows, self.varied, self.unit, label=self.axis, quantity=quantity)

    def plot(self, path: str | None = None) -> Any:
        """Return the picture as a matplotlib figure; written to `path` (.svg, .png, .pdf) if given."""
        picture = self.picture()
        if path is not None:
            picture.save(path)
        return picture.figure


def result_of(
    spec: SweepSpec,
    points: Sequence[Point],
    rows: Sequence[dict[str, Any]],
    begun: int,
    wall_seconds: float,
    costs: Mapping[str, float],
    *,
    is_local: bool,
) -> SweepResult:
    """Return the result of a sweep from its points' rows, with the coordinates by which their geometries differ."""
    geometries = [geometry_of(point.problem.text or "") for point in points]
    columns = dict(zip((point.key for point in points), coordinate_columns(geometries), strict=True))
    names = dict.fromkeys(name for row in rows for name in row)
    return SweepResult(
        *(spec.name, spec.algorithm, _unit(spec.algorithm, points), (PROBLEM, *varied_settings(spec))),
        rows=tuple({**dict.fromkeys(names), **row, **columns[row["run_key"]]} for row in rows),
        begun=begun,
        wall_seconds=wall_seconds,
        axis=spec.axis,
        costs=costs,
        is_local=is_local,
    )


def _unit(algorithm: str, points: Sequence[Point]) -> str:
    """Return the unit of the points' values: hartree if all are energies of molecules, else an empty text."""
    problems = {(point.problem.name, point.problem.text): point.problem for point in points}
    is_energy = ALGORITHMS[algorithm].value is Value.ENERGY
    return "hartree" if is_energy and all(map(is_in_hartree, problems.values())) else ""


def row_of(point: Point, record: RunRecord | None, trouble: str = "") -> dict[str, Any]:
    """Return a point's row from the record of its run; `trouble` is the error of its last attempt."""
    status = NOT_BEGUN if record is None else "interrupted" if record.is_orphaned(time.time()) else record.status
    if status == NOT_BEGUN and trouble:
        status = "failed"
    result = (record.result if record is not None and status in WITH_RESULT else None) or {}
    if result.get("is_upper_bound"):  # its error is no bar
        result = {**result, "standard_error": None}
    reason = trouble or (record.reason if record is not None else "")
    return {
        "run_key": point.key,
        **{name: _plain(value) for name, value in point.varied.items()},
        "status": status,
        **{name: result.get(name) for name in _OF_RESULT},
        "exact_of": "active space" if result.get("is_active_space") else None,
        "jobs": result["jobs"]["total"] if result else None,
        "total_shots": result.get("shots"),
        "cost": " ".join(f"{amount:g} {unit}" for unit, amount in result["costs"].items()) or None if result else None,
        "sessions": [row["id"] for row in result["sessions"] if row["status"] != NEVER_OPENED] if result else None,
        "seconds": result.get("wall_seconds"),
        "reason": result.get("reason") or reason,
        **dict(_of_observables(result.get("observables") or ())),
    }


def _of_observables(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield the columns of the operators beside the energy: each one's value and standard error, by name and unit."""
    for row in rows:
        name = " ".join(filter(None, [row.get("point"), row["observable"], row["unit"] and f"({row['unit']})"]))
        yield from ((name, row["value"]), (f"{name} error", row["standard_error"]))


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | type(None)) else json.dumps(value, default=str)
