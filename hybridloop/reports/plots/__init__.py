"""Plots of a run, drawn without a display, each with a description in words for those who do not see it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

from hybridloop.descriptions import ALGORITHMS, load
from hybridloop.errors import HybridloopError, InputError
from hybridloop.journal import open_journal
from hybridloop.reports.plots import convergence, timeline
from hybridloop.reports.plots.request import PlotRequest
from hybridloop.reports.plots.style import Picture
from hybridloop.results.result import RunResult
from hybridloop.runs.stored_run import StoredRun, load_run

LANDSCAPE = "landscape"  # is drawn only when it is asked for: it takes seconds
Draw = Callable[[PlotRequest], Picture | None]


def kinds_of(algorithm: str) -> dict[str, Draw]:
    """Return the kinds of plots that a run of an algorithm may have, in the order of a report."""
    found = ALGORITHMS[algorithm] if algorithm in ALGORITHMS else None
    own: Mapping[str, str] = {} if found is None else found.plots
    between = {kind: lambda request, path=path: load(path)(request) for kind, path in own.items()}
    rounds = {"convergence": convergence.of_rounds}
    if found is not None and found.answer_plots:  # a picture of the answer comes first, the rounds last
        return {**between, "timeline": timeline.of_sessions, **rounds}
    return {**rounds, **between, "timeline": timeline.of_sessions}


def all_kinds() -> tuple[str, ...]:
    """Return the kinds of plots of all algorithms."""
    return tuple(dict.fromkeys(kind for each in ALGORITHMS.known for kind in kinds_of(each.name)))


def available_kinds(run: StoredRun) -> tuple[str, ...]:
    """Return the kinds of plots that the run has data for."""
    return tuple(drawn.kind for drawn in draw_all(run))


def draw_all(run: StoredRun) -> list[Picture]:
    """Draw all plots that the run has data for, in the order of a report."""
    kinds = [kind for kind in kinds_of(run.record.algorithm) if kind != LANDSCAPE]
    return [drawn for kind in kinds if (drawn := draw(run, kind)) is not None]


def draw(run: StoredRun, kind: str) -> Picture | None:
    """Draw one kind of plot; None if the run has no data for it. Raises InputError for an unknown kind."""
    check_kind(kind)
    if run.result is None:
        return timeline.of_run(run) if kind == "timeline" else None
    if kind == "convergence" and len(run.result.history) == 1:  # one round shows no trend
        return None
    return _draw(PlotRequest(run.result, lambda: run), kind)


def check_kind(kind: str) -> None:
    """Raise InputError for an unknown kind."""
    if kind not in all_kinds():
        raise InputError("kind", f"there is no picture {kind!r}", f"Choose {', '.join(all_kinds())}.")


def plot_result(
    result: RunResult, kind: str | None = None, axis: str = "", angles: Sequence[int] | None = None
) -> Picture:
    """Draw a plot of a result, from its journal if need be; without a kind the one that shows the answer.

    Raises InputError if there is no data for the kind.
    """
    if kind is None:
        return _default(result, axis)
    check_kind(kind)
    with contextlib.ExitStack() as opened:

        def load_stored() -> StoredRun:
            return load_run(opened.enter_context(open_journal()), result.run_key)

        if (drawn := _draw(PlotRequest(result, load_stored, axis, angles), kind)) is not None:
            return drawn
        kinds = available_kinds(load_stored())
    problem = f"run {result.run_key!r} has no data for a plot of kind {kind}"
    raise InputError("kind", problem, f"It has {', '.join(kinds)}." if kinds else "Nothing of it was measured yet.")


def _draw(request: PlotRequest, kind: str) -> Picture | None:
    make = kinds_of(request.result.algorithm).get(kind)
    return None if make is None else make(request)


def _default(result: RunResult, axis: str) -> Picture:
    """Draw the answer; the rounds where that has no plot yet, or needs a journal that is not there."""
    one_round = ("energy",) if len(result.history) == 1 else ()  # which shows no trend
    own = ALGORITHMS[result.algorithm].answer_plots if result.algorithm in ALGORITHMS else ()
    for kind in (*own, *one_round):
        with contextlib.suppress(HybridloopError):
            return plot_result(result, kind, axis)
    return convergence.convergence(result)
