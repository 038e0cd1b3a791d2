"""Sweep flow: many runs of one algorithm, each in its own session, on workers of a deployment or on this machine."""

from __future__ import annotations

import base64
import logging
import re
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import Completed

from hybridloop.algorithms.coordinates import coordinate_columns
from hybridloop.algorithms.formats.energies import geometry_of
from hybridloop.azure.workspace import identity_of
from hybridloop.descriptions import ALGORITHMS, Value
from hybridloop.flows.in_prefect.beside import show_in_flow
from hybridloop.flows.in_prefect.concurrency_slots import set_limit
from hybridloop.flows.in_prefect.flow_run_events import tag_flow_run
from hybridloop.flows.in_prefect.flow_run_log import log_sent_to_prefect
from hybridloop.flows.in_prefect.process_reuse import SWEEP_TAG
from hybridloop.flows.in_prefect.stored_result import SERIALIZER, stored
from hybridloop.flows.lifecycle.host import Ended
from hybridloop.flows.lifecycle.workspace import find_workspace
from hybridloop.flows.sweep_execution.pools import open_pool
from hybridloop.flows.sweep_execution.results import SweepResult
from hybridloop.flows.sweep_execution.scheduler import OnPoint, SweepProgress, run_points, unfinished_points, with_seeds
from hybridloop.flows.sweep_execution.spec import PROBLEM, Point, SweepSpec, points_of, varied_settings
from hybridloop.flows.sweep_execution.target_warnings import target_warnings
from hybridloop.journal import open_journal
from hybridloop.preparation.checks import is_in_hartree
from hybridloop.settings import WorkspaceName

_NOT_IN_A_KEY = re.compile(r"[^a-z0-9]+")

_log = logging.getLogger(__name__)


@flow(name="sweep", persist_result=False, result_serializer=SERIALIZER)
def sweep(spec: SweepSpec, workspace: WorkspaceName = None) -> SweepResult:
    """Run the unfinished points of a sweep, each as a flow run with its own session; return the table of all points.

    Raises InputError if the sweep can't run. A point that fails is a row of the table and does not stop the others.

    Args:
        spec: the sweep's problems and settings, as a grid or a list.
        workspace: saved block of the workspace, or its resource id. By default the workspace of the environment.
    """
    return show_in_flow(lambda _: run_sweep(spec, find_workspace(workspace), workspace))  # type: ignore[no-any-return]


def run_sweep(
    spec: SweepSpec, sdk_workspace: Any, workspace: str | None = None, on_point: OnPoint | None = None
) -> Ended[SweepResult]:
    """Run a sweep inside a flow run; `workspace` is the name of the workspace's saved block, if it has one.

    `on_point` is called after each point.
    """
    began = time.monotonic()
    tag_flow_run(name=f"sweep-{spec.name}")
    identity, log, tag = identity_of(sdk_workspace), get_run_logger(), f"{SWEEP_TAG}{spec.name}"

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
        pool = open_pool(client, spec, journal, sdk_workspace, tag=tag, block=workspace)
        with closing(pool):
            rows, begun = run_points(points, pool, journal, identity, attempts=spec.attempts, on_point=report)
    geometries = [geometry_of(point.problem.text or "") for point in points]
    columns = dict(zip((point.key for point in points), coordinate_columns(geometries), strict=True))
    rows = [{**row, **columns[row["run_key"]]} for row in rows]
    result = SweepResult(
        spec.name,
        spec.algorithm,
        _unit(spec.algorithm, points),
        (PROBLEM, *varied_settings(spec)),
        tuple(rows),
        begun,
        time.monotonic() - began,
        spec.axis,
    )
    return Ended(result, show=partial(_show, result))


def _show(result: SweepResult) -> Any:
    """Create the artifacts of a sweep, and return the state of its flow run."""
    _create_artifacts(result)
    counts = ", ".join(f"{count} {status}" for status, count in result.counts.items())
    name = ("Finished" if "finished" in result.counts else "Completed") if result.is_complete else "Incomplete"
    return Completed(name=name, message=f"{len(result.rows)} points: {counts}", data=stored(result))


def _unit(algorithm: str, points: Sequence[Point]) -> str:
    """Return the unit of the points' values: hartree if all are energies of molecules, else an empty text."""
    problems = {(point.problem.name, point.problem.text): point.problem for point in points}
    is_energy = ALGORITHMS[algorithm].value is Value.ENERGY
    return "hartree" if is_energy and all(map(is_in_hartree, problems.values())) else ""


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


def _create_artifacts(result: SweepResult) -> None:
    key = f"sweep-{_NOT_IN_A_KEY.sub('-', result.name.lower()).strip('-') or 'unnamed'}"
    columns = [name for name in result.columns if name != "sessions"]
    rows = [{name: row[name] for name in columns} for row in result.rows]
    create_table_artifact(table=rows, key=key, description=f"The {len(rows)} points of the sweep {result.name}.")
    data = base64.b64encode(result.picture().svg().encode()).decode()
    create_markdown_artifact(
        markdown=f"![{result.name}](data:image/svg+xml;base64,{data})",
        key=f"{key}-picture",
        description="Values by the varied setting.",
    )
