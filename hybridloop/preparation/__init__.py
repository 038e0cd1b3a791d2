"""Preparation: from settings and a problem to an algorithm that lacks only a session; nothing is submitted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hybridloop.azure.provider_options import target_with_options
from hybridloop.azure.targets import Target, find_target
from hybridloop.data.search_rules import SEARCH_RULES
from hybridloop.preparation.checks import check_limits, check_measures, check_problem
from hybridloop.settings import ProblemText

if TYPE_CHECKING:
    from hybridloop.preparation.prepared import PreparedRun


def prepare(
    algorithm: str,
    problem: ProblemText,
    settings: Any,
    seed: int,
    rules: int = SEARCH_RULES,
    *,
    groupings: Sequence[str] = (),
    target: Target | None = None,
) -> PreparedRun:
    """Check a request and build its algorithm, both once for a run; `settings` are those of the algorithm.

    `rules` and `groupings` are the search rules and the choice of groups of a run that was started before
    (`search_rules`, `recorded_groupings`). `target` is the settings' target, of which the service or the journal may
    know; None: it is in the table.
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
    from hybridloop.preparation.vqd import prepare_vqd
    from hybridloop.preparation.vqe import prepare_vqe

    build: Any = {
        "vqe": partial(prepare_vqe, rules=rules, groupings=groupings),
        "adapt": partial(prepare_adapt, rules=rules, groupings=groupings),
        "vqd": partial(prepare_vqd, rules=rules),
        "levels": partial(prepare_levels, rules=rules, groupings=groupings),
        "sqd": partial(prepare_sqd, rules=rules),
        "scan": partial(prepare_scan, rules=rules, groupings=groupings),
        "qaoa": partial(prepare_qaoa, rules=rules),
        "rqaoa": prepare_rqaoa,
    }[algorithm]
    return PreparedRun(target, seed, build(problem, settings, seed, target))
