"""What a run would take, before it is started: the public function."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hybridloop.api.environment import workspace_called
from hybridloop.azure.targets import find_target
from hybridloop.errors import InputError
from hybridloop.preparation.checks import check_problem, find_measuring_target
from hybridloop.settings import SETTINGS, ProblemText, RunSettings
from hybridloop.settings.inputs import read_problem, read_scan
from hybridloop.settings.sources import CALL, Layer, resolve_settings

if TYPE_CHECKING:
    from hybridloop.estimate.plan import Plan

ALL: Literal["all"] = "all"


def plan(
    algorithm: str,
    problem: str | Path | ProblemText | Sequence[str | Path | ProblemText],
    *,
    workspace: str | Any | None = None,
    compare: Sequence[str] | Literal["all"] = (),
    **settings: Any,
) -> Plan:
    """What `hybridloop.vqe(problem, **settings)`, or its like, would take: rounds, jobs, shots, price, time.

    `algorithm` is vqe, adapt, vqd, scan, qaoa or rqaoa; `problem` and settings are as for that function. The algorithm
    is driven over an ideal machine in this process, for a few seeds; nothing is submitted, and no session opened. The
    workspace is asked which targets it has, and for their queues. `compare` names targets to plan for as well ("all":
    those of whose counts something can be made). Raises InputError for what a run would refuse, ServiceError.
    """
    if algorithm not in SETTINGS:
        near = difflib.get_close_matches(algorithm, SETTINGS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(SETTINGS)}."
        raise InputError("algorithm", f"there is no algorithm {algorithm!r}", hint)
    valid = resolve_settings(algorithm, Layer(CALL, settings)).settings
    text = _scan(problem) if algorithm == "scan" else _one(problem)
    return plan_in(workspace, algorithm, text, valid, compare=compare)


def plan_in(
    workspace: str | Any | None,
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    *,
    compare: Sequence[str] | Literal["all"] = (),
) -> Plan:
    """The same of settings that are checked already; what can be refused is, before a workspace is looked for."""
    find_measuring_target(settings.target)
    check_problem(algorithm, problem)
    for name in () if compare == ALL else compare:
        find_target(name)
    from hybridloop.azure.listing import target_statuses
    from hybridloop.azure.workspace import is_local
    from hybridloop.estimate.planner import TargetStatuses, comparable_targets, plan_run

    at = workspace_called(workspace)
    statuses = TargetStatuses(target_statuses(at), is_local(at))
    wanted = comparable_targets() if compare == ALL else tuple(compare)
    return plan_run(algorithm, problem, settings, statuses=statuses, compare=wanted)


def _one(problem: str | Path | ProblemText | Sequence[str | Path | ProblemText]) -> ProblemText:
    if isinstance(problem, str | Path | ProblemText):
        return read_problem(problem)
    raise InputError("problem", "several were given, where one is planned for", "Plan a scan, or each by itself.")


def _scan(problems: str | Path | ProblemText | Sequence[str | Path | ProblemText]) -> ProblemText:
    if isinstance(problems, ProblemText):
        return problems
    return read_scan([problems] if isinstance(problems, str | Path) else problems)
