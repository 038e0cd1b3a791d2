"""Find the Prefect deployment that runs an algorithm, with its number of online workers."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName, FlowFilter, FlowFilterName
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound

from hybridloop.errors import InputError

_PAGE = 200


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
        Deployment(deployment.id, f"{algorithm}/{deployment.name}", _online_workers(client, deployment.work_pool_name))
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
