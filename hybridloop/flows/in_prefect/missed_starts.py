"""Starts of a schedule that no worker was there for: one run is made for all of them, by the latest that is due.

That one is chosen once, by a tag: else one that begins late would leave its run to a later one, and so on for good.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
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
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.states import Completed

from hybridloop.errors import HybridloopError
from hybridloop.journal import open_journal

CATCH_UP = "catch-up"  # tag of a deployment that makes a run for each missed start
CHOSEN = "hybridloop:for-all-missed"  # tag of the start that makes the run
SKIPPED = "Skipped"
LAGS = "hybridloop.schedule.lags"  # event: several starts in a row made no run
IN_A_ROW = 3
_NOT_CANCELLED = [each for each in StateType if each not in (StateType.CANCELLED, StateType.CANCELLING)]
RUN_TAG = "run:"  # begins the tag of a flow run whose run has begun
_UNDECIDED = (StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING)
_PAGE = 200
_log = logging.getLogger(__name__)


def skipped_start() -> Any:
    """Return the end of a scheduled flow run that a later start of its schedule replaces; None for others.

    It is later by the schedule, and was due already when a worker took this one, as after days without a worker. Of
    those that are due then, the latest is chosen, unless one of them was before, or has begun. Flow runs that a person
    or housekeeping started are none of the schedule's, and one whose run has begun is started again to resume it. Where
    the server or the journal can't tell, the flow run goes on.
    """
    context = FlowRunContext.get()
    own = None if context is None else context.flow_run
    if own is None or not own.auto_scheduled or own.expected_start_time is None or own.deployment_id is None:
        return None
    if CATCH_UP in own.tags:
        return None
    try:
        with open_journal() as journal:
            if journal.run_by_flow_run(str(own.id)) is not None:
                return None
        with get_client(sync_client=True) as client:
            if (instead := _instead_of(client, own)) is None:
                return None
            _tell_lag(client, own)
    except (HTTPError, PrefectException, RuntimeError, HybridloopError) as error:
        _log.warning("it is not known whether a later start of the schedule is due: %s", error)
        return None
    message = f"its schedule was due again at {instead:%Y-%m-%d %H:%M} UTC, and one run is made for all missed starts"
    return Completed(name=SKIPPED, message=message)


def _instead_of(client: SyncPrefectClient, own: FlowRun) -> datetime | None:
    """Return the time of the later start that makes the run, which is chosen here if none was; None: this one does."""
    if CHOSEN in client.read_flow_run(own.id).tags:  # since its process began
        return None
    taken = max(
        (each.timestamp for each in client.read_flow_run_states(own.id) if each.type is StateType.PENDING),
        default=datetime.now(UTC),
    )
    later = _starts(client, own, after=own.expected_start_time, before=taken)
    later = [each for each in later if each.state_name != SKIPPED]
    if not later:
        return None
    if (begun := next(filter(_makes_the_run, later), None)) is not None:
        return begun.expected_start_time
    client.update_flow_run(later[0].id, tags=[*later[0].tags, CHOSEN])
    return later[0].expected_start_time


def _makes_the_run(start: FlowRun) -> bool:
    """Return True for a start that was chosen, or that has a run; one whose process runs may yet be skipped."""
    has_run = any(tag.startswith(RUN_TAG) for tag in start.tags)
    return CHOSEN in start.tags or has_run or start.state_type not in _UNDECIDED


def _tell_lag(client: SyncPrefectClient, own: FlowRun) -> None:
    """Tell the server that several starts of a schedule in a row made no run; its message is sent once a day."""
    before = _starts(client, own, after=None, before=own.expected_start_time)[: IN_A_ROW - 1]
    if len(before) < IN_A_ROW - 1 or any(each.state_name != SKIPPED for each in before):
        return
    assert own.deployment_id is not None
    deployment = client.read_deployment(own.deployment_id)
    name = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
    message = f"{IN_A_ROW} starts of {name} or more in a row made no run: they were due before a worker took them"
    emit_event(
        LAGS,
        resource={"prefect.resource.id": f"hybridloop.schedule.{deployment.id}", "prefect.resource.name": name},
        related=[{"prefect.resource.id": f"prefect.deployment.{deployment.id}", "prefect.resource.role": "deployment"}],
        payload={"message": f"{message}. The latest that is due runs."},
    )


def _starts(
    client: SyncPrefectClient, own: FlowRun, *, after: datetime | None, before: datetime | None
) -> list[FlowRun]:
    """Return other starts of the same schedule that were due in this time, the latest first."""
    assert own.deployment_id is not None
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[own.deployment_id]),
            expected_start_time=FlowRunFilterExpectedStartTime(after_=after, before_=before),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_NOT_CANCELLED)),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=_PAGE,
    )
    return [each for each in found if each.auto_scheduled and each.expected_start_time != own.expected_start_time]
