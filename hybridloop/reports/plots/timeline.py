"""Timeline plot: sessions with their rounds in flight, idle times, pings and renewals."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hybridloop.journal import ping_span_key, round_span_key
from hybridloop.reports.plots.request import PlotRequest
from hybridloop.reports.plots.style import BLUE, GRID, INK, MUTED, ORANGE, Picture, axes_of, legend
from hybridloop.runs.stored_run import StoredRun
from hybridloop.runtime.durations import format_duration

_MAX_LANES = 6  # one per session; more sessions, which never overlap, alternate between two lanes
_RESOLUTION = 1 / 1500  # of the whole: stretches that lie nearer together are drawn as one
_LONG_GAP = 0.25  # of the total time in sessions: a longer gap is drawn short, with its length as text
_SHORT_GAP = 0.06
_UNITS = ((172_800.0, 86_400.0, "days"), (7200.0, 3600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))

Stretch = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Lane:
    """A session in epoch seconds; stretches `in_flight` are disjoint and in order, `pings` are times of submission."""

    id: str
    reason: str
    status: str
    open: Stretch
    in_flight: tuple[Stretch, ...]
    pings: tuple[float, ...]

    @property
    def idle_s(self) -> float:
        """Return the seconds without a round in flight."""
        return self.open[1] - self.open[0] - sum(end - begin for begin, end in self.in_flight)


def session_lanes(run: StoredRun) -> list[Lane]:
    """Return the sessions of a run in their order; none for journals of early versions, which recorded no times."""
    if not run.spans:
        return []
    now = run.record.updated_at
    begun = [row.opened_at for row in run.sessions]
    times = [end for row in run.sessions if (end := row.ended_at) is not None]
    times += [time for span in run.spans.values() for time in (span.begun_at, span.ended_at) if time is not None]
    horizon = max([*times, *begun], default=now)
    busy: dict[int, list[Stretch]] = {row.ordinal: [] for row in run.sessions}
    for round_ in run.rounds():
        span = run.spans.get(round_span_key(round_.stream, round_.sequence))
        for ordinal in {job.session for job in round_.jobs} & busy.keys() if span is not None else ():
            assert span is not None
            busy[ordinal].append((span.begun_at, horizon if span.ended_at is None else span.ended_at))
    pings: dict[int, list[float]] = {row.ordinal: [] for row in run.sessions}
    for ping in run.pings:
        if (span := run.spans.get(ping_span_key(ping.session, ping.n))) is not None and ping.session in pings:
            pings[ping.session].append(span.begun_at)
    lanes = []
    for row in run.sessions:
        whole = (row.opened_at, max(row.opened_at, horizon if row.ended_at is None else row.ended_at))
        lanes.append(
            Lane(row.id, row.reason, row.status, whole, _union(busy[row.ordinal], whole), tuple(pings[row.ordinal]))
        )
    return lanes


def of_sessions(request: PlotRequest) -> Picture | None:
    """Draw the sessions of a result's run; None if it had none."""
    return of_run(request.load())


def of_run(run: StoredRun) -> Picture | None:
    """Draw the sessions of a run; None if it had none."""
    lanes = session_lanes(run)
    return timeline(lanes, run.record.problem or run.record.key) if lanes else None


