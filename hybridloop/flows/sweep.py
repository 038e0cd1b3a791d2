"""A sweep: many runs of one algorithm, each with its own session, on a deployment's workers or on this machine."""

from __future__ import annotations

import base64
import io
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, get_current_settings
from prefect.states import Completed

from hybridloop.azure.workspace import CONNECTION_VARIABLE, connection_string_of, identity_of
from hybridloop.flows.lifecycle.caller_context import find_workspace
from hybridloop.flows.lifecycle.deployments import find_deployment
from hybridloop.flows.sweep_execution.deployment_pool import Deployed
from hybridloop.flows.sweep_execution.process_pool import point_pool
from hybridloop.flows.sweep_execution.results import SweepResult
from hybridloop.flows.sweep_execution.scheduler import OnPoint, SweepProgress, swept
from hybridloop.flows.sweep_execution.spec import HERE, PROBLEM, Point, SweepSpec, points_of, varied_settings
from hybridloop.journal import open_journal
from hybridloop.settings import WorkspaceName

MOST_PROCESSES = 8
AT_ONCE_A_WORKER = 4  # a worker starts a process for each
_ENERGIES = frozenset({"vqe", "adapt", "vqd"})
_NOT_IN_A_KEY = re.compile(r"[^a-z0-9]+")

_listener: ContextVar[OnPoint | None] = ContextVar("on_point", default=None)
_given_back: ContextVar[list[SweepResult] | None] = ContextVar("sweep_result", default=None)


@contextmanager
def told_of_points(listener: OnPoint | None) -> Iterator[list[SweepResult]]:
    """Have a sweep of this context tell of each point, and leave its result in the list, whatever Prefect does."""
    given_back: list[SweepResult] = []
    tokens = _listener.set(listener), _given_back.set(given_back)
    try:
        yield given_back
    finally:
        _listener.reset(tokens[0])
        _given_back.reset(tokens[1])


@flow(name="sweep", flow_run_name="sweep-{spec.name}", persist_result=False)
def sweep(spec: SweepSpec, workspace: WorkspaceName = None) -> SweepResult:
    """Run what is missing of a sweep, each point a flow run with its own session; the table of all its points.

    Raises InputError where it can't be run as it is. A point that fails is in the table, and stops no other.

    Args:
        spec: what is to be run: problems and settings, as a grid or a list.
        workspace: the workspace's saved block; left out: what the environment of whoever runs it names.
    """
    began, at = time.monotonic(), find_workspace(workspace)
    log, listener = get_run_logger(), _listener.get()

    def tell(progress: SweepProgress) -> None:
        row = progress.row
        log.info("point %d, %s: %s %s", progress.number, row["run"], row["status"], row["value"])
        if listener is not None:
            listener(progress)

    with open_journal() as journal, get_client(sync_client=True) as client:
        points, here = _limited(client, spec, at), identity_of(at)
        deployment = None if spec.deployment == HERE else find_deployment(client, spec.algorithm, spec.deployment)
        if deployment is not None:
            log.info("points run by %s, %d worker(s) online", deployment.name, deployment.workers)
            size = spec.in_flight or _at_once(spec, AT_ONCE_A_WORKER * max(deployment.workers, 1))
            workers = Deployed(client, deployment, journal, here, size=size, tag=_tag(spec), saved=workspace)
            with _let_go(workers):
                rows, begun = swept(points, workers, journal, here, attempts=spec.attempts, on_point=tell)
        else:
            size = spec.in_flight or _at_once(spec, min(os.cpu_count() or 1, MOST_PROCESSES))
            log.info("points run by %d process(es) on this machine", size)
            with point_pool(size, _environment(at, workspace), _greeting(spec, workspace)) as pool:
                rows, begun = swept(points, pool, journal, here, attempts=spec.attempts, on_point=tell)
    result = SweepResult(
        spec.name,
        spec.algorithm,
        "hartree" if spec.algorithm in _ENERGIES else "",
        (PROBLEM, *varied_settings(spec)),
        tuple(rows),
        begun,
        time.monotonic() - began,
    )
    if (given_back := _given_back.get()) is not None:
        given_back.append(result)
    _show(result)
    counted = ", ".join(f"{count} {status}" for status, count in result.counts.items())
    name = "Completed" if result.is_complete else "Incomplete"
    ended: Any = Completed(name=name, message=f"{len(rows)} points: {counted}", data=result)
    return ended  # type: ignore[no-any-return]


def slots_of(workspace: Any, target: str) -> str:
    """The name of the limit on sessions of a target that are open at once."""
    return f"sessions on {target} ({identity_of(workspace)['name']})"


def _limited(client: SyncPrefectClient, spec: SweepSpec, workspace: Any) -> Iterator[Point]:
    """The points; under `max_sessions` each holds a slot of its target's limit, which is made, or set to that."""
    if spec.max_sessions is None:
        return points_of(spec)
    limits = {target: slots_of(workspace, target) for target in {point.settings.target for point in points_of(spec)}}
    for name in limits.values():
        client.upsert_global_concurrency_limit_by_name(name, spec.max_sessions)
    return (_holding(point, limits[point.settings.target]) for point in points_of(spec))


def _holding(point: Point, limit: str) -> Point:
    return replace(point, settings=point.settings.model_copy(update={"session_slots": limit}))


@contextmanager
def _let_go(workers: Deployed) -> Iterator[None]:
    try:
        yield
    except BaseException:  # a signal or a cancellation, too
        workers.let_go()
        raise


def _at_once(spec: SweepSpec, possible: int) -> int:
    """No more than can hold a session, or little more where a process takes long to start."""
    return possible if spec.max_sessions is None else min(possible, spec.max_sessions)


def _tag(spec: SweepSpec) -> str:
    return f"sweep:{spec.name}"


def _greeting(spec: SweepSpec, saved: str | None) -> Mapping[str, Any]:
    frequency = PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value()
    return {"tag": _tag(spec), "heartbeat_s": frequency, "workspace": saved}


def _environment(workspace: Any, saved: str | None) -> dict[str, str]:
    """What a process of this machine needs to run as this one does: the same server of Prefect, the same workspace.

    One that is saved on that server goes by its name.
    """
    prefect = get_current_settings().to_environment_variables(exclude_unset=True, include_secrets=True)
    connection = {} if saved is not None else {CONNECTION_VARIABLE: connection_string_of(workspace)}
    return {**os.environ, **prefect, **connection}


def _show(result: SweepResult) -> None:
    """The table and the picture, as artifacts of the flow run."""
    key = f"sweep-{_NOT_IN_A_KEY.sub('-', result.name.lower()).strip('-') or 'unnamed'}"
    columns = [name for name in result.columns if name != "sessions"]
    rows = [{name: row[name] for name in columns} for row in result.rows]
    create_table_artifact(table=rows, key=key, description=f"The {len(rows)} points of the sweep {result.name}.")
    picture = io.BytesIO()
    result.plot().savefig(picture, format="svg")
    data = base64.b64encode(picture.getvalue()).decode()
    create_markdown_artifact(
        markdown=f"![{result.name}](data:image/svg+xml;base64,{data})",
        key=f"{key}-picture",
        description="Values over what was varied.",
    )
