"""Public function that estimates a run before it is started."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from hybridloop.api.environment import find_target_in, resolve_workspace
from hybridloop.api.optimizers import optimizer_by_name
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError, JournalError
from hybridloop.inputs.problems import pop_reading, read_for
from hybridloop.inputs.sources import CALL, Layer, resolve_settings
from hybridloop.preparation.checks import check_problem
from hybridloop.runs.planned import PlannedEffort, store_plan
from hybridloop.settings import ProblemText, RunSettings

if TYPE_CHECKING:
    from hybridloop.estimate.plan import Plan
    from hybridloop.journal.limits import LimitState

ALL: Literal["all"] = "all"
Compared = Sequence[str] | Literal["all"]


def plan(
    algorithm: str,
    problem: Any,
    *,
    workspace: str | Any | None = None,
    compare: Compared = (),
    **settings: Any,
) -> Plan:
    """Estimate rounds, jobs, shots, price and time of `hybridloop.vqe(problem, **settings)` or another algorithm.

    `algorithm` is its name; `problem` and settings are as for the function of that name.
    The algorithm runs on an ideal simulator in this process, for a few seeds; no session is opened, and nothing is
    submitted. The workspace is asked for its targets and their queues. `compare` names further targets to plan for
    ("all": those whose counts an algorithm can use). Raises InputError for what a run would refuse, and ServiceError.
    """
    if algorithm not in ALGORITHMS:
        near = difflib.get_close_matches(algorithm, ALGORITHMS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(ALGORITHMS)}."
        raise InputError("algorithm", f"there is no algorithm {algorithm!r}", hint)
    reading = pop_reading(algorithm, settings)
    with optimizer_by_name(settings) as named:
        valid = resolve_settings(algorithm, Layer(CALL, named)).settings
        text = read_for(algorithm, problem, valid, reading)
        return plan_in_workspace(workspace, algorithm, text, valid, compare=compare)


def plan_in_workspace(
    workspace: str | Any | None,
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    *,
    compare: Compared = (),
) -> Plan:
    """Estimate a run with checked settings, and store its effort; invalid input is refused before the rest."""
    target = find_target_in(workspace, settings.target)
    check_problem(algorithm, problem)
    others = () if compare == ALL else tuple(find_target_in(workspace, name) for name in compare)
    from hybridloop.azure.listing import target_statuses
    from hybridloop.azure.workspace import identity_of, is_local
    from hybridloop.estimate.planner import plan_run
    from hybridloop.estimate.statuses import TargetStatuses, comparable_targets
    from hybridloop.estimate.warnings import limit_warnings
    from hybridloop.journal import has_journal, open_journal
    from hybridloop.runs.over_runs import limits_over

    sdk_workspace = resolve_workspace(workspace)
    statuses = TargetStatuses(target_statuses(sdk_workspace), is_local(sdk_workspace))
    compared = comparable_targets(statuses) if compare == ALL else tuple(map(statuses.as_served, others))
    served = statuses.as_served(target)
    estimate = plan_run(algorithm, problem, settings, served, statuses=statuses, compare=compared)
    states: Sequence[LimitState] = ()
    unknown: tuple[str, ...] = ()
    if has_journal():
        record = {"settings": settings.model_dump(mode="json"), "workspace": identity_of(sdk_workspace)}
        try:
            with open_journal() as journal:
                states = limits_over(journal, served, record)
        except JournalError as error:
            unknown = (f"limits over runs are not known: {error.happened}",)
    estimate = replace(
        estimate,
        is_local=statuses.is_local,
        limits=tuple(state.left_text for state in states),
        warnings=(*estimate.warnings, *limit_warnings(estimate, states), *unknown),
    )
    effort = PlannedEffort(estimate.jobs.expected, estimate.shots.expected)
    store_plan(algorithm, problem, settings, effort)
    return estimate
