"""Starts of a schedule that no worker was there for: one run is made for all of them, by the latest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.states import Completed

CATCH_UP = "catch-up"  # tag of a deployment that makes a run for each missed start
_NOT_CANCELLED = [each for each in StateType if each not in (StateType.CANCELLED, StateType.CANCELLING)]
_PAGE = 200


def skipped_start() -> Any:
    """Return the end of a scheduled flow run that a later start of its schedule replaces; None for others.

    It is later by the schedule and due already, as after days without a worker. Flow runs that a person or
    housekeeping started are none of the schedule's.
    """
    context = FlowRunContext.get()
    own = None if context is None else context.flow_run
    if own is None or not own.auto_scheduled or own.expected_start_time is None or own.deployment_id is None:
        return None
    if CATCH_UP in own.tags:
        return None
    with get_client(sync_client=True) as client:
        due = FlowRunFilterExpectedStartTime(after_=own.expected_start_time, before_=datetime.now(UTC))
        later = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[own.deployment_id]),
            expected_start_time=due,
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_NOT_CANCELLED)),
        )
        found = [each for each in client.read_flow_runs(flow_run_filter=later, limit=_PAGE) if each.auto_scheduled]
    times = [each.expected_start_time for each in found if each.id != own.id and each.expected_start_time is not None]
    if not any(each > own.expected_start_time for each in times):
        return None
    message = (
        f"its schedule was due again at {max(times):%Y-%m-%d %H:%M} UTC, and one run is made for all missed starts"
    )
    return Completed(name="Skipped", message=message)
