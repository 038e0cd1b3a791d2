"""Which deployment of Prefect's runs an algorithm, and whether anybody works for it."""

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
    """A deployment of an algorithm's flow, and how many workers of its pool are online."""

    id: UUID
    name: str
    workers: int


def find_deployment(client: SyncPrefectClient, algorithm: str, wanted: str | None) -> Deployment | None:
    """The deployment of that name, else the algorithm's first whose pool has workers online; None: there is none.

    One without a schedule goes before those that have one, whose limits are for what they do by themselves. Raises
    InputError where the one that was named is not there, or is of another flow.
    """
    flow, _, name = (wanted or algorithm).partition("/")
    if wanted is not None and (flow != algorithm or not name):
        raise InputError("deployment", f"{wanted!r} is none of {algorithm}", f"Give it as {algorithm}/name, or none.")
    named = DeploymentFilter(name=DeploymentFilterName(any_=[name])) if name else None
    found = client.read_deployments(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[algorithm])), deployment_filter=named, limit=_PAGE
    )
    candidates = [
        Deployment(each.id, f"{algorithm}/{each.name}", _online(client, each.work_pool_name))
        for each in sorted(found, key=lambda each: (bool(each.schedules), each.name))
        if each.work_pool_name is not None and not each.paused
    ]
    if wanted is not None:
        if not candidates:
            what = f"Prefect has no deployment {wanted!r} with a work pool that is not paused"
            raise InputError("deployment", what, "`prefect deployment ls` lists them; `none` runs the points here.")
        return candidates[0]
    return next((each for each in candidates if each.workers), None)


def _online(client: SyncPrefectClient, pool: str) -> int:
    try:
        workers = client.read_workers_for_work_pool(pool)
    except ObjectNotFound:
        return 0
    return sum(each.status is WorkerStatus.ONLINE for each in workers)
