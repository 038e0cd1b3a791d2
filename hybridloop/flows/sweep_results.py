"""What a sweep hands back: one row for each point, from the journal, and a picture of them."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybridloop.flows.runs import FINISHED
from hybridloop.flows.sweep_spec import PROBLEM, Point
from hybridloop.flows.text_table import aligned, as_page
from hybridloop.sessions.durations import one_unit
from hybridloop.sessions.journal import RunRecord
from hybridloop.sessions.sweep import is_orphaned

NOT_BEGUN = "not begun"
_OF_RESULT = ("value", "standard_error", "exact", "error", "reference", "best_value", "approximation_ratio", "rounds")
_SHOWN = ("problem", "value", "standard_error", "exact", "error", "best_value", "rounds", "jobs")
_NUMBERED = re.compile(r"(?P<name>.*)[-_](?P<number>\d+(\.\d+)?)")


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
        took = f"{self.begun} run now, {one_unit(self.wall_seconds)}"
        unfinished = (row for row in self.rows if row["status"] not in FINISHED)
        lines = [
            *aligned(columns, self.rows),
            "",
            f"{self.name}: {len(self.rows)} points, {counted}; {took}",
            *(f"  {row['run']}  {row['status']}: {row['reason']}" for row in unfinished),
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        return as_page(str(self))

    def to_csv(self) -> str:
        """The rows under their columns' names; lists are joined by spaces."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(row[name]) for name in self.columns] for row in self.rows)
        return text.getvalue()

    def plot(self, path: str | None = None) -> Any:
        """The values as a matplotlib figure; written to `path` (.svg, .png, .pdf) if one is given."""
        from hybridloop.flows.sweep_pictures import curve

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


def axis_of(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> tuple[str, list[float]] | None:
    """What to draw values over: the first setting that is a number, else the number that ends the problems' names.

    >>> axis_of([{"problem": "h2-0.5"}, {"problem": "h2-0.735"}], ["problem"])
    ('number after h2', [0.5, 0.735])
    """
    for name in (each for each in varied if each != PROBLEM):
        values = [row.get(name) for row in rows]
        numbers = [float(each) for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
        if len(numbers) == len(rows) and len(set(numbers)) > 1:
            return name, numbers
    found = [match for row in rows if (match := _NUMBERED.fullmatch(str(row[PROBLEM])))]
    ends = [float(match["number"]) for match in found]
    if len(found) == len(rows) and len(set(ends)) > 1 and len({match["name"] for match in found}) == 1:
        return f"number after {found[0]['name']}", ends
    return None


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | type(None)) else json.dumps(value, default=str)


def _cell(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list) else value
