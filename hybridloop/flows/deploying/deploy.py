"""Deploy a run: work pool, deployment with its schedule, housekeeping and notifications, where they are missing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker
from pydantic import ValidationError

from hybridloop.errors import InputError
from hybridloop.flows import load_flow
from hybridloop.flows.housekeeping import HOUSEKEEPING_POOL, housekeeping
from hybridloop.flows.in_prefect.missed_starts import CATCH_UP
from hybridloop.flows.in_prefect.notifications import notification_block, send_test, set_automations
from hybridloop.settings import ProblemText
from hybridloop.settings.deployment import DeploymentOptions
from hybridloop.tasks.prefect_tasks import TAG

PROCESS = "process"
_NOT_IN_A_BLOCK = re.compile("[^a-z0-9-]+")  # characters that a block's name has not
_EVERY_S = 60.0  # between runs of housekeeping, where each is a flow run: a lease lasts as long
_MODULE = EntrypointType.MODULE_PATH  # nothing is pulled: a worker has the package


def deploy_run(
    algorithm: str, problem: ProblemText, settings: Mapping[str, Any], options: DeploymentOptions
) -> Iterator[str]:
    """Create or update what a scheduled run needs; yield what was done, sentence by sentence. Raises InputError."""
    schedules = [] if options.cron is None else [_schedule(options.cron, options.timezone)]
    name, pool = options.name, options.pool
    with get_client(sync_client=True) as client:
        digest = hashlib.sha256(f"{algorithm}/{name}".encode()).hexdigest()[:8]  # names may differ in other letters
        of = f"{_NOT_IN_A_BLOCK.sub('-', f'{algorithm}-{name}'.lower())}-{digest}"
        notify, heartbeat = (
            None if place is None else notification_block(client, place, f"hybridloop-{field}-{of}", field)
            for field, place in (("notify", options.notify), ("heartbeat", options.heartbeat))
        )
        kind, is_new = _ensure_pool(client, pool)
        if is_new:
            yield f"created the work pool {pool} of processes"
        parameters: dict[str, Any] = {"problem": problem.model_dump(mode="json"), "settings": dict(settings)}
        if options.workspace is not None:
            parameters["workspace"] = options.workspace
        place = _in_pool(pool)
        place["tags"] += [CATCH_UP] * options.catch_up
        done = "updated" if _exists(client, f"{algorithm}/{name}") else "created"
        load_flow(algorithm).to_deployment(name, parameters=parameters, schedules=schedules, **place).apply()
        when = "on request" if options.cron is None else f"at {options.cron!r} in {options.timezone}"
        yield f"{done} the deployment {algorithm}/{name} in the pool {pool}: it runs {when}"
        yield from _deploy_housekeeping(client, pool)
        for block in (notify, heartbeat):
            if block is not None:
                deployment = client.read_deployment_by_name(f"{algorithm}/{name}")
                yield from set_automations(client, *block, deployment, heartbeat=block is heartbeat)
        start = "hybridloop worker --pool" if kind == PROCESS else "prefect worker start --pool"
        yield f"a worker runs it: {start} {pool}"


def ensure_housekeeping(pool: str) -> Iterator[str]:
    """Deploy housekeeping in a pool, unless the server has it; yield what was done."""
    with get_client(sync_client=True) as client:
        yield from _deploy_housekeeping(client, pool)


def notify_by(notify: str) -> Iterator[str]:
    """Set up the notifications alone; yield what was done. Raises InputError."""
    with get_client(sync_client=True) as client:
        yield from set_automations(client, *notification_block(client, notify))


def send_test_notification() -> None:
    """Let the server send a test message. Raises InputError where no automation is set up."""
    with get_client(sync_client=True) as client:
        send_test(client)


def _schedule(cron: str, timezone: str) -> CronSchedule:
    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except (ValidationError, ValueError) as error:
        what = f"{cron!r} in {timezone!r} is no schedule of cron"
        remedy = "Give five fields, such as '0 2 * * *', and a --timezone such as UTC."
        raise InputError("cron", what, remedy) from error


def _ensure_pool(client: SyncPrefectClient, pool: str) -> tuple[str, bool]:
    """Return the type of a work pool, and whether it was created, which then is of processes."""
    try:
        return client.read_work_pool(pool).type, False
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=pool, type=PROCESS, base_job_template=template))
        return PROCESS, True


def _in_pool(pool: str) -> dict[str, Any]:
    return {"tags": [TAG], "work_pool_name": pool, "entrypoint_type": _MODULE}


def _deploy_housekeeping(client: SyncPrefectClient, pool: str) -> Iterator[str]:
    """Deploy housekeeping for a pool in one of its own, where it never waits behind runs; not for a pool of processes.

    `hybridloop worker` does it for those. A deployment of it in the pool of the runs goes, unless it has settings.
    """
    for each in _housekeeping_in(client, pool):
        if not each.parameters:
            client.delete_deployment(each.id)
            yield f"deleted the deployment housekeeping/{each.name}: it would wait behind the runs of {pool}"
    runs = client.read_work_pool(pool)
    own = f"{pool}{HOUSEKEEPING_POOL}"
    if runs.type == PROCESS or _housekeeping_in(client, own):
        return
    if own not in {each.name for each in client.read_work_pools()}:
        client.create_work_pool(WorkPoolCreate(name=own, type=runs.type, base_job_template=runs.base_job_template))
    limit = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    deployment: Any = housekeeping.to_deployment(pool, interval=_EVERY_S, concurrency_limit=limit, **_in_pool(own))
    deployment.apply()
    yield (
        f"created the deployment housekeeping/{pool} in the pool {own}: it resumes parked and interrupted runs. A "
        f"second worker runs it, so that it never waits behind them: prefect worker start --pool {own}"
    )


def _housekeeping_in(client: SyncPrefectClient, pool: str) -> list[DeploymentResponse]:
    """Return the deployments of housekeeping in a work pool; other flows may have that name."""
    found = client.read_deployments(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[housekeeping.name])),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
    )
    return [each for each in found if TAG in each.tags]


def _exists(client: SyncPrefectClient, name: str) -> bool:
    try:
        client.read_deployment_by_name(name)
    except ObjectNotFound:
        return False
    return True
