"""Flow runs that Prefect takes for running, and whose process is gone by the journal."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed, Scheduled

from hybridloop.errors import InputError, JournalDamaged
from hybridloop.journal import Journal, RunRecord
from hybridloop.runs.lookup import flow_runs_of, run_of_key
from hybridloop.tasks.orphans import is_held, is_orphaned

QUIET_S = 600.0  # a flow run whose run nobody holds may prepare its problem, or wait for a server, for as long
MOST_STARTS = 20  # of one flow run
_PAGE = 200

_log = logging.getLogger(__name__)


def mark_zombies(journal: Journal, client: SyncPrefectClient, *, now: float) -> dict[str, str]:
    """Set flow runs of dead processes to Crashed, those that were being cancelled to Cancelled; which, by run's key.

    A flow run that no run of this journal knows is somebody else's, and left alone.
    """
    marked: dict[str, str] = {}
    for flow_run in _under_way(client):
        try:
            record = _record_of(journal, flow_run)
            if record is None or not _is_dead(journal, record, flow_run, now):
                continue
        except JournalDamaged as error:  # which must not keep others from being marked
            _log.warning("flow run %s is left alone: %s", flow_run.name, error)
            continue
        is_cancelled = flow_run.state_type is StateType.CANCELLING
        said = f"the process of run {record.key} ended without a word; hybridloop runs resume {record.key}"
        state: State[Any] = Cancelled(message=said) if is_cancelled else Crashed(message=said)
        client.set_flow_run_state(flow_run.id, state)
        marked[record.key] = state.type.value.lower()
    return marked


def started_again(
    client: SyncPrefectClient,
    record: RunRecord,
    flow_run_id: str | None,
    parameters: Mapping[str, Any],
    *,
    now: float,
    settle_s: float,
) -> str | None:
    """Leave a run to the workers of the deployment that began it; what was done, or None: there is none.

    A crashed flow run is set to AwaitingRetry, once its worker had `settle_s` to come to its end with it. One that has
    ended otherwise, parked for instance, is followed by a new one, a single one however often it is asked for; it gets
    `parameters` besides those of the one before.
    """
    flow_run = None if flow_run_id is None else _found(client, flow_run_id)
    deployment = None if flow_run is None else _deployment_of(client, flow_run)
    if flow_run is None or flow_run.state is None or deployment is None:
        return None
    state = flow_run.state
    if state.type in (StateType.CANCELLED, StateType.CANCELLING) and not record.resume_requested:
        return "left: it was cancelled in Prefect"
    if not state.is_final():
        return "left: its flow run is on its way"
    if not state.is_crashed():
        told = {**flow_run.parameters, **parameters}
        once = f"{record.uid}-{record.epoch}"
        client.create_flow_run_from_deployment(deployment, parameters=told, idempotency_key=once)
        return "another flow run of its deployment goes on with it"
    if now - state.timestamp.timestamp() < settle_s:
        return "left: it has crashed just now"
    if flow_run.run_count >= MOST_STARTS:
        return f"left: its flow run was started {flow_run.run_count} times"
    client.set_flow_run_state(flow_run.id, Scheduled(name="AwaitingRetry", scheduled_time=datetime.now(UTC)))
    return "its flow run awaits a worker"


def was_cancelled(client: SyncPrefectClient, flow_run_id: str | None) -> bool:
    """Whether somebody cancelled the flow run in Prefect."""
    flow_run = None if flow_run_id is None else _found(client, flow_run_id)
    return flow_run is not None and flow_run.state_type in (StateType.CANCELLED, StateType.CANCELLING)


def _under_way(client: SyncPrefectClient) -> Iterator[FlowRun]:
    kinds = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING])
    filtered = FlowRunFilter(state=FlowRunFilterState(type=kinds))
    found: list[FlowRun] = []  # all before any is changed: pages go by how many there are
    while page := client.read_flow_runs(
        flow_run_filter=filtered, limit=_PAGE, offset=len(found), sort=FlowRunSort.START_TIME_ASC
    ):
        found += page
    yield from found


def _record_of(journal: Journal, flow_run: FlowRun) -> RunRecord | None:
    if (began := journal.run_by_flow_run(str(flow_run.id))) is not None:
        return began
    key = flow_run.parameters.get("run_key")
    try:
        return None if key is None else run_of_key(journal, str(key))
    except InputError:  # a parameter of that name in a flow of somebody else's
        return None


def _is_dead(journal: Journal, record: RunRecord, flow_run: FlowRun, now: float) -> bool:
    known = flow_runs_of(journal, record)
    if str(flow_run.id) not in known:  # of somebody else, who uses the same run key in a journal of their own
        return False
    is_its_own = known[-1] == str(flow_run.id)
    if is_its_own and record.status == "running" and record.updated_at >= _since(flow_run):
        return is_orphaned(record, now)  # else it was started again, and has yet to claim its run
    if is_its_own and is_held(record, now):
        return False
    since = max(record.updated_at if is_its_own else 0.0, _since(flow_run))
    return now - since > QUIET_S  # its process may be about to begin, or to tell Prefect of its end


def _since(flow_run: FlowRun) -> float:
    return 0.0 if flow_run.state is None else flow_run.state.timestamp.timestamp()


def _deployment_of(client: SyncPrefectClient, flow_run: FlowRun) -> UUID | None:
    """The deployment that began a flow run, which names it even after it was deleted; None where there is none."""
    if flow_run.deployment_id is None:
        return None
    try:
        return client.read_deployment(flow_run.deployment_id).id
    except ObjectNotFound:
        return None


def _found(client: SyncPrefectClient, flow_run_id: str) -> FlowRun | None:
    try:
        return client.read_flow_run(UUID(flow_run_id))
    except ObjectNotFound:
        return None
