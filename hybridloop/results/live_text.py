"""Live state of a run as text, the same on terminals and in notebooks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hybridloop.results.live import ITERATION, ROUND, name_of_progress
from hybridloop.runtime.durations import format_elapsed

if TYPE_CHECKING:
    from hybridloop.budget.cost_summary import CostSummary
    from hybridloop.results.live import LiveState
    from hybridloop.tasks.session_status import SessionSnapshot

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-=+*#@"
MOST_BLOCKS = 40
_BAR = 20  # blocks of a bar of time
LEAST_ERROR = 0.5e-6  # a smaller standard error is that of a target that does not sample, and would be shown as 0


def rows(state: LiveState, *, blocks: str = BLOCKS) -> Iterator[tuple[str, str]]:
    """Yield the known facts by name, the most important first."""
    doing = f"{state.status}: {state.stage}" if state.stage else state.status
    yield "status", f"{doing}, {format_elapsed(state.elapsed_s)}"
    if state.search:
        yield "search", state.search
    if state.value is not None and state.standard_error is not None:
        name = "energy" if state.unit == "hartree" else "value"
        counted = name_of_progress(state.algorithm)
        yield name, f"{state.value:+.6f} {error_text(state.standard_error, counted)} {state.unit}".rstrip()
        if state.best is not None and state.best.round != state.round:
            best = state.best
            noisy = ", noisy" if best.standard_error >= LEAST_ERROR else ""
            yield "best", f"{best.value:+.6f} {plus_minus(best.standard_error)} in round {best.round}{noisy}"
        line = sparkline(state.values[-MOST_BLOCKS:], blocks)
        phase = state.phase if counted == ROUND else ""
        yield counted, f"{f'{state.round} {phase}'.strip()}  {line}".rstrip()
    if state.snapshot is not None:
        yield from _session_rows(state.snapshot, blocks)
    if state.reason:
        yield "reason", state.reason


def title(state: LiveState) -> str:
    """Return the algorithm, the problem and the target of a run."""
    return f"{state.algorithm} of {state.problem} on {state.target}" if state.algorithm else "looking up the run"


def plus_minus(standard_error: float, rounding_bound: float = 0.0) -> str:
    """Return an error bar as text; that of a target that does not sample is a bound of its rounding, if known.

    >>> plus_minus(0.0037), plus_minus(0.0), plus_minus(0.0, 2.5e-5)
    ('± 0.003700', '± rounding', '± 0.000025 (rounding)')
    """
    if standard_error >= LEAST_ERROR:
        return f"± {standard_error:.6f}"
    return f"± {rounding_bound:.6f} (rounding)" if rounding_bound else "± rounding"


def bar_text(standard_error: float | None) -> str:
    """Return the error bar of a row of a sweep; None is that of an upper bound.

    >>> bar_text(0.0037), bar_text(None)
    ('± 0.003700', '(upper bound)')
    """
    return "(upper bound)" if standard_error is None else plus_minus(standard_error)


def error_text(standard_error: float, counted: str) -> str:
    """Return the error bar of a round's value; that of a classical iteration is an upper bound, without one.

    >>> error_text(0.0037, ROUND), error_text(0.0, ITERATION)
    ('± 0.003700', '(upper bound)')
    """
    return bar_text(None if counted == ITERATION else standard_error)


def sparkline(values: Sequence[float], blocks: str = BLOCKS) -> str:
    """Return one character per value, from the first of `blocks` for the lowest to the last for the highest.

    >>> sparkline([3.0, 2.0, 1.5, 1.0])
    '█▅▃▁'
    """
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return ""
    low, high = min(finite), max(finite)
    span = high / 2 - low / 2  # halved: a difference of floats may overflow
    if span == 0.0:
        return blocks[0] * len(values)
    top = len(blocks) - 1

    def block(value: float) -> str:
        return blocks[round(top * ((value / 2 - low / 2) / span))] if math.isfinite(value) else " "

    return "".join(map(block, values))


def time_bar(waited_s: float, expected_s: float, blocks: str = BLOCKS) -> str:
    """Return a bar of the time that a round has waited, of the time that it is expected to take.

    >>> time_bar(30.0, 120.0), time_bar(200.0, 120.0)
    ('█████▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁ of about 2 min 0 s', '████████████████████ of about 2 min 0 s')
    """
    filled = min(_BAR, int(_BAR * waited_s / expected_s))
    return f"{blocks[-1] * filled}{blocks[0] * (_BAR - filled)} of about {format_elapsed(expected_s)}"


def _session_rows(session: SessionSnapshot, blocks: str) -> Iterator[tuple[str, str]]:
    jobs = f"{session.in_flight} in flight, {session.done} done, {session.lost} lost"
    if session.retried:
        jobs += f", {session.retried} retried"
    if session.waits_s is not None and session.waits_s >= 1.0:
        jobs += f", the round waits for {format_elapsed(session.waits_s)}"
    yield "jobs", jobs
    if session.expected_s is not None and session.waits_s is not None:
        yield "local", time_bar(session.waits_s, session.expected_s, blocks)
    state = f"{session.session_id} {session.session_status.lower()}"
    if session.idle_left_s is not None:
        state += f", idle: {format_elapsed(session.idle_left_s)} left"
    if session.sessions > 1:
        state += f", session {session.sessions} of the run"
    yield "session", state
    # by unit: billed, reserved for jobs without a bill, estimated for all jobs, and the cap
    meter, max_cost = session.meter, {str(unit): cap for unit, cap in session.caps.max_cost.items()}
    units = dict.fromkeys((*max_cost, *meter.billed, *meter.reserved, *meter.estimated))
    yield "cost", "; ".join(_cost(unit, meter, max_cost.get(unit)) for unit in units) or "none yet"
    counts = {"jobs": (meter.jobs, session.caps.max_jobs), "shots": (meter.shots, session.caps.max_shots)}
    if caps := [f"{count:,} of {cap:,} {name}" for name, (count, cap) in counts.items() if cap is not None]:
        yield "caps", ", ".join(caps)
    if session.left_s is not None:
        yield "left", f"{format_elapsed(session.left_s)} until the deadline"


def _cost(unit: str, meter: CostSummary, cap: float | None) -> str:
    text = f"{meter.billed.get(unit, 0.0):,.2f} {unit} billed"
    if reserved := meter.reserved.get(unit):
        text += f", {reserved:,.2f} reserved"
    if estimated := meter.estimated.get(unit):
        text += f", {estimated:,.2f} estimated"
    return text if cap is None else f"{text}, the cap is {cap:g}"
