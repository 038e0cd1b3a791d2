"""Starts of a schedule that no worker was there for: one run is made for all of them, by the latest."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from httpx import HTTPError
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.states import Completed

from hybridloop.errors import HybridloopError
from hybridloop.journal import open_journal

CATCH_UP = "catch-up"  # tag of a deployment that makes a run for each missed start
_NOT_CANCELLED = [each for each in StateType if each not in (StateType.CANCELLED, StateType.CANCELLING)]
_PAGE = 200
_log = logging.getLogger(__name__)


def skipped_start() -> Any:
    """Return the end of a scheduled flow run that a later start of its schedule replaces; None for others.

    It is later by the schedule, and was due already when a worker took this one, as after days without a worker: of
    those that are due then, the latest is never replaced. Flow runs that a person or housekeeping started are none of
    the schedule's, and one whose run has begun is started again to resume it. Where the server or the journal can't
    tell, the flow run goes on.
    """
    context = FlowRunContext.get()
    own = None if context is None else context.flow_run
    if own is None or not own.auto_scheduled or own.expected_start_time is None or own.deployment_id is None:
        return None
    if CATCH_UP in own.tags:
        return None
    try:
        times = _due_after(own)
        with open_journal() as journal:
            has_begun = journal.run_by_flow_run(str(own.id)) is not None
    except (HTTPError, PrefectException, RuntimeError, HybridloopError) as error:
        _log.warning("it is not known whether a later start of the schedule is due: %s", error)
        return None
    if has_begun or not times:
        return None
    message = (
        f"its schedule was due again at {max(times):%Y-%m-%d %H:%M} UTC, and one run is made for all missed starts"
    )
    return Completed(name="Skipped", message=message)


def _due_after(own: FlowRun) -> list[datetime]:
    """Return the times of later starts of the same schedule that were due when a worker took this one."""
    assert own.deployment_id is not None
    assert own.expected_start_time is not None
    with get_client(sync_client=True) as client:
        states = client.read_flow_run_states(own.id)
        taken = max((each.timestamp for each in states if each.type is StateType.PENDING), default=datetime.now(UTC))
        due = FlowRunFilterExpectedStartTime(after_=own.expected_start_time, before_=taken)
        later = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[own.deployment_id]),
            expected_start_time=due,
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_NOT_CANCELLED)),
        )
        found = client.read_flow_runs(flow_run_filter=later, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=_PAGE)
    times = [each.expected_start_time for each in found if each.auto_scheduled and each.expected_start_time is not None]
    return [each for each in times if each > own.expected_start_time]
