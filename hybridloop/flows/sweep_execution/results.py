"""What a sweep hands back: one row for each point, from the journal, and a picture of them.

A sweep as a picture, made without a screen: its values over what was varied, against the exact ones.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hybridloop.flows.sweep_execution.spec import Point
from hybridloop.journal import RunRecord
from hybridloop.reports.plots.style import numeric_axis
from hybridloop.runs.statuses import FINISHED
from hybridloop.runtime.durations import format_duration
from hybridloop.runtime.text_table import as_html, format_table
from hybridloop.tasks.orphans import is_orphaned

NOT_BEGUN = "not begun"
_OF_RESULT = ("value", "standard_error", "exact", "error", "reference", "best_value", "approximation_ratio", "rounds")
_SHOWN = ("problem", "value", "standard_error", "exact", "error", "best_value", "rounds", "jobs")


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The table of a sweep: `rows` have the same columns, of which `varied` are what the points differ in.

    A row has its run's key (`run`), its status and why, and, where the run has ended, what `RunResult` says: value
    with its standard error, the exact value where it is known, rounds, jobs, all their shots (`total_shots`), what the
    service billed, the ids of its sessions and the seconds it took. A point that could not be run to its end has None
    there; what was measured of it is in the journal, and the sweep, started again, goes on with it.
    """

    name: str
    algorithm: str
    unit: str
    varied: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    begun: int
    wall_seconds: float

    @property
    def counts(self) -> dict[str, int]:
        """How many points have each status."""
        return dict(Counter(row["status"] for row in self.rows))

    @property
    def is_complete(self) -> bool:
        """Whether every point has its result."""
        return all(row["status"] in FINISHED for row in self.rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of which any row has something."""
        return tuple(name for name in self.rows[0] if any(row[name] is not None for row in self.rows))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "name": self.name,
            "algorithm": self.algorithm,
            "unit": self.unit,
            "complete": self.is_complete,
            "counts": self.counts,
            "begun": self.begun,
            "wall_seconds": self.wall_seconds,
            "varied": list(self.varied),
            "points": [dict(row) for row in self.rows],
        }

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)

    def __str__(self) -> str:
        """What the command line prints of it."""
        settings = [name for name in self.varied if name not in _SHOWN]
        columns = ["run", *settings, "status", *(name for name in _SHOWN if name in self.columns)]
        counted = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        took = f"{self.begun} run now, {format_duration(self.wall_seconds)}"
        unfinished = (row for row in self.rows if row["status"] not in FINISHED)
        lines = [
            *format_table(columns, self.rows),
            "",
            f"{self.name}: {len(self.rows)} points, {counted}; {took}",
            *(f"  {row['run']}  {row['status']}: {row['reason']}" for row in unfinished),
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        return as_html(str(self))

    def to_csv(self) -> str:
        """The rows under their columns' names; lists are joined by spaces."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(row[name]) for name in self.columns] for row in self.rows)
        return text.getvalue()

    def plot(self, path: str | None = None) -> Any:
        """The values as a matplotlib figure; written to `path` (.svg, .png, .pdf) if one is given."""
        figure = curve(self)
        if path is not None:
            figure.savefig(path)
        return figure


def row_of(point: Point, record: RunRecord | None, trouble: str = "") -> dict[str, Any]:
    """A point's row, by the journal's record of its run; `trouble` is what the last attempt ended with."""
    status = NOT_BEGUN if record is None else "interrupted" if is_orphaned(record, time.time()) else record.status
    if status == NOT_BEGUN and trouble:
        status = "failed"
    result = (record.result if record is not None and status in FINISHED else None) or {}
    reason = trouble or (record.reason if record is not None else "")
    return {
        "run": point.key,
        **{name: _plain(value) for name, value in point.varied.items()},
        "status": status,
        **{name: result.get(name) for name in _OF_RESULT},
        "jobs": result["jobs"]["total"] if result else None,
        "total_shots": result.get("shots"),
        "cost": " ".join(f"{amount:g} {unit}" for unit, amount in result["costs"].items()) or None if result else None,
        "sessions": [each["id"] for each in result["sessions"]] if result else None,
        "seconds": result.get("wall_seconds"),
        "reason": result.get("reason") or reason,
    }


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | type(None)) else json.dumps(value, default=str)


def _cell(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list) else value


_MOST_SERIES = 8
_MOST_NAMES = 24


def curve(result: SweepResult) -> Figure:
    """Values with their standard errors over the axis, a series for each combination of what else was varied."""
    rows = [row for row in result.rows if row["value"] is not None]
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    missing = len(result.rows) - len(rows)
    axes.set_title(f"{result.name}: {len(rows)} points" + (f", {missing} without a result" if missing else ""))
    axes.set_ylabel(f"value ({result.unit})" if result.unit else "value")
    if not rows:
        return figure
    found = numeric_axis(rows, result.varied)
    name, places = found or ("point", [float(number) for number, _ in enumerate(rows, start=1)])
    series: defaultdict[str, list[tuple[float, Mapping[str, Any]]]] = defaultdict(list)
    for place, row in zip(places, rows, strict=True):
        series[_series(row, result.varied, name) if found else ""].append((place, row))
    if len(series) > _MOST_SERIES:
        series = defaultdict(list, {"": [each for every in series.values() for each in every]})
    for label, members in series.items():
        members.sort(key=lambda each: each[0])
        axes.errorbar(
            [place for place, _ in members],
            [row["value"] for _, row in members],
            yerr=[row["standard_error"] for _, row in members],
            fmt="o" if found else "s",
            markersize=4,
            capsize=2,
            label=f"{label or 'measured'} (± 1 standard error)",
        )
    exact = sorted({(place, row["exact"]) for place, row in zip(places, rows, strict=True) if row["exact"] is not None})
    if exact:
        axes.plot(*zip(*exact, strict=True), "-" if found else "_", color="#2c7a3f", linewidth=1, label="exact")
    axes.set_xlabel(name)
    if found is None:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(rows) <= _MOST_NAMES:
            axes.set_xticks(places, [str(row["problem"]) for row in rows], rotation=60, ha="right", fontsize="small")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.legend(fontsize="small", framealpha=0.9)
    return figure


def _series(row: Mapping[str, Any], varied: tuple[str, ...], axis: str) -> str:
    names = [each for each in ("problem", *varied) if each != axis]
    if axis not in varied:  # the axis is the problem's
        names.remove("problem")
    return ", ".join(str(row[each]) if each == "problem" else f"{each} {row.get(each)}" for each in names)
