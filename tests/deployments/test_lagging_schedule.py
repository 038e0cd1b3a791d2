"""Starts of a schedule that lags: the latest that is due runs, however late its process begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.context import FlowRunContext
from prefect.events import Event
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.states import Completed, Pending, Running

from hybridloop.flows.algorithms import vqe
from hybridloop.flows.in_prefect.missed_starts import IN_A_ROW, LAGS, SKIPPED, skipped_start
from hybridloop.local_stack import PrefectServer
from tests.long_form import long_form, short_or_long
from tests.prefect_server import prefect_client, send_what_is_pending
from tests.server_share import ServerShare
from tests.waiting import eventually

DUE = 4


@contextmanager
def inside(run: FlowRun) -> Iterator[None]:
    """Let a flow run be the one around, as in its process."""
    make: Any = FlowRunContext.model_construct
    context = make(flow_run=run)
    token = FlowRunContext.__var__.set(context)  # the engine would also run the flow
    try:
        yield
    finally:
        FlowRunContext.__var__.reset(token)


def starts(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    now = datetime.now(UTC)
    found = client.read_flow_runs(deployment_filter=of_deployment, limit=200)
    due = [each for each in found if each.expected_start_time is not None and each.expected_start_time <= now]
    return sorted(due, key=lambda each: str(each.expected_start_time))


@pytest.mark.slow
@long_form
@pytest.mark.parametrize("begin", short_or_long(["all at once"], ["all at once", "one after the other"]))
def test_the_latest_start_that_is_due_runs_though_a_later_one_is_due_when_it_begins(
    begin: str, prefect_server: PrefectServer, share: ServerShare
) -> None:
    """Each process decides after the next start is due, as with a lag of more than a period."""
    with prefect_client(prefect_server) as client:
        every = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(seconds=2)))
        parameters = {"problem": {"name": "h2"}}
        deployment = share.deploy(client, vqe, parameters=parameters, schedules=[every])
        eventually(lambda: len(starts(client, deployment)) >= DUE)
        if begin == "all at once":
            for each in starts(client, deployment):
                client.set_flow_run_state(each.id, Running(), force=True)
        decided = list[str]()
        for turn in range(2 * DUE):
            eventually(lambda turn=turn: len(starts(client, deployment)) > turn + DUE)  # type: ignore[misc]
            run = next(each for each in starts(client, deployment) if each.state_name not in (SKIPPED, "Completed"))
            client.set_flow_run_state(run.id, Pending(), force=True)
            with inside(client.read_flow_run(run.id)):
                end = skipped_start()
            decided.append("runs" if end is None else str(end.name))
            client.set_flow_run_state(run.id, end if end is not None else Completed(), force=True)
        assert decided.count("runs") >= 1, decided
        assert decided[:IN_A_ROW] == [SKIPPED] * IN_A_ROW
        send_what_is_pending()
        told = EventFilter(event=EventNameFilter(name=[LAGS]))

        def messages() -> list[Event]:
            return [each for each in client.read_events(told, limit=50).events if str(deployment) in each.resource.id]

        eventually(messages)
        assert messages()[0].payload["message"].startswith(f"{IN_A_ROW} starts of vqe/{share.name} or more in a row")
        assert {each.state_type for each in starts(client, deployment)} >= {StateType.COMPLETED}
        client.delete_deployment(deployment)
