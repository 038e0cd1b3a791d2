"""A run's report in Prefect: one markdown artifact, kept up to date at a bounded rate, and bounded in size.

A run's convergence as a small SVG written by hand, in no time: for what is drawn anew as the run goes on.
"""

from __future__ import annotations

import base64
import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from uuid import UUID

from hybridloop.algorithms.outcome import RoundProgress
from hybridloop.reports.answer import format_cost, summarize
from hybridloop.runs.result import TABLES, RunResult, table
from hybridloop.runtime.text_table import format_cell

MOST_POINTS = 300  # of more every so many-th is drawn, and the last
WIDTH, HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 16, 16, 36
_BLUE, _ORANGE, _GREEN, _INK = "#0072b2", "#c65102", "#007d5a", "#1b1f24"


def sketch(result: RunResult) -> str:
    """Value by round with its standard error, and the exact one where it is known; on a ground of its own."""
    drawn = _thinned(result.history)
    lines = [] if result.exact is None else [result.exact]
    low = min([*lines, *(each.value - each.standard_error for each in drawn)])
    high = max([*lines, *(each.value + each.standard_error for each in drawn)])
    room = 0.05 * (high - low) or 0.5
    low, high = low - room, high + room
    last = max(2, result.history[-1].round)

    def x(round_: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * (round_ - 1) / (last - 1), 1)

    def y(value: float) -> float:
        return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low), 1)

    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fefefe"/>',
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#59636e"/>',
        *(_text(_LEFT - 6, y(value) + 4, f"{value:.5g}", "end") for value in (low + room, high - room)),
        _text(_LEFT, HEIGHT - 12, "round 1", "start"),
        _text(right, HEIGHT - 12, f"round {last}", "end"),
    ]
    if result.exact is not None:
        at = y(result.exact)
        parts.append(f'<path d="M{_LEFT} {at}H{right}" stroke="{_GREEN}" stroke-dasharray="5 3"/>')
    whole = " ".join(f"{x(each.round)},{y(each.value)}" for each in drawn)
    parts.append(f'<polyline points="{whole}" fill="none" stroke="{_BLUE}" stroke-opacity=".5"/>')
    for each in drawn:
        colour, at = _ORANGE if each.phase == "final" else _BLUE, x(each.round)
        ends = y(each.value - each.standard_error), y(each.value + each.standard_error)
        parts.append(f'<path d="M{at} {ends[0]}V{ends[1]}" stroke="{colour}"/>')
        parts.append(f'<circle cx="{at}" cy="{y(each.value)}" r="2.5" fill="{colour}"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


def _thinned(history: Sequence[RoundProgress]) -> list[RoundProgress]:
    stride = -(-len(history) // MOST_POINTS)
    return [*history[:-1:stride], history[-1]]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{_INK}">{escape(text)}</text>'


FIRST_AFTER_S = 10.0  # a run that has ended by then has the last one alone
SHARE = 0.02  # of a run's time that its artifact may take
PATIENCE_S = 5.0  # with the server, for each telling
_NOT_IN_A_KEY = re.compile(r"[^a-z0-9]+")
_SPECIAL = re.compile(r"[!-$&-*<>?@\[-`{-~]")
_UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
MOST_ROWS = 50  # of the table of points, levels or operators
_UID_DIGITS = 8

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class RunArtifact:
    """The artifact of a run in its flow run; a later flow run of the same run writes under the same key."""

    run_key: str
    run_uid: str
    flow_run_id: str | None
    now: Callable[[], float] = time.monotonic
    _id: UUID | None = None
    _next_at: float = field(init=False)
    _is_in_trouble: bool = False

    def __post_init__(self) -> None:
        self._next_at = self.now() + FIRST_AFTER_S

    @property
    def key(self) -> str:
        """Its key in Prefect, which takes small letters, digits and dashes."""
        return f"run-{_NOT_IN_A_KEY.sub('-', self.run_key.lower()).strip('-')}-{self.run_uid[:_UID_DIGITS]}"

    def update(self, so_far: Callable[[], RunResult]) -> None:
        """Tell how the run stands, unless that was told lately. Prefect's trouble is not the run's."""
        if self.now() >= self._next_at:
            self.write(so_far)

    def write(self, result: Callable[[], RunResult]) -> None:
        """Tell it now."""
        began = self.now()
        try:
            self._put(markdown_of(result()))
            self._is_in_trouble = False
        except Exception as error:  # whatever it is: a report must not end a run, nor hide how it ended
            if not self._is_in_trouble:
                _log.warning("Prefect shows no report of the run: %s", error)
            self._is_in_trouble = True
        took = self.now() - began
        self._next_at = self.now() + max(FIRST_AFTER_S, took / SHARE)

    def _put(self, markdown: str) -> None:
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
        from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),  # it would wait a minute for a server that is gone
            get_client(sync_client=True, httpx_settings={"timeout": PATIENCE_S}) as client,
        ):
            if self._id is not None:
                client.update_artifact(self._id, ArtifactUpdate(data=markdown))
                return
            made = ArtifactCreate(
                key=self.key,
                type="markdown",
                description=f"Report of run {self.run_key}",
                data=markdown,
                flow_run_id=None if self.flow_run_id is None else UUID(self.flow_run_id),
            )
            self._id = client.create_artifact(made).id


