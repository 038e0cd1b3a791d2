"""Plots of a run, drawn without a display, each with a description in words for those who do not see it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hybridloop.errors import HybridloopError, InputError
from hybridloop.journal import open_journal
from hybridloop.reports.plots import convergence, energies
from hybridloop.reports.plots.style import Picture
from hybridloop.runs.result import RunResult
from hybridloop.runs.stored_run import StoredRun, load_run
from hybridloop.settings import QaoaSettings, RqaoaSettings

if TYPE_CHECKING:
    from hybridloop.algorithms.problems.binary import BinaryProblem

LANDSCAPE = "landscape"  # is drawn only when it is asked for, since it prepares the run again
_DEFAULTS = {
    "qaoa": ("cut", "histogram"),
    "rqaoa": ("cut",),
    "scan": ("curve",),
    "levels": ("levels",),
}
# kinds that are drawn from the table of a result, by algorithm
_FROM_TABLE: Mapping[str, tuple[str, Callable[[RunResult], Picture]]] = {
    "levels": ("levels", energies.levels),
    "scan": ("curve", energies.curve),
    "adapt": ("growth", energies.growth),
}


def available_kinds(run: StoredRun) -> tuple[str, ...]:
    """Return the kinds of plots that the run has data for."""
    return tuple(drawn.kind for drawn in draw_all(run))


def draw_all(run: StoredRun) -> list[Picture]:
    """Draw all plots that the run has data for, in the order of a report."""
    return [drawn for draw_kind in _KINDS.values() if (drawn := draw_kind(run)) is not None]


def draw(run: StoredRun, kind: str) -> Picture | None:
    """Draw one kind of plot; None if the run has no data for it. Raises InputError for an unknown kind."""
    check_kind(kind)
    return _landscape(run, None) if kind == LANDSCAPE else _KINDS[kind](run)


def check_kind(kind: str) -> None:
    """Raise InputError for an unknown kind."""
    if kind not in ALL_KINDS:
        raise InputError("kind", f"there is no picture {kind!r}", f"Choose {', '.join(ALL_KINDS)}.")


def plot_result(
    result: RunResult, kind: str | None = None, axis: str = "", angles: Sequence[int] | None = None
) -> Picture:
    """Draw a plot of a result, from its journal if need be; without a kind the one that shows the answer.

    Raises InputError if there is no data for the kind.
    """
    if kind is None:
        return _default(result, axis)
    check_kind(kind)
    if kind in _OF_RESULT and (drawn := _draw_result(result, kind, axis)) is not None:
        return drawn
    with open_journal() as journal:
        run = load_run(journal, result.run_key)
        if (drawn := _landscape(run, angles) if kind == LANDSCAPE else draw(run, kind)) is not None:
            return drawn
        kinds = available_kinds(run)
    problem = f"run {result.run_key!r} has no data for a plot of kind {kind}"
    raise InputError("kind", problem, f"It has {', '.join(kinds)}." if kinds else "Nothing of it was measured yet.")


def _default(result: RunResult, axis: str) -> Picture:
    """Draw the answer; the rounds where that has no plot yet, or needs a journal that is not there."""
    for kind in _DEFAULTS.get(result.algorithm, ()):
        with contextlib.suppress(HybridloopError):
            return plot_result(result, kind, axis)
    if len(result.history) == 1 and (drawn := _draw_result(result, "energy")) is not None:
        return drawn  # one round shows no trend
    return convergence.convergence(result)


def _landscape(run: StoredRun, angles: Sequence[int] | None) -> Picture | None:
    from hybridloop.reports.plots.landscape import landscape

    return landscape(run, angles)


def binary_problem_of(run: StoredRun) -> BinaryProblem:
    """Read the binary problem of a QAOA run."""
    from hybridloop.preparation.qaoa import read_binary

    settings = run.settings
    assert isinstance(settings, QaoaSettings | RqaoaSettings)
    return read_binary(run.problem, settings.objective)


def _draw_result(result: RunResult, kind: str, axis: str = "") -> Picture | None:
    if kind == "convergence":
        return convergence.convergence(result) if result.history else None
    if kind == "energy":
        is_energy = result.algorithm in ("vqe", "adapt")
        return energies.energy(result) if is_energy and result.value is not None else None
    if not result.table or result.algorithm not in _FROM_TABLE:
        return None
    table_kind, draw_table = _FROM_TABLE[result.algorithm]
    if table_kind != kind:
        return None
    return energies.curve(result, axis) if kind == "curve" else draw_table(result)


def _of_result(kind: str) -> Callable[[StoredRun], Picture | None]:
    def draw_stored(run: StoredRun) -> Picture | None:
        result = run.result
        if result is None or (kind == "convergence" and len(result.history) == 1):  # one round shows no trend
            return None
        return _draw_result(result, kind)

    return draw_stored


def _histogram(run: StoredRun) -> Picture | None:
    from hybridloop.reports.plots import binary

    result = run.result
    if result is None or result.algorithm != "qaoa" or result.value is None:
        return None
    problem = binary_problem_of(run)
    measured = binary.final_assignments(run, problem)
    return binary.histogram(result, measured, problem) if measured else None


def _cut(run: StoredRun) -> Picture | None:
    from hybridloop.reports.plots import binary

    result = run.result
    if result is None or result.algorithm not in ("qaoa", "rqaoa") or not result.table:
        return None
    problem = binary_problem_of(run)
    return binary.cut(result, problem) if binary.has_drawable_graph(problem) else None


def _timeline(run: StoredRun) -> Picture | None:
    from hybridloop.reports.plots.timeline import session_lanes, timeline

    lanes = session_lanes(run)
    return timeline(lanes, run.record.problem or run.record.key) if lanes else None


_OF_RESULT = {kind: _of_result(kind) for kind in ("convergence", "energy", "levels", "curve", "growth")}
_KINDS = {**_OF_RESULT, "histogram": _histogram, "cut": _cut, "timeline": _timeline}
ALL_KINDS = (*_KINDS, LANDSCAPE)
