"""Preparation: from settings and a problem to an algorithm that lacks only a session; nothing is submitted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hybridloop.azure.provider_options import target_with_options
from hybridloop.azure.targets import Target, find_target
from hybridloop.preparation.checks import check_limits, check_measures, check_problem
from hybridloop.settings import ProblemText

if TYPE_CHECKING:
    from hybridloop.preparation.prepared import PreparedRun


def prepare(
    algorithm: str,
    problem: ProblemText,
    settings: Any,
    seed: int,
    *,
    groupings: Sequence[str] = (),
    target: Target | None = None,
) -> PreparedRun:
    """Check a request and build its algorithm, both once for a run; `settings` are those of the algorithm.

    `groupings` are the measurement groups that were chosen when the run was started (`recorded_groupings`). `target` is
    the settings' target, of which the service or the journal may know; None: it is in the table.
    Raises InputError for a request that no run can use; checks that need no compiler come first.
    """
    target = find_target(settings.target) if target is None else target
    check_measures(target)
    check_problem(algorithm, problem)
    check_limits(target, settings)
    target = target_with_options(target, settings.options)
    # the numerics and the compiler take a second to import
    from hybridloop.preparation.adapt import prepare_adapt
    from hybridloop.preparation.levels import prepare_levels
    from hybridloop.preparation.prepared import PreparedRun
    from hybridloop.preparation.qaoa import prepare_qaoa, prepare_rqaoa
    from hybridloop.preparation.scan import prepare_scan
    from hybridloop.preparation.sqd import prepare_sqd
    from hybridloop.preparation.vqe import prepare_vqe

    build: Any = {
        "vqe": partial(prepare_vqe, groupings=groupings),
        "adapt": partial(prepare_adapt, groupings=groupings),
        "levels": partial(prepare_levels, groupings=groupings),
        "sqd": prepare_sqd,
        "scan": partial(prepare_scan, groupings=groupings),
        "qaoa": prepare_qaoa,
        "rqaoa": prepare_rqaoa,
    }[algorithm]
    return PreparedRun(target, seed, build(problem, settings, seed, target))
