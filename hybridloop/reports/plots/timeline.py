"""Where a run's time went: its sessions with their rounds, idle times, pings and renewals."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hybridloop.journal import ping_span_key, round_span_key
from hybridloop.reports.plots.style import BLUE, GRID, INK, MUTED, ORANGE, Picture, axes_of, legend
from hybridloop.runs.stored_run import KeptRun
from hybridloop.runtime.durations import format_duration

_MOST_LANES = 6  # one each; of more, which never overlap, every other one shares a lane
_FINEST = 1 / 1500  # of the whole: what lies nearer together is drawn as one
_LONG_GAP = 0.25  # of all the time in sessions: a longer one between two is drawn short, and said
_SHORT_GAP = 0.06
_UNITS = ((172_800.0, 86_400.0, "days"), (7200.0, 3600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))

Stretch = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Lane:
    """A session's time in epoch seconds; `in_flight` is apart and in order, `pings` are moments."""

    id: str
    reason: str
    status: str
    open: Stretch
    in_flight: tuple[Stretch, ...]
    pings: tuple[float, ...]

    @property
    def idle_s(self) -> float:
        """For how long it was open with no round in flight."""
        return self.open[1] - self.open[0] - sum(end - begin for begin, end in self.in_flight)


def lanes_of(run: KeptRun) -> list[Lane]:
    """The sessions of a run in their order; none of a run whose times were not written down, as once they were not."""
    if not run.spans:
        return []
    now = run.record.updated_at
    begun = [row.opened_at for row in run.sessions]
    last = [end for row in run.sessions if (end := row.ended_at) is not None]
    last += [moment for span in run.spans.values() for moment in (span.begun_at, span.ended_at) if moment is not None]
    horizon = max([*last, *begun], default=now)
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
            Lane(row.id, row.reason, row.status, whole, _joined(busy[row.ordinal], whole), tuple(pings[row.ordinal]))
        )
    return lanes


def timeline(lanes: Sequence[Lane], problem: str) -> Picture:
    """A lane for each session, its rounds in flight drawn out; long gaps between sessions are drawn short."""
    scale = _Scale(lanes)
    rows = len(lanes) if len(lanes) <= _MOST_LANES else 2
    figure, axes = axes_of(f"{problem}: sessions and their rounds", (7.0, 1.9 + 0.34 * rows))
    height, told = 0.6, set[str]()

    def once(label: str) -> str | None:
        return None if label in told or told.add(label) else label  # type: ignore[func-returns-value]

    for number, lane in enumerate(lanes):
        y = -(number % rows)
        begin, end = (scale(each) for each in lane.open)
        axes.barh(y, end - begin, height, begin, color=GRID, label=once("session open, idle"))
        blocks = _merged([(scale(a), scale(b)) for a, b in lane.in_flight], scale.length * _FINEST)
        if blocks:
            widths = [(a, max(b - a, scale.length * _FINEST)) for a, b in blocks]
            axes.broken_barh(widths, (y - height / 2, height), color=BLUE, label=once("round in flight"))
        if lane.pings:
            moments = [scale(each) for each in lane.pings]
            axes.plot(moments, [y] * len(moments), "d", color=ORANGE, markersize=6, label=once("ping"))
        if lane.reason:
            axes.plot([begin], [y], ">", color=INK, markersize=6, label=once("renewed or resumed"))
    for at, hidden_s in scale.gaps:
        axes.axvline(at, color=MUTED, linestyle=":", linewidth=1)
        words = f"{format_duration(hidden_s)} later"
        axes.text(at, 0.62, words, ha="center", va="bottom", fontsize="small", color=MUTED)
    axes.set_xlabel(f"{scale.unit} since the first session was opened")
    axes.set_yticks(
        [-row for row in range(rows)],
        [f"session {row + 1}" if len(lanes) <= rows else f"sessions {row + 1}, {row + 3}, …" for row in range(rows)],
    )
    axes.set_ylim(-rows + 0.4, 1.0 if scale.gaps else 0.6)
    legend(axes, below=True)
    return Picture("timeline", "Sessions and their rounds", in_words(lanes), figure)


def in_words(lanes: Sequence[Lane]) -> str:
    """What the picture shows."""
    open_s = sum(lane.open[1] - lane.open[0] for lane in lanes)
    idle_s, pings = sum(lane.idle_s for lane in lanes), sum(len(lane.pings) for lane in lanes)
    count = "1 session was" if len(lanes) == 1 else f"{len(lanes)} sessions were"
    said = f"{count} open for {format_duration(open_s)} together, "
    said += f"{format_duration(idle_s)} of them with no round in flight"
    said += f"; {pings} ping{'' if pings == 1 else 's'} kept a session alive." if pings else "."
    reasons = Counter(lane.reason for lane in lanes if lane.reason)
    followed = ", ".join(f"{number} after {reason!r}" for reason, number in reasons.items())
    return f"{said} Sessions that followed another: {followed}." if followed else said


class _Scale:
    """From epoch seconds to where they are drawn; `gaps` are those that were drawn short, with their seconds."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        stretches = _joined([lane.open for lane in lanes], (-math.inf, math.inf))
        held = sum(end - begin for begin, end in stretches) or 1.0
        self._steps: list[tuple[float, float]] = []  # from this moment on, so much earlier
        self._zero, hidden = stretches[0][0], 0.0
        cuts: list[tuple[float, float]] = []
        for (_, end), (begin, _) in itertools.pairwise(stretches):
            if begin - end > _LONG_GAP * held:
                hidden += begin - end - _SHORT_GAP * held
                self._steps.append((begin, hidden))
                cuts.append(((end - self._zero) - (hidden - (begin - end - _SHORT_GAP * held)), begin - end))
        whole = stretches[-1][1] - self._zero - hidden
        self._divisor, self.unit = next((divisor, name) for least, divisor, name in _UNITS if whole >= least)
        self.length = max(whole, 1e-9) / self._divisor
        self.gaps = [((at + _SHORT_GAP * held / 2) / self._divisor, seconds) for at, seconds in cuts]

    def __call__(self, moment: float) -> float:
        hidden = next((earlier for since, earlier in reversed(self._steps) if moment >= since), 0.0)
        return (moment - self._zero - hidden) / self._divisor


def _joined(stretches: Sequence[Stretch], within: Stretch) -> tuple[Stretch, ...]:
    """Their union, cut to `within`, in order."""
    low, high = within
    cut = sorted((max(low, begin), min(high, end)) for begin, end in stretches if end >= low and begin <= high)
    return tuple(_merged(cut, 0.0))


def _merged(stretches: Sequence[Stretch], nearer_than: float) -> list[Stretch]:
    """Stretches in order, those that lie nearer together made one."""
    found: list[Stretch] = []
    for begin, end in stretches:
        if found and begin - found[-1][1] <= nearer_than:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found
