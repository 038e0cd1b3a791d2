"""The pool that runs the points of a sweep: workers of a deployment, or processes of this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import psutil
from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, get_current_settings

from hybridloop.azure.identity import is_opened_by_identity
from hybridloop.azure.workspace import connection_string_of, identity_of, resource_id_of
from hybridloop.flows.deploying.deployments import find_deployment
from hybridloop.flows.sweep_execution.deployment_pool import DeploymentPool
from hybridloop.flows.sweep_execution.process_pool import ProcessPool
from hybridloop.flows.sweep_execution.spec import HERE, SweepSpec
from hybridloop.journal import Journal
from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE, SDK_VARIABLES

MAX_PROCESSES = 8
PROCESS_BYTES = 400_000_000  # of a worker process, with some for its problem
POINTS_PER_WORKER = 4  # at once, in a process each

_log = logging.getLogger(__name__)


def open_pool(
    client: SyncPrefectClient,
    spec: SweepSpec,
    journal: Journal,
    workspace: Any,
    *,
    tags: Sequence[str],
    block: str | None,
) -> DeploymentPool | ProcessPool:
    """Open the pool of a sweep in the SDK's workspace, which a saved `block` may name; its flow runs get the tags."""
    log = get_run_logger()
    deployment = None if spec.deployment == HERE else find_deployment(client, spec.algorithm, spec.deployment)
    if deployment is not None:
        log.info("points run by %s, %d worker(s) online", deployment.name, deployment.workers)
        size = pool_size(spec, deployment.workers)
        return DeploymentPool(client, deployment, journal, identity_of(workspace), size=size, tags=tags, block=block)
    size = within_memory(pool_size(spec, None), psutil.virtual_memory().available)
    log.info("points run by %d process(es) on this machine", size)
    is_by_identity = block is None and is_opened_by_identity(workspace)
    name = resource_id_of(workspace) if is_by_identity else block
    configuration = {"tags": list(tags), "heartbeat_s": PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value(), "workspace": name}
    return ProcessPool(size, _environment(workspace, name), configuration)


def pool_size(spec: SweepSpec, workers: int | None) -> int:
    """Return the number of points in flight on so many workers online (None: in processes of this machine)."""
    possible = min(os.cpu_count() or 1, MAX_PROCESSES) if workers is None else POINTS_PER_WORKER * max(workers, 1)
    return spec.in_flight or (possible if spec.max_sessions is None else min(possible, spec.max_sessions))


def within_memory(size: int, free_bytes: int) -> int:
    """Return the number of worker processes that fit into the free memory, at most `size`; warn where that is less."""
    fits = max(1, free_bytes // PROCESS_BYTES)
    if fits < size:
        _log.warning("%d processes in place of %d: each takes up to %.1f GB of memory", fits, size, PROCESS_BYTES / 1e9)
    return min(size, fits)


def _environment(workspace: Any, name: str | None) -> dict[str, str]:
    """Return the variables of a worker process: this process's Prefect server and workspace.

    A workspace of a saved block or a resource id is passed by that name, and not here.
    """
    prefect = get_current_settings().to_environment_variables(exclude_unset=True, include_secrets=True)
    connection = {} if name is not None else {CONNECTION_VARIABLE: connection_string_of(workspace)}
    inherited = {variable: value for variable, value in os.environ.items() if variable not in SDK_VARIABLES}
    return {**inherited, **prefect, **connection}