def markdown_of(result: RunResult) -> str:
    """The report in markdown; all of its texts are escaped, and its picture is data in an image."""
    answer = summarize(result)
    lines = [f"# {escaped(result.problem)}: {escaped(answer.headline)}", "", escaped(answer.meaning or _running()), ""]
    rows = [
        ("Algorithm", result.algorithm),
        ("Target", result.target),
        *answer.lines,
        ("Rounds", f"{result.rounds:,}"),
        ("Jobs", f"{result.jobs:,}, {result.retried:,} further attempts, {result.pings:,} pings"),
        ("Shots", f"{result.shots:,}"),
        ("Billed", format_cost(result.cost) or "not stated by the service"),
        *((f"Session {number}", f"{each.id} {each.status}") for number, each in enumerate(result.sessions[-10:], 1)),
        ("Run", result.run_key),
    ]
    lines += _table(("what", "value"), rows)
    if found := table(result):
        columns = tuple(name.replace("_", " ") for name in found[0])
        shown = [tuple(format_cell(each) for each in row.values()) for row in found[:MOST_ROWS]]
        lines += ["", f"## {TABLES[result.algorithm]}", "", *_table(columns, shown)]
        if len(found) > MOST_ROWS:
            lines += ["", f"The first {MOST_ROWS} of {len(found):,}; the report has more."]
    for heading, texts in (("Reasons to doubt it", answer.warnings), ("What was chosen", answer.choices)):
        if texts:
            lines += ["", f"## {heading}", "", *(f"- {escaped(text)}" for text in texts)]
    if len(result.history) > 1:
        svg = base64.b64encode(sketch(result).encode()).decode()
        lines += ["", f"![Value by round; the numbers are above](data:image/svg+xml;base64,{svg})"]
    lines += ["", f"The whole report: `hybridloop runs report {result.run_key}`", ""]
    return "\n".join(lines)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table, its texts escaped."""
    lines = (columns, ("---",) * len(columns))
    escaped_rows = (tuple(map(escaped, row)) for row in rows)
    return [f"| {' | '.join(row)} |" for row in (*lines, *escaped_rows)]


def escaped(text: str) -> str:
    r"""Text as markdown that reads as it is: a backslash before whatever could mean something there, or in HTML.

    No character's number stands for it: Prefect's page shows that as it is written.

    >>> print(escaped("<b> a|b *c* (d)"))
    \<b\> a\|b \*c\* \(d\)
    """
    return " ".join(_SPECIAL.sub(r"\\\g<0>", _UNSEEN.sub("\ufffd", text)).split())


def _running() -> str:
    return f"Under way, as of {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC."
