"""Preparation: from settings and a problem to an algorithm that lacks only a session; nothing is submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybridloop.descriptions import ALGORITHMS, load
from hybridloop.preparation.checks import check_limits, check_measures, check_problem
from hybridloop.settings import NOTHING, ProblemText, Recorded
from hybridloop.targets import Target, find_target
from hybridloop.targets.provider_options import target_with_options

if TYPE_CHECKING:
    from hybridloop.preparation.prepared import Prepared


def check_request(algorithm: str, problem: ProblemText, settings: Any, target: Target) -> None:
    """Check what needs no compiler. Raises InputError for a request that no run can use."""
    check_measures(target)
    check_problem(algorithm, problem)
    check_limits(target, settings)


def prepare(
    algorithm: str,
    problem: ProblemText,
    settings: Any,
    seed: int,
    *,
    recorded: Recorded = NOTHING,
    target: Target | None = None,
) -> Prepared:
    """Check a request and build its algorithm, which depends on the arguments alone.

    `recorded` is what was chosen when the run was started. `target` is the settings' target, of which the service or
    the journal may know; None: it is in the table.
    Raises InputError for a request that no run can use; checks that need no compiler come first.
    """
    target = find_target(settings.target) if target is None else target
    check_request(algorithm, problem, settings, target)
    measured = target_with_options(target, settings.options)
    # the numerics and the compiler take a second to import
    build = load(ALGORITHMS[algorithm].prepare)
    from hybridloop.preparation.prepared import Prepared

    built = build(problem, settings, seed, measured, recorded)
    return Prepared(built, measured, built.doubt_of_noise(measured, settings) if measured.is_noisy else None)
