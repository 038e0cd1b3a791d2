"""Preparation: from settings and a problem to an algorithm that lacks only a session; nothing is submitted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hybridloop.azure.targets import Target, find_target
from hybridloop.azure.targets.provider_options import target_with_options
from hybridloop.descriptions import ALGORITHMS, load
from hybridloop.preparation.checks import check_limits, check_measures, check_problem
from hybridloop.settings import ProblemText

if TYPE_CHECKING:
    from hybridloop.preparation.prepared import PreparedRun

_last: tuple[object, PreparedRun] | None = None  # for a caller that checks a run, and the flow that runs it
_preparing = threading.Lock()


def prepare(
    algorithm: str,
    problem: ProblemText,
    settings: Any,
    seed: int,
    *,
    groupings: Sequence[str] = (),
    target: Target | None = None,
) -> PreparedRun:
    """Check a request and build its algorithm, which depends on the arguments alone; the last one is kept.

    `groupings` are the measurement groups that were chosen when the run was started (`recorded_groupings`). `target` is
    the settings' target, of which the service or the journal may know; None: it is in the table.
    Raises InputError for a request that no run can use; checks that need no compiler come first.
    """
    global _last
    target = find_target(settings.target) if target is None else target
    asked = (algorithm, problem, settings.model_dump_json(), seed, target)
    with _preparing:
        last = _last
    if last is not None and last[0] == asked and tuple(groupings) in ((), last[1].groupings):
        return last[1]
    check_measures(target)
    check_problem(algorithm, problem)
    check_limits(target, settings)
    measured = target_with_options(target, settings.options)
    # the numerics and the compiler take a second to import
    build = load(ALGORITHMS[algorithm].prepare)
    from hybridloop.preparation.prepared import PreparedRun

    prepared = PreparedRun(measured, seed, build(problem, settings, seed, measured, groupings))
    with _preparing:
        _last = asked, prepared
    return prepared
