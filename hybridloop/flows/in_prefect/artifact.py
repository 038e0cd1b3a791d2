"""Report of a run as a markdown artifact in Prefect, updated at a bounded rate, and bounded in size.

Its convergence plot is a small hand-written SVG, since it is drawn again after rounds.
"""

from __future__ import annotations

import base64
import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from hybridloop.algorithms.outcome import RoundProgress
from hybridloop.descriptions import ALGORITHMS
from hybridloop.results.answer import summarize
from hybridloop.results.live import name_of_progress
from hybridloop.results.result import RunResult
from hybridloop.results.result_text import OBSERVABLES, cost_text, heading_of, observable_table, table
from hybridloop.runtime.escaping import escape_html, escape_markdown
from hybridloop.runtime.text_table import format_cell

MAX_POINTS = 300  # of a longer history every n-th round is drawn, and the last
WIDTH, HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 16, 16, 36
_BLUE, _ORANGE, _GREEN, _TEXT = "#0072b2", "#c65102", "#007d5a", "#1b1f24"

MIN_INTERVAL_S = 10.0  # a shorter run has only its final report
MAX_TIME_SHARE = 0.02  # of a run's time for its artifact
_NOT_IN_A_KEY = re.compile(r"[^a-z0-9]+")
MAX_ROWS = 50  # of the table of points, levels or operators
_UID_DIGITS = 8

_log = logging.getLogger(__name__)


