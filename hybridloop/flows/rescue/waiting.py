"""Runs that wait for a worker of a work pool: one message for the cause, not one for each run.

The automations of `hybridloop deploy --notify` send it, at most once a day.
"""

from __future__ import annotations

import time

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus, WorkPool
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound

from hybridloop.tasks.prefect_tasks import TAG

WATCHED = "hybridloop.pool.watched"  # event by which the server learns that a worker is online, though it takes no run
FULL = "hybridloop.pool.full"
WAITS_S = 600.0
_PAGE = 200


def tell_waiting(client: SyncPrefectClient, name: str, *, now: float | None = None) -> str | None:
    """Tell the server why the due runs of a pool with a worker online wait; return that, or None if none waits."""
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        return None
    now = time.time() if now is None else now
    waiting = [each for each in _due(client, name) if _waits_s(each, now) > 0]
    online = sum(each.status is WorkerStatus.ONLINE for each in client.read_workers_for_work_pool(name))
    if not waiting or not online:  # the server itself says that none is
        return None
    related = [
        {"prefect.resource.id": f"prefect.work-pool.{pool.id}", "prefect.resource.role": "work-pool"},
        {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"},
    ]
    resource = {"prefect.resource.id": f"hybridloop.pool.{pool.id}", "prefect.resource.name": name}
    emit_event(WATCHED, resource=resource, related=related)
    late = sum(_waits_s(each, now) > WAITS_S for each in waiting)
    if not late:
        return None
    cause = _cause(client, pool, online)
    message = f"{late} run{'s wait' if late > 1 else ' waits'} for a worker of {name}: {cause}"
    emit_event(FULL, resource={**resource, "hybridloop.cause": cause}, related=related, payload={"message": message})
    return message


def _due(client: SyncPrefectClient, pool: str) -> list[FlowRun]:
    """Return the runs that are scheduled; those that are due later are among them."""
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[TAG]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        limit=_PAGE,
    )


def _waits_s(flow_run: FlowRun, now: float) -> float:
    """Return the seconds since a scheduled run could begin; negative if it is due later."""
    assert flow_run.state is not None
    set_at = flow_run.state.timestamp  # one that was put first in line has a time before that
    return now - max(flow_run.state.state_details.scheduled_time or set_at, set_at).timestamp()


def _cause(client: SyncPrefectClient, pool: WorkPool, online: int) -> str:
    if pool.is_paused:
        return "the work pool is paused"
    kinds = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))
    own = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool.name]))
    if pool.concurrency_limit is not None:
        active = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=kinds), work_pool_filter=own, limit=_PAGE)
        if len(active) >= pool.concurrency_limit:
            return f"its limit of {pool.concurrency_limit} runs at once is reached"
    return "its worker is full" if online == 1 else f"its {online} workers are full"
