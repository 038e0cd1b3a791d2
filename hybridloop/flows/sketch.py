"""A run's convergence as a small SVG written by hand, in no time: for what is drawn anew as the run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from hybridloop.algorithms.outcome import Progress
from hybridloop.flows.results import RunResult

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


def _thinned(history: Sequence[Progress]) -> list[Progress]:
    stride = -(-len(history) // MOST_POINTS)
    return [*history[:-1:stride], history[-1]]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{_INK}">{escape(text)}</text>'
