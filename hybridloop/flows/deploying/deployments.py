"""Deployments in Prefect: find one that runs an algorithm, and merge its settings into those of a flow run.

Prefect replaces a deployment's parameters by name and no deeper: a run with `settings={"shots": 100}` would lose all
other settings of its deployment, such as the cap on its cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName, FlowFilter, FlowFilterName
from prefect.client.schemas.objects import WorkerStatus
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel

from hybridloop.errors import InputError
from hybridloop.inputs.validation import validate
from hybridloop.settings import RunSettings

_PAGE = 200
_FILLED_IN = "__prefect_kind"  # in parameters that Prefect fills in when a run is created: the run has them already

S = TypeVar("S", bound=RunSettings)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Deployment of an algorithm's flow; `workers` of its pool are online."""

    id: UUID
    name: str
    workers: int


def find_deployment(client: SyncPrefectClient, algorithm: str, requested: str | None) -> Deployment | None:
    """Return the requested deployment, else the algorithm's first with workers online; None if there is none.

    Deployments without a schedule come first: the limits of the others are meant for their scheduled runs. Raises
    InputError if the requested one is missing or belongs to another flow.
    """
    flow, _, name = (requested or algorithm).partition("/")
    if requested is not None and (flow != algorithm or not name):
        raise InputError("deployment", f"{requested!r} does not run {algorithm}", f"Give {algorithm}/NAME, or none.")
    named = DeploymentFilter(name=DeploymentFilterName(any_=[name])) if name else None
    deployments = client.read_deployments(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[algorithm])), deployment_filter=named, limit=_PAGE
    )
    candidates = [
        Deployment(
            deployment.id,
            f"{algorithm}/{deployment.name}",
            _online_workers(client, deployment.work_pool_name),
        )
        for deployment in sorted(deployments, key=lambda deployment: (bool(deployment.schedules), deployment.name))
        if deployment.work_pool_name is not None and not deployment.paused
    ]
    if requested is not None:
        if not candidates:
            what = f"Prefect has no deployment {requested!r} with a work pool that is not paused"
            raise InputError("deployment", what, "`prefect deployment ls` lists them; `none` runs the points here.")
        return candidates[0]
    return next((candidate for candidate in candidates if candidate.workers), None)


def _online_workers(client: SyncPrefectClient, pool: str) -> int:
    try:
        workers = client.read_workers_for_work_pool(pool)
    except ObjectNotFound:
        return 0
    return sum(worker.status is WorkerStatus.ONLINE for worker in workers)


def deployment_settings() -> Mapping[str, Any]:
    """Return the settings of this flow run's deployment, empty without one."""
    # not from `prefect.runtime`, which in a subflow gives those of the parent flow run
    context = FlowRunContext.get()
    deployment = None if context is None or context.flow_run is None else context.flow_run.deployment_id
    if deployment is None:
        return {}
    with get_client(sync_client=True) as client:
        settings = client.read_deployment(deployment).parameters.get("settings")
    return settings if isinstance(settings, Mapping) and _FILLED_IN not in settings else {}


def inherit_settings(settings: S, defaults: Mapping[str, Any]) -> S:
    """Return `merge_settings` of a flow run; its log lists the settings that it takes from its deployment."""
    if inherited := unset_settings(settings, defaults):
        get_run_logger().info("settings inherited from the deployment: %s", ", ".join(_names(inherited)))
    return merge_settings(settings, defaults)


def merge_settings(settings: S, defaults: Mapping[str, Any]) -> S:
    """Return a flow run's settings, with the deployment's for those that were not given; null counts as given.

    Groups of settings are merged field by field. Raises InputError if the two don't fit together.
    """
    if not (inherited := unset_settings(settings, defaults)):
        return settings
    given = settings.model_dump(mode="json", exclude_unset=True)
    for name, value in inherited.items():
        given[name] = {**value, **given[name]} if name in given else value
    try:
        return validate(type(settings), given)
    except InputError as error:
        problem = f"with the deployment's ({', '.join(_names(defaults))}), {error.happened}"
        remedy = "Give null for settings of the deployment that this run must not have."
        raise InputError("settings", problem, remedy) from error


def unset_settings(settings: RunSettings, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the deployment's settings that were not given to the run; of a group, the fields not given."""
    unset: dict[str, Any] = {}
    for name, value in defaults.items():
        group = getattr(settings, name, None)
        if name not in settings.model_fields_set:
            unset[name] = value
        elif isinstance(group, BaseModel) and isinstance(value, Mapping):
            fields = {field: value[field] for field in value if field not in group.model_fields_set}
            unset |= {name: fields} if fields else {}
    return unset


def _names(values: Mapping[str, Any]) -> list[str]:
    names: list[str] = []
    for name, value in values.items():
        is_group = name == "failure" and isinstance(value, Mapping)
        names += [f"{name}.{field}" for field in value] if is_group else [name]
    return names
