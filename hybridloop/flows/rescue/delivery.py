"""Delivery of ends: Prefect's server gets each end of a run that it missed, as the journal's outbox has it.

The server takes any state over another by force, so that the guards are here: the number of the flow run's starts, and
the lease of its run.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import FlowRunCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.filters import EventFilter, EventIDFilter
from prefect.states import Running, to_state_create

from hybridloop.data.statuses import WITH_RESULT
from hybridloop.errors import InputError, JournalDamaged
from hybridloop.flows.in_prefect.completion import EARLIER_NIGHT, end_state, event_id, send
from hybridloop.flows.in_prefect.flow_run_events import tags_of
from hybridloop.flows.in_prefect.stored_result import stored_for
from hybridloop.journal import FlowRunEnd, Journal, RunRecord
from hybridloop.journal.held_run import NOT_MADE
from hybridloop.results.result import RunResult
from hybridloop.runs.hold import ENDS, RUN_COMPLETED, facts_of_end
from hybridloop.tasks.prefect_tasks import TAG

OWN_S = 30.0  # that a run's own process has to show its end
SETTLED_S = 120.0  # after which no worker that was away reports a crash any more
_PAGE = 200
DAY_S = 86400.0
_AT_WORK = frozenset({StateType.RUNNING, StateType.CANCELLING})
_log = logging.getLogger(__name__)


def deliver_ends(
    journal: Journal, client: SyncPrefectClient, *, now: float, flow_run: str | None = None
) -> dict[str, str]:
    """Show the ends that Prefect's server lacks; return the state by run key of each that was changed.

    Of one `flow_run`, of this process, at once, of others when their own process has had the time to.
    """
    changed: dict[str, str] = {}
    due = [end for end in journal.untold_ends() if end.flow_run == flow_run or now - end.ended_at >= OWN_S]
    shown = _read(client, [UUID(end.flow_run) for end in due])
    for end in due:
        there = shown.get(UUID(end.flow_run))
        try:
            record = journal.run(end.run_uid)
        except InputError:  # it was deleted
            journal.forget_end(end.flow_run)
            continue
        except JournalDamaged as error:
            _log.warning("the end of flow run %s was not told: %s", end.flow_run, error)
            continue
        if end.starts == NOT_MADE:
            if not record.is_held(now):
                changed[record.key] = _tell_later(journal, client, record, end)
                journal.forget_end(end.flow_run)
        elif there is None or there.run_count > end.starts:  # deleted, or started again
            journal.forget_end(end.flow_run)
        elif not record.is_held(now):  # else a resume decides what becomes of it
            if (state := _deliver(client, record, there, end)) is not None:
                changed[record.key] = state
            if end.flow_run == flow_run or (state is None and now - _since(there) > SETTLED_S):
                journal.forget_end(end.flow_run)
    return changed


def _read(client: SyncPrefectClient, ids: Sequence[UUID]) -> dict[UUID, FlowRun]:
    found: dict[UUID, FlowRun] = {}
    for first in range(0, len(ids), _PAGE):
        page = FlowRunFilter(id=FlowRunFilterId(any_=list(ids[first : first + _PAGE])))
        found |= {each.id: each for each in client.read_flow_runs(flow_run_filter=page, limit=_PAGE)}
    return found


def _since(flow_run: FlowRun) -> float:
    return 0.0 if flow_run.state is None else flow_run.state.timestamp.timestamp()


def _deliver(client: SyncPrefectClient, record: RunRecord, shown: FlowRun, end: FlowRunEnd) -> str | None:
    """Give a flow run the state of its end, and send the message, if the server lacks them; return the new state."""
    own = end_state(end.status, end.reason, is_cancelled=end.cancelled)
    if end.starts == NOT_MADE:
        own.message = f"{own.message} ({_late(end)})"
    present = None if shown.state is None else shown.state.type
    is_early = own.type in (StateType.CRASHED, StateType.FAILED)
    if present is own.type or (is_early and present not in _AT_WORK):
        return None
    result = None if record.result is None else RunResult.from_dict(record.result)
    if result is not None and shown.deployment_id is not None and end.status in WITH_RESULT:
        own.data = stored_for(result, shown.id)
    client.set_flow_run_state(shown.id, own, force=True)
    kind = RUN_COMPLETED if end.status in WITH_RESULT else f"run.{end.status}"
    if kind in ENDS:
        sent = EventFilter(id=EventIDFilter(id=[event_id(shown.id, kind)]))
        if not client.read_events(sent, limit=1).events:
            facts = facts_of_end(record.key, end.status, end.reason, result)
            facts["message"] = f"run {record.key} is {end.status}: {end.reason} ({_late(end)})"
            label = {EARLIER_NIGHT: "yes"} if _is_of_an_earlier_night(client, shown, end) else {}
            send(kind, record, shown, facts, label)
    return str(own.type.value).lower()


def _late(end: FlowRunEnd) -> str:
    at = f"{datetime.fromtimestamp(end.ended_at, UTC):%Y-%m-%d %H:%M} UTC"
    return f"it ended at {at}, and Prefect learned of it later"


def _tell_later(journal: Journal, client: SyncPrefectClient, record: RunRecord, end: FlowRunEnd) -> str:
    """Make the flow run of a run that was done while the server was away, once, and give it the end."""
    text, settings = record.settings.get("problem"), record.settings.get("settings")
    made = FlowRunCreate(
        flow_id=client.create_flow_from_name(record.algorithm),
        name=f"{record.key} (told later)",
        parameters={"problem": text, "settings": settings, "run_key": record.key},
        tags=sorted({TAG, *tags_of(journal, record)}),
        state=to_state_create(Running(message="told later")),
        idempotency_key=end.flow_run,
    )
    answer = client.request("POST", "/flow_runs/", json=made.model_dump(mode="json", exclude_unset=True))
    shown = FlowRun.model_validate(answer.json())
    if shown.state is not None and shown.state.is_final():  # of an earlier end of the run
        client.set_flow_run_state(shown.id, Running(message="told later"), force=True)
        shown = client.read_flow_run(shown.id)
    return _deliver(client, record, shown, end) or "as it was"


def _is_of_an_earlier_night(client: SyncPrefectClient, shown: FlowRun, end: FlowRunEnd) -> bool:
    """Return True if a later start of the flow run's schedule was due since: a heartbeat would cover that one."""
    now = datetime.now(UTC)
    if shown.deployment_id is None or not shown.auto_scheduled or shown.expected_start_time is None:
        return now.timestamp() - end.ended_at > DAY_S
    later = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[shown.deployment_id]),
            expected_start_time=FlowRunFilterExpectedStartTime(after_=shown.expected_start_time, before_=now),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=10,
    )
    return any(each.auto_scheduled and each.id != shown.id for each in later)