def timeline(lanes: Sequence[Lane], problem: str) -> Picture:
    """Draw a lane for each session with its rounds in flight; long gaps between sessions are shortened."""
    scale = _Scale(lanes)
    rows = len(lanes) if len(lanes) <= _MAX_LANES else 2
    figure, axes = axes_of(f"{problem}: sessions and their rounds", (5.4, 2.1 + 0.36 * rows))
    height = 0.6
    for number, lane in enumerate(lanes):
        y = -(number % rows)
        begin, end = (scale(time) for time in lane.open)
        axes.barh(y, end - begin, height, begin, color=GRID, label="session open, idle")
        blocks = _merged([(scale(a), scale(b)) for a, b in lane.in_flight], scale.length * _RESOLUTION)
        if blocks:
            widths = [(a, max(b - a, scale.length * _RESOLUTION)) for a, b in blocks]
            axes.broken_barh(widths, (y - height / 2, height), color=BLUE, label="round in flight")
        if lane.pings:
            times = [scale(time) for time in lane.pings]
            axes.plot(times, [y] * len(times), "d", color=ORANGE, markersize=6, label="ping")
        if lane.reason:
            axes.plot([begin], [y], ">", color=INK, markersize=6, label="renewed or resumed")
    for at, hidden_s in scale.gaps:
        axes.axvline(at, color=MUTED, linestyle=":", linewidth=1)
        label = f"{format_duration(hidden_s)} later"
        axes.text(at, 0.62, label, ha="center", va="bottom", fontsize="small", color=MUTED)
    axes.set_xlabel(f"{scale.unit} since the first session was opened")
    axes.set_yticks(
        [-row for row in range(rows)],
        [f"session {row + 1}" if len(lanes) <= rows else f"sessions {row + 1}, {row + 3}, …" for row in range(rows)],
    )
    axes.set_ylim(-rows + 0.4, 1.0 if scale.gaps else 0.6)
    legend(axes, below=True)
    return Picture("timeline", "Sessions and their rounds", describe(lanes), figure)


def describe(lanes: Sequence[Lane]) -> str:
    """Describe sessions, idle time, pings and renewals in sentences."""
    open_s = sum(lane.open[1] - lane.open[0] for lane in lanes)
    idle_s, pings = sum(lane.idle_s for lane in lanes), sum(len(lane.pings) for lane in lanes)
    count = "1 session was" if len(lanes) == 1 else f"{len(lanes)} sessions were"
    words = f"{count} open for {format_duration(open_s)} together, "
    words += f"{format_duration(idle_s)} of them with no round in flight"
    words += f"; {pings} ping{'' if pings == 1 else 's'} kept a session alive." if pings else "."
    reasons = Counter(lane.reason for lane in lanes if lane.reason)
    renewals = ", ".join(f"{number} after {reason!r}" for reason, number in reasons.items())
    return f"{words} Sessions that followed another: {renewals}." if renewals else words


class _Scale:
    """Map from epoch seconds to the axis; `gaps` are the shortened gaps, as (position, seconds)."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        stretches = _union([lane.open for lane in lanes], (-math.inf, math.inf))
        open_s = sum(end - begin for begin, end in stretches) or 1.0
        short_s = _SHORT_GAP * open_s
        self._start, hidden = stretches[0][0], 0.0
        self._steps: list[tuple[float, float]] = []  # (time, seconds hidden before it)
        cuts: list[tuple[float, float]] = []
        for (_, end), (begin, _) in itertools.pairwise(stretches):
            if begin - end > _LONG_GAP * open_s:
                cuts.append((end - self._start - hidden, begin - end))
                hidden += begin - end - short_s
                self._steps.append((begin, hidden))
        whole_s = stretches[-1][1] - self._start - hidden
        self._divisor, self.unit = next((divisor, name) for least, divisor, name in _UNITS if whole_s >= least)
        self.length = max(whole_s, 1e-9) / self._divisor
        self.gaps = [((position + short_s / 2) / self._divisor, seconds) for position, seconds in cuts]

    def __call__(self, time: float) -> float:
        hidden = next((seconds for since, seconds in reversed(self._steps) if time >= since), 0.0)
        return (time - self._start - hidden) / self._divisor


def _union(stretches: Sequence[Stretch], within: Stretch) -> tuple[Stretch, ...]:
    """Return the union of stretches, cut to `within`, in order."""
    low, high = within
    cut = sorted((max(low, begin), min(high, end)) for begin, end in stretches if end >= low and begin <= high)
    return tuple(_merged(cut, 0.0))


def _merged(stretches: Sequence[Stretch], max_gap: float) -> list[Stretch]:
    """Merge ordered stretches that are at most `max_gap` apart."""
    merged: list[Stretch] = []
    for begin, end in stretches:
        if merged and begin - merged[-1][1] <= max_gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged
