"""Pictures of a run, made without a screen: which there are, and each with words for those who do not see it.

The picture of a result that its owner asks for, from the journal where the result alone does not say enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridloop.errors import InputError
from hybridloop.journal import open_journal
from hybridloop.reports.plots import convergence as rounds
from hybridloop.reports.plots import energies
from hybridloop.reports.plots.style import Picture
from hybridloop.runs.result import RunResult
from hybridloop.runs.stored_run import KeptRun, kept_in_journal
from hybridloop.settings import QaoaSettings, RqaoaSettings

if TYPE_CHECKING:
    from hybridloop.algorithms.problems.binary import BinaryProblem

__all__ = ["OF_RESULT", "Picture", "kinds_of", "picture", "picture_of_result", "pictures_of"]

OF_RESULT = ("convergence", "energy", "levels", "curve", "growth")  # kinds that a result alone is drawn from
_FROM_TABLE = {"vqd": "levels", "scan": "curve", "adapt": "growth"}


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a kind is drawn; None where the run has nothing of it."""

    name: str
    draw: Callable[[KeptRun], Picture | None]


def kinds_of(run: KeptRun) -> tuple[str, ...]:
    """The kinds of which the run has something to show."""
    return tuple(each.kind for each in pictures_of(run))


def pictures_of(run: KeptRun) -> list[Picture]:
    """All pictures of which the run has something to show, in the order in which they are best looked at."""
    return [drawn for kind in _KINDS if (drawn := kind.draw(run)) is not None]


def picture(run: KeptRun, kind: str) -> Picture | None:
    """The picture of a kind; None where the run has nothing of it. Raises InputError for a kind that there is not."""
    found = next((each for each in _KINDS if each.name == kind), None)
    if found is None:
        raise InputError("kind", f"there is no picture {kind!r}", f"Choose {', '.join(each.name for each in _KINDS)}.")
    return found.draw(run)


def picture_of_result(result: RunResult, kind: str) -> Picture | None:
    """The same of what a result alone is drawn from (`OF_RESULT`)."""
    if kind == "convergence":
        return rounds.convergence(result) if result.history else None
    if kind == "energy":
        is_energy = result.algorithm in ("vqe", "adapt")
        return energies.energy(result) if is_energy and result.value is not None else None
    if not result.table or _FROM_TABLE.get(result.algorithm) != kind:
        return None
    return {"levels": energies.levels, "curve": energies.curve, "growth": energies.growth}[kind](result)


def binary_problem_of(run: KeptRun) -> BinaryProblem:
    """The binary problem that a run was begun for."""
    from hybridloop.preparation.qaoa import read_binary

    settings = run.settings
    assert isinstance(settings, QaoaSettings | RqaoaSettings)
    return read_binary(run.problem, settings.objective)


def _of_result(kind: str) -> _Kind:
    def draw(run: KeptRun) -> Picture | None:
        result = run.result
        if result is None or (kind == "convergence" and len(result.history) == 1):  # one round shows no way
            return None
        return picture_of_result(result, kind)

    return _Kind(kind, draw)


def _histogram(run: KeptRun) -> Picture | None:
    from hybridloop.reports.plots import binary

    result = run.result
    if result is None or result.algorithm != "qaoa" or result.value is None:
        return None
    seen = binary.seen_finally(run, binary_problem_of(run))
    return binary.histogram(result, seen) if seen else None


def _cut(run: KeptRun) -> Picture | None:
    from hybridloop.reports.plots import binary

    result = run.result
    if result is None or result.algorithm not in ("qaoa", "rqaoa") or not result.table:
        return None
    problem = binary_problem_of(run)
    return binary.cut(result, problem) if binary.has_drawable_graph(problem) else None


def _timeline(run: KeptRun) -> Picture | None:
    from hybridloop.reports.plots.timeline import lanes_of, timeline

    lanes = lanes_of(run)
    return timeline(lanes, run.record.problem or run.record.key) if lanes else None


_KINDS = (
    *map(_of_result, OF_RESULT),
    _Kind("histogram", _histogram),
    _Kind("cut", _cut),
    _Kind("timeline", _timeline),
)


def picture_of(result: RunResult, kind: str) -> Picture:
    """The picture. Raises InputError where the run has nothing of that kind, or the journal no longer has the run."""
    if kind in OF_RESULT and (drawn := picture_of_result(result, kind)) is not None:
        return drawn
    with open_journal() as journal:
        run = kept_in_journal(journal, result.run_key)
        if (drawn := picture(run, kind)) is not None:
            return drawn
        has = kinds_of(run)
    what = f"run {result.run_key!r} has nothing of a {kind}"
    raise InputError("kind", what, f"It has {', '.join(has)}." if has else "Nothing of it was measured yet.")
