"""Reuse of a worker's process for several points of a sweep, each in its own flow run.

A worker starts a process for each flow run that it takes, which costs seconds of CPU time. After its own flow run, the
process of a point takes further flow runs of the same sweep and deployment from Prefect's queue. The sweep schedules a
new point a little later than now if such a process waits, so that workers leave it to that process.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from typing import Any

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateDetails, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext, SyncClientContext
from prefect.exceptions import PrefectException
from prefect.flow_engine import run_flow
from prefect.states import Pending

from hybridloop.journal import Owner
from hybridloop.journal.journal import FLOW_RUN_VARIABLE
from hybridloop.runtime.waits import NEXT_POINT_S

SWEEP_TAG = "sweep:"  # start of the tag of a sweep's points
LEASE = "lease:"  # start of the tag with the name of the lease that a flow run's process holds while it lives
JOURNAL = "journal:"  # start of the tag with the id of the journal of a flow run's run
PROCESS_LABEL = "hybridloop.process"  # label of a flow run whose process takes a further point when it has completed
RESERVED_S = 30.0  # that a point is left to waiting processes; workers start theirs up to 10 s before its time
_MIN_POLL_S, _MAX_POLL_S = 0.2, 1.0
_PAGE = 20
_log = logging.getLogger(__name__)


def sweep_lease(name: str) -> str:
    """Return the name of the journal's lease of a sweep, which its process holds while it lives."""
    return f"sweep {name}"


def reuse_process() -> None:
    """Let this process run further points of the sweep, once its flow run has completed.

    Does nothing in other flow runs than a point's that a worker started, nor with a concurrency limit on the
    deployment: the process of a flow run renews its lease, and is cancelled when that ends with the flow run.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow is None:
        return
    flow_run = context.flow_run
    is_own = (
        os.environ.get(FLOW_RUN_VARIABLE) == str(flow_run.id) and threading.current_thread() is threading.main_thread()
    )
    if not is_own or flow_run.deployment_id is None or not _sweep_tags(flow_run):
        return
    if flow_run.state is not None and flow_run.state.state_details.deployment_concurrency_lease_id is not None:
        return
    with get_client(sync_client=True) as client:
        _announce(client, flow_run)
    context.flow.on_completion(run_further_points)


def run_further_points(flow: Any, flow_run: FlowRun, state: Any) -> None:
    """Run points of the sweep of a completed flow run until there is none for a while, or one does not complete."""
    flow.on_completion_hooks.remove(run_further_points)
    Context().run(_run_points, flow, flow_run)  # a flow run inside the context of the first would be its subflow


def _run_points(flow: Any, first: FlowRun) -> None:
    with SyncClientContext.get_or_create() as context:  # one Prefect client for all points
        while (point := _next_point(context.client, first)) is not None:
            _announce(context.client, point)
            # calling the flow would create another flow run, and Prefect's Runner starts a process for each
            state: Any = run_flow(flow, flow_run=point, return_type="state")
            if not state.is_completed():  # a retry gets a new process
                return


def _next_point(client: SyncPrefectClient, first: FlowRun) -> FlowRun | None:
    """Wait for a scheduled flow run and take it; None if there was none for a while or the server refuses it."""
    began, pause = time.monotonic(), _MIN_POLL_S
    while time.monotonic() - began < NEXT_POINT_S:
        with suppress(HTTPError, PrefectException):  # an unreachable server is asked again
            for point in _scheduled(client, first):
                # the server lets one process or worker set it to pending; with a past time it need not wait for its own
                claim: Any = Pending(state_details=StateDetails(scheduled_time=point.created))
                answer = client.set_flow_run_state(point.id, claim)
                if answer.status is SetStateStatus.ACCEPT:
                    point.state = answer.state
                    return point
                if answer.status is SetStateStatus.REJECT:  # the server gave it another state
                    return None
        time.sleep(pause)
        pause = min(2 * pause, _MAX_POLL_S)
    return None


def _scheduled(client: SyncPrefectClient, first: FlowRun) -> list[FlowRun]:
    """Return the scheduled flow runs of the same sweep and deployment."""
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=_sweep_tags(first)),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            deployment_id=FlowRunFilterDeploymentId(any_=[first.deployment_id]),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=_PAGE,
    )


def is_process_dead(flow_run: FlowRun) -> bool:
    """Return True if the flow run's process has announced itself, ran on this machine, and has ended."""
    try:
        return Owner(**json.loads(str(flow_run.labels.get(PROCESS_LABEL)))).is_known_dead()
    except (TypeError, ValueError):  # no process, or one of another version
        return False


def _sweep_tags(flow_run: FlowRun) -> list[str]:
    sweeps = [tag for tag in flow_run.tags if tag.startswith(SWEEP_TAG)]
    return sweeps and [*sweeps, *(tag for tag in flow_run.tags if tag.startswith(JOURNAL))]


def _this_process() -> str:
    return json.dumps(replace(Owner.of_this_process(), token="").as_mapping())  # the token is for leases


def _announce(client: SyncPrefectClient, flow_run: FlowRun) -> None:
    """Label a flow run with this process; without it the sweep leaves no point to the process."""
    try:
        client.update_flow_run_labels(flow_run.id, {PROCESS_LABEL: _this_process()})
    except (HTTPError, PrefectException) as error:
        _log.info("the flow run could not be labelled with its process: %s", error)
