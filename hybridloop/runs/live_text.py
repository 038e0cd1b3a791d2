"""A run as it goes in words: the same ones on a terminal and in a notebook."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hybridloop.runtime.durations import format_elapsed

if TYPE_CHECKING:
    from hybridloop.runs.live import LiveState
    from hybridloop.tasks.session_status import SessionSnapshot

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-=+*#@"
MOST_BLOCKS = 40
SHOWN = 0.5e-6  # what is less shows as 0; no standard error of counts is, but that of a target that does not sample


def rows(state: LiveState, *, blocks: str = BLOCKS) -> Iterator[tuple[str, str]]:
    """Each fact's name with the fact, the more important ones first; what is not known yet is left out."""
    yield "status", _status(state)
    if state.value is not None and state.standard_error is not None:
        name = "energy" if state.unit == "hartree" else "value"
        yield name, f"{state.value:+.6f} {plus_minus(state.standard_error)} {state.unit}".rstrip()
        if state.best is not None and state.best.round != state.round:
            best = state.best
            noisy = ", noisy" if best.standard_error >= SHOWN else ""
            yield "best", f"{best.value:+.6f} {plus_minus(best.standard_error)} in round {best.round}{noisy}"
        drawn = sparkline(state.values[-MOST_BLOCKS:], blocks)
        yield "round", f"{state.round} {state.phase}  {drawn}".rstrip()
    if state.standing is not None:
        yield from _of_session(state.standing)
    if state.reason:
        yield "reason", state.reason


def title(state: LiveState) -> str:
    """What runs where."""
    return f"{state.algorithm} of {state.problem} on {state.target}" if state.algorithm else "the run is looked up"


def plus_minus(standard_error: float, rounding_bound: float = 0.0) -> str:
    """An error bar in words; a target that does not sample has none but its rounding, whose bound a result knows.

    >>> plus_minus(0.0037), plus_minus(0.0), plus_minus(0.0, 2.5e-5)
    ('± 0.003700', '± rounding', '± 0.000025 (rounding)')
    """
    if standard_error >= SHOWN:
        return f"± {standard_error:.6f}"
    return f"± {rounding_bound:.6f} (rounding)" if rounding_bound else "± rounding"


def sparkline(values: Sequence[float], blocks: str = BLOCKS) -> str:
    """A character for each value, the lowest and the highest of which take the first and the last of `blocks`.

    >>> sparkline([3.0, 2.0, 1.5, 1.0])
    '█▅▃▁'
    """
    finite = [each for each in values if math.isfinite(each)]
    if len(finite) < 2:
        return ""
    low, high = min(finite), max(finite)
    span = high / 2 - low / 2  # which does not overflow
    if span == 0.0:
        return blocks[0] * len(values)
    top = len(blocks) - 1

    def block(value: float) -> str:
        return blocks[round(top * ((value / 2 - low / 2) / span))] if math.isfinite(value) else " "

    return "".join(map(block, values))


def _status(state: LiveState) -> str:
    return f"{state.status}, {format_elapsed(state.elapsed_s)}"


def _of_session(at: SessionSnapshot) -> Iterator[tuple[str, str]]:
    jobs = f"{at.in_flight} in flight, {at.done} done, {at.lost} lost"
    if at.retried:
        jobs += f", {at.retried} asked again"
    if at.waits_s is not None and at.waits_s >= 1.0:
        jobs += f", the round waits for {format_elapsed(at.waits_s)}"
    yield "jobs", jobs
    session = f"{at.session_id} {at.session_status.lower()}"
    if at.idle_left_s is not None:
        session += f", idle: {format_elapsed(at.idle_left_s)} left"
    if at.sessions > 1:
        session += f", the run's number {at.sessions}"
    yield "session", session
    yield "cost", _cost(at)
    if caps := _counts(at):
        yield "caps", caps
    if at.left_s is not None:
        yield "left", f"{format_elapsed(at.left_s)} until the deadline"


def _cost(at: SessionSnapshot) -> str:
    """By unit: what was billed, what may be on top of that at most, what was expected, and what the run may cost."""
    meter = at.meter
    units = dict.fromkeys((*at.caps.max_cost, *meter.billed, *meter.reserved, *meter.estimated))
    return "; ".join(_cost_in(unit, at) for unit in units) or "none yet"


def _cost_in(unit: str, at: SessionSnapshot) -> str:
    said = f"{at.meter.billed.get(unit, 0.0):,.2f} {unit} billed"
    if most := at.meter.reserved.get(unit):
        said += f", {most:,.2f} reserved"
    if expected := at.meter.estimated.get(unit):
        said += f", {expected:,.2f} estimated"
    cap = next((most for of, most in at.caps.max_cost.items() if of == unit), None)
    return said if cap is None else f"{said}, the cap is {cap:g}"


def _counts(at: SessionSnapshot) -> str:
    """How far jobs and shots are from their caps, where there are any."""
    caps = {"jobs": (at.meter.jobs, at.caps.max_jobs), "shots": (at.meter.shots, at.caps.max_shots)}
    return ", ".join(f"{taken:,} of {most:,} {name}" for name, (taken, most) in caps.items() if most is not None)