def convergence_svg(result: RunResult) -> str:
    """Plot the value by round with its standard error, and the exact value if known, as SVG."""
    entries = _thin_out(result.history)
    lines = [] if result.exact is None else [result.exact]
    low = min([*lines, *(entry.value - entry.standard_error for entry in entries)])
    high = max([*lines, *(entry.value + entry.standard_error for entry in entries)])
    room = 0.05 * (high - low) or 0.5
    low, high = low - room, high + room
    last, counted = max(2, result.history[-1].round), name_of_progress(result.algorithm)

    def x(round_: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * (round_ - 1) / (last - 1), 1)

    def y(value: float) -> float:
        return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low), 1)

    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fefefe"/>',
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#59636e"/>',
        *(_text(_LEFT - 6, y(value) + 4, f"{value:.5g}", "end") for value in (low + room, high - room)),
        _text(_LEFT, HEIGHT - 12, f"{counted} 1", "start"),
        _text(right, HEIGHT - 12, f"{counted} {last}", "end"),
    ]
    if result.exact is not None:
        at = y(result.exact)
        parts.append(f'<path d="M{_LEFT} {at}H{right}" stroke="{_GREEN}" stroke-dasharray="5 3"/>')
    whole = " ".join(f"{x(entry.round)},{y(entry.value)}" for entry in entries)
    parts.append(f'<polyline points="{whole}" fill="none" stroke="{_BLUE}" stroke-opacity=".5"/>')
    for entry in entries:
        colour, at = _ORANGE if entry.phase == "final" else _BLUE, x(entry.round)
        ends = y(entry.value - entry.standard_error), y(entry.value + entry.standard_error)
        parts.append(f'<path d="M{at} {ends[0]}V{ends[1]}" stroke="{colour}"/>')
        parts.append(f'<circle cx="{at}" cy="{y(entry.value)}" r="2.5" fill="{colour}"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


def _thin_out(history: Sequence[RoundProgress]) -> list[RoundProgress]:
    stride = -(-len(history) // MAX_POINTS)
    return [*history[:-1:stride], history[-1]]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{_TEXT}">{escape_html(text)}</text>'


@dataclass(slots=True)
class RunArtifact:
    """The artifact of a run in its flow run; a later flow run of the same run writes under the same key."""

    run_key: str
    run_uid: str
    flow_run_id: str | None
    now: Callable[[], float] = time.monotonic
    _id: UUID | None = None
    _next_at: float = field(init=False)
    _has_failed: bool = False

    def __post_init__(self) -> None:
        self._next_at = self.now() + MIN_INTERVAL_S

    @property
    def key(self) -> str:
        """Artifact key: lowercase letters, digits and dashes."""
        return f"run-{_NOT_IN_A_KEY.sub('-', self.run_key.lower()).strip('-')}-{self.run_uid[:_UID_DIGITS]}"

    def update(self, result_so_far: Callable[[], RunResult]) -> None:
        """Write the report, unless it was written recently. Errors of Prefect are logged, not raised."""
        if self.now() >= self._next_at:
            self.write(result_so_far)

    def write(self, result: Callable[[], RunResult]) -> None:
        """Write the report now. Errors of Prefect are logged, not raised."""
        began = self.now()
        try:
            self._put(report_markdown(result()))
            self._has_failed = False
        except Exception as error:  # of any kind: a report must not end a run, nor hide its end
            if not self._has_failed:
                _log.warning("the report of the run could not be written to Prefect: %s", error)
            self._has_failed = True
        took = self.now() - began
        self._next_at = self.now() + max(MIN_INTERVAL_S, took / MAX_TIME_SHARE)

    def _put(self, markdown: str) -> None:
        from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

        from hybridloop.flows.in_prefect.one_request import client_without_retries

        with client_without_retries() as client:
            if self._id is not None:
                client.update_artifact(self._id, ArtifactUpdate(data=markdown))
                return
            artifact = ArtifactCreate(
                key=self.key,
                type="markdown",
                description=f"Report of run {self.run_key}",
                data=markdown,
                flow_run_id=None if self.flow_run_id is None else UUID(self.flow_run_id),
            )
            self._id = client.create_artifact(artifact).id


def report_markdown(result: RunResult) -> str:
    """Return the report as markdown: all texts are escaped, and the plot is a data URL."""
    answer = summarize(result)
    meaning = answer.meaning or f"Running, as of {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC."
    title = escape_markdown(f"{result.problem}: {answer.headline}")
    lines = [f"# {title}", "", escape_markdown(meaning), ""]
    rows = [
        ("Algorithm", result.algorithm),
        ("Target", result.target),
        *answer.details,
        ("Rounds", f"{result.rounds:,}"),
        ("Jobs", f"{result.jobs:,}, {result.retried:,} further attempts, {result.pings:,} pings"),
        ("Shots", f"{result.shots:,}"),
        ("Cost", cost_text(result)),
        *((f"Session {n}", f"{session.id} {session.status}") for n, session in enumerate(result.sessions[-10:], 1)),
        ("Run", result.run_key),
    ]
    lines += _table(("what", "value"), rows)
    tables = {ALGORITHMS[result.algorithm].table_title: table(result), OBSERVABLES: observable_table(result)}
    for heading, records in tables.items():
        if not records:
            continue
        columns = tuple(heading_of(name, result.unit) for name in records[0])
        shown = [tuple(format_cell(value) for value in row.values()) for row in records[:MAX_ROWS]]
        lines += ["", f"## {heading}", "", *_table(columns, shown)]
        if len(records) > MAX_ROWS:
            lines += ["", f"The first {MAX_ROWS} of {len(records):,}; the report has more."]
    for heading, texts in (("Warnings", answer.warnings), ("Automatic choices", answer.choices)):
        if texts:
            lines += ["", f"## {heading}", "", *(f"- {escape_markdown(text)}" for text in texts)]
    if len(result.history) > 1:
        svg = base64.b64encode(convergence_svg(result).encode()).decode()
        lines += ["", f"![Value by round; the numbers are above](data:image/svg+xml;base64,{svg})"]
    lines += ["", f"The whole report: `hybridloop runs report {result.run_key}`", ""]
    return "\n".join(lines)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a markdown table, its texts escaped."""
    head, *lines = ([*map(escape_markdown, row)] for row in (columns, *rows))
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(columns), *lines)]
