"""Plots of a run, drawn without a display, each with a description in words for those who do not see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hybridloop.errors import InputError
from hybridloop.journal import open_journal
from hybridloop.reports.plots import convergence, energies
from hybridloop.reports.plots.style import Picture
from hybridloop.runs.result import RunResult
from hybridloop.runs.stored_run import StoredRun, load_run
from hybridloop.settings import QaoaSettings, RqaoaSettings

if TYPE_CHECKING:
    from hybridloop.algorithms.problems.binary import BinaryProblem

# kinds that are drawn from the table of a result, by algorithm
_FROM_TABLE: Mapping[str, tuple[str, Callable[[RunResult], Picture]]] = {
    "vqd": ("levels", energies.levels),
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
    if kind not in _KINDS:
        raise InputError("kind", f"there is no picture {kind!r}", f"Choose {', '.join(_KINDS)}.")
    return _KINDS[kind](run)


def plot_result(result: RunResult, kind: str) -> Picture:
    """Draw a plot of a result, from its journal if need be. Raises InputError if neither has the data."""
    if kind in _OF_RESULT and (drawn := _draw_result(result, kind)) is not None:
        return drawn
    with open_journal() as journal:
        run = load_run(journal, result.run_key)
        if (drawn := draw(run, kind)) is not None:
            return drawn
        kinds = available_kinds(run)
    problem = f"run {result.run_key!r} has no data for a plot of kind {kind}"
    raise InputError("kind", problem, f"It has {', '.join(kinds)}." if kinds else "Nothing of it was measured yet.")


def binary_problem_of(run: StoredRun) -> BinaryProblem:
    """Read the binary problem of a QAOA run."""
    from hybridloop.preparation.qaoa import read_binary

    settings = run.settings
    assert isinstance(settings, QaoaSettings | RqaoaSettings)
    return read_binary(run.problem, settings.objective)


def _draw_result(result: RunResult, kind: str) -> Picture | None:
    if kind == "convergence":
        return convergence.convergence(result) if result.history else None
    if kind == "energy":
        is_energy = result.algorithm in ("vqe", "adapt")
        return energies.energy(result) if is_energy and result.value is not None else None
    if not result.table or result.algorithm not in _FROM_TABLE:
        return None
    table_kind, draw_table = _FROM_TABLE[result.algorithm]
    return draw_table(result) if table_kind == kind else None


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
    measured = binary.final_assignments(run, binary_problem_of(run))
    return binary.histogram(result, measured) if measured else None


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
