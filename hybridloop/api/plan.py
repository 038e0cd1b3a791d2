"""Public function that estimates a run before it is started."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from hybridloop.api.environment import find_target_in, resolve_workspace
from hybridloop.api.optimizers import optimizer_by_name
from hybridloop.api.options import (
    AdaptSettingOptions,
    LevelsSettingOptions,
    QaoaSettingOptions,
    RqaoaSettingOptions,
    SettingOptions,
    SqdSettingOptions,
    VqeSettingOptions,
)
from hybridloop.errors import InputError
from hybridloop.preparation.checks import check_problem
from hybridloop.settings import SETTINGS, ProblemText, RunSettings
from hybridloop.settings.inputs import pop_geometry, read_for
from hybridloop.settings.sources import CALL, Layer, resolve_settings

if TYPE_CHECKING:
    from hybridloop.estimate.plan import Plan

ALL: Literal["all"] = "all"
Compared = Sequence[str] | Literal["all"]


@overload
def plan(
    algorithm: Literal["vqe", "scan"],
    problem: Any,
    *,
    workspace: str | Any | None = None,
    compare: Compared = (),
    **settings: Unpack[VqeSettingOptions],
) -> Plan: ...


@overload
def plan(
    algorithm: Literal["adapt"],
    problem: Any,
    *,
    workspace: str | Any | None = None,
    compare: Compared = (),
    **settings: Unpack[AdaptSettingOptions],
) -> Plan: ...


@overload
def plan(
    algorithm: Literal["levels"],
    problem: Any,
    *,
    workspace: str | Any | None = None,
    compare: Compared = (),
    **settings: Unpack[LevelsSettingOptions],
) -> Plan: ...


@overload
def plan(
    algorithm: Literal["sqd"],
    problem: Any,
    *,
    workspace: str | Any | None = None,
    compare: Compared = (),
    **settings: Unpack[SqdSettingOptions],
) -> Plan: ...


@overload
def plan(
    algorithm: Literal["qaoa"],
    problem: Any,
    *,
    workspace: str | Any | None = None,
    compare: Compared = (),
    **settings: Unpack[QaoaSettingOptions],
) -> Plan: ...


@overload
def plan(
    algorithm: Literal["rqaoa"],
    problem: Any,
    *,
    workspace: str | Any | None = None,
    compare: Compared = (),
    **settings: Unpack[RqaoaSettingOptions],
) -> Plan: ...


@overload
def plan(
    algorithm: str,
    problem: Any,
    *,
    workspace: str | Any | None = None,
    compare: Compared = (),
    **settings: Unpack[SettingOptions],
) -> Plan: ...


def plan(
    algorithm: str,
    problem: Any,
    *,
    workspace: str | Any | None = None,
    compare: Compared = (),
    **settings: Any,
) -> Plan:
    """Estimate rounds, jobs, shots, price and time of `hybridloop.vqe(problem, **settings)` or another algorithm.

    `algorithm` is vqe, adapt, levels, sqd, scan, qaoa or rqaoa; `problem` and settings are as for that function.
    The algorithm runs on an ideal simulator in this process, for a few seeds; no session is opened, and nothing is
    submitted. The workspace is asked for its targets and their queues. `compare` names further targets to plan for
    ("all": those whose counts an algorithm can use). For the energy of a molecule, the plan's `accuracy` has what a
    chemically accurate one costs on them, by VQE and by SQD. Raises InputError for what a run would refuse, and
    ServiceError.
    """
    if algorithm not in SETTINGS:
        near = difflib.get_close_matches(algorithm, SETTINGS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(SETTINGS)}."
        raise InputError("algorithm", f"there is no algorithm {algorithm!r}", hint)
    geometry = pop_geometry(algorithm, settings)
    with optimizer_by_name(settings) as named:
        valid = resolve_settings(algorithm, Layer(CALL, named)).settings
        text = read_for(algorithm, problem, valid, geometry)
        return plan_in_workspace(workspace, algorithm, text, valid, compare=compare)


def plan_in_workspace(
    workspace: str | Any | None,
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    *,
    compare: Compared = (),
) -> Plan:
    """Estimate a run with checked settings; invalid input is refused before a workspace is looked up."""
    target = find_target_in(workspace, settings.target)
    check_problem(algorithm, problem)
    others = () if compare == ALL else tuple(find_target_in(workspace, name) for name in compare)
    from hybridloop.azure.listing import target_statuses
    from hybridloop.azure.workspace import is_local
    from hybridloop.estimate.planner import TargetStatuses, comparable_targets, plan_run

    sdk_workspace = resolve_workspace(workspace)
    statuses = TargetStatuses(target_statuses(sdk_workspace), is_local(sdk_workspace))
    compared = comparable_targets(statuses) if compare == ALL else others
    return plan_run(algorithm, problem, settings, target, statuses=statuses, compare=compared)
