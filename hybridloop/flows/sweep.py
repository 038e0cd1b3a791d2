"""Sweep flow: many runs of one algorithm, each in its own session, on workers of a deployment or on this machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client

from hybridloop.azure.workspace import identity_of, is_local
from hybridloop.flows.in_prefect.beside import show_in_flow
from hybridloop.flows.in_prefect.concurrency_slots import set_limit
from hybridloop.flows.in_prefect.flow_run_events import journal_tag, tag_flow_run
from hybridloop.flows.in_prefect.flow_run_log import log_sent_to_prefect
from hybridloop.flows.in_prefect.process_reuse import LEASE, SWEEP_TAG, sweep_lease
from hybridloop.flows.in_prefect.stored_result import SERIALIZER
from hybridloop.flows.lifecycle.host import Ended
from hybridloop.flows.lifecycle.workspace import find_workspace
from hybridloop.flows.sweep_execution.costs import cost_of_points, set_cap
from hybridloop.flows.sweep_execution.pools import open_pool
from hybridloop.flows.sweep_execution.results import SweepResult, result_of
from hybridloop.flows.sweep_execution.scheduler import (
    OnPoint,
    SweepProgress,
    retry_journal,
    run_points,
    unfinished_points,
    with_seeds,
)
from hybridloop.flows.sweep_execution.show import show, telling_refusal
from hybridloop.flows.sweep_execution.spec import Point, SweepSpec, points_of
from hybridloop.flows.sweep_execution.target_warnings import target_warnings
from hybridloop.journal import open_journal
from hybridloop.journal.held_run import held_name
from hybridloop.settings import WorkspaceName

_log = logging.getLogger(__name__)


@flow(name="sweep", persist_result=False, result_serializer=SERIALIZER)
def sweep(spec: SweepSpec, workspace: WorkspaceName = None) -> SweepResult:
    """Run the unfinished points of a sweep, each as a flow run with its own session; return the table of all points.

    Raises InputError if the sweep can't run. A point that fails is a row of the table and does not stop the others.

    Args:
        spec: the sweep's problems and settings, as a grid or a list.
        workspace: saved block of the workspace, or its resource id. By default the workspace of the environment.
    """

    def work(_: Any) -> Ended[SweepResult]:
        with telling_refusal(spec.name):
            return run_sweep(spec, find_workspace(workspace), workspace)

    return show_in_flow(work)  # type: ignore[no-any-return]


def run_sweep(
    spec: SweepSpec, sdk_workspace: Any, workspace: str | None = None, on_point: OnPoint | None = None
) -> Ended[SweepResult]:
    """Run a sweep inside a flow run; `workspace` is the name of the workspace's saved block, if it has one.

    `on_point` is called after each point.
    """
    began = time.monotonic()
    tag_flow_run(name=f"sweep-{spec.name}")
    identity, log = identity_of(sdk_workspace), get_run_logger()

    def report(progress: SweepProgress) -> None:
        row = progress.row
        log.info("point %d, %s: %s %s", progress.number, row["run_key"], row["status"], row["value"])
        if on_point is not None:
            on_point(progress)

    with open_journal() as journal, get_client(sync_client=True) as client:
        points = _limit_sessions(client, spec, with_seeds(points_of(spec), journal), sdk_workspace)
        with log_sent_to_prefect():
            for warning in target_warnings(unfinished_points(points, journal), sdk_workspace):
                _log.warning("%s", warning)
        set_cap(journal, spec)
        tags = [f"{SWEEP_TAG}{spec.name}", journal_tag(journal)]
        pool = open_pool(client, spec, journal, sdk_workspace, tags=tags, block=workspace)
        lease = sweep_lease(spec.name)
        with closing(pool), log_sent_to_prefect(), held_name(journal, lease):
            tag_flow_run([journal_tag(journal), f"{LEASE}{lease}"])
            rows, begun = run_points(points, pool, journal, identity, attempts=spec.attempts, on_point=report)
        costs = retry_journal(lambda: cost_of_points(journal, points))
    result = result_of(spec, points, rows, begun, time.monotonic() - began, costs, is_local=is_local(sdk_workspace))
    return Ended(result, show=partial(show, result))


def session_limit_name(workspace: Any, target: str) -> str:
    """Return the name of Prefect's limit on sessions of a target that are open at once."""
    return f"sessions on {target} ({identity_of(workspace)['name']})"


def _limit_sessions(
    client: SyncPrefectClient, spec: SweepSpec, points: Sequence[Point], workspace: Any
) -> Sequence[Point]:
    """Return the points; with `max_sessions`, create or set the limit of each target, of which points take slots."""
    if spec.max_sessions is None:
        return points
    targets = {point.settings.target for point in points}
    limits = {target: session_limit_name(workspace, target) for target in targets}
    for name in limits.values():
        set_limit(client, name, spec.max_sessions, "max_sessions")
    return [
        replace(point, settings=point.settings.model_copy(update={"session_slots": limits[point.settings.target]}))
        for point in points
    ]
