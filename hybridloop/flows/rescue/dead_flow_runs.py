"""Flow runs whose process is dead by the journal: mark them in Prefect, or restart them by their deployment."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, Worker
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed, Scheduled

from hybridloop.data.states import State as RunState
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError, JournalDamaged
from hybridloop.flows.in_prefect.completion import call_attention, sweep_of
from hybridloop.flows.in_prefect.flow_run_events import journal_tag
from hybridloop.flows.in_prefect.process_reuse import JOURNAL, LEASE, SWEEP_TAG, sweep_lease
from hybridloop.flows.rescue.delivery import deliver_ends
from hybridloop.journal import Journal, RunRecord
from hybridloop.journal.held_run import how_to_resume
from hybridloop.runs.recorded import flow_runs_of
from hybridloop.runs.run import run_of_key
from hybridloop.tasks.prefect_tasks import TAG

SETTLE_S = 45.0  # after the report of a crash: Prefect's own worker reports it again when its hooks have ended
QUIET_S = 600.0  # a flow run without a held run may prepare its problem or wait for a server for so long
PENDING_S = 3600.0  # a container may have to be fetched; a worker's process begins within QUIET_S
OUR_FLOWS = frozenset({*ALGORITHMS, "sweep", "housekeeping"})
SUPERSEDED_S = 60.0  # the same, where a later flow run has held its run: its process can only report its end
MAX_STARTS = 20  # of one flow run
MAX_VAIN_STARTS = 3  # of one that crashes each time before it begins: its worker may lack something
DAY_S = 86400.0
AHEAD = timedelta(days=7)  # by which a restarted flow run is due before those that wait
AWAITS = "AwaitingRetry"
_WORKER_NAME, _WORKER_TYPE, _PROCESS = "prefect.worker.name", "prefect.worker.type", "process"  # labels of Prefect
_MISSED, _HEARTBEAT_S = 3, 30  # as in Prefect's server
_PAGE = 200

_log = logging.getLogger(__name__)


def mark_dead_flow_runs(
    journal: Journal, client: SyncPrefectClient, *, now: float, pool: str | None = None
) -> dict[str, str]:
    """End the flow runs of dead processes; return the new state by run key.

    Flow runs of another journal, and points of a sweep that lives, are left. One that has not begun belongs to the
    journal of the workers of its work pool, here of `pool` (None: any).

    They become Crashed, or Cancelled if they were being cancelled; ends that the server missed are delivered first.
    Others wait for another worker: one that stays Pending, as its runner died before it began; one that crashed before
    it began, as Prefect's server was away; and one whose process died before the journal had its run. Any other flow
    run without a run in this journal belongs to another user and is not changed.
    """
    marked = deliver_ends(journal, client, now=now)
    is_ours = partial(_is_ours, journal, journal_tag(journal), pool)
    for flow_run in filter(is_ours, _crashed_at_the_start(client, now)):
        if not is_of_live_sweep(journal, sweep_of(flow_run)):
            _restart(client, flow_run)
            marked[flow_run.name] = "never begun"
    for flow_run in filter(is_ours, _active(client)):
        if lease := next((tag.removeprefix(LEASE) for tag in flow_run.tags if tag.startswith(LEASE)), ""):
            if now - max(journal.last_held(lease) or 0.0, _since(flow_run)) > SUPERSEDED_S:
                message = f"the process of {lease} died; the same call resumes it"
                marked[flow_run.name] = _end_dead(client, flow_run, message)
            continue
        if is_of_live_sweep(journal, sweep_of(flow_run)):
            continue
        if _is_never_begun(client, flow_run, now):
            if _starts(client, flow_run) < MAX_STARTS and _deployment_of(client, flow_run) is not None:
                _restart(client, flow_run)
            else:
                client.set_flow_run_state(flow_run.id, Crashed(message="its process died before it began"))
            marked[flow_run.name] = "never begun"
            continue
        try:
            record = _record_of(journal, flow_run)
            if record is None and _died_at_the_start(client, flow_run, now):
                _restart(client, flow_run)
                marked[flow_run.name] = "never begun"
            if record is None or not _is_dead(journal, client, record, flow_run, now):
                continue
        except JournalDamaged as error:  # it must not keep other flow runs from being marked
            _log.warning("flow run %s was skipped: %s", flow_run.name, error)
            continue
        message = f"the process of run {record.key} died; to resume the run: {how_to_resume(record)}"
        marked[record.key] = _end_dead(client, flow_run, message)
    return marked


def _end_dead(client: SyncPrefectClient, flow_run: FlowRun, message: str) -> str:
    """End the flow run of a dead process; return its new state."""
    is_cancelled = flow_run.state_type is StateType.CANCELLING
    client.set_flow_run_state(flow_run.id, (Cancelled if is_cancelled else Crashed)(message=message))
    return "cancelled" if is_cancelled else "crashed"


def is_of_live_sweep(journal: Journal, sweep: Any) -> bool:
    """Return True for a point of a sweep whose process lives: that one starts it again."""
    return bool(sweep) and journal.is_lease_held(sweep_lease(str(sweep)))


def _is_ours(journal: Journal, tag: str, pool: str | None, flow_run: FlowRun) -> bool:
    """Return True for a flow run that this journal's housekeeping may change."""
    journals = {each for each in flow_run.tags if each.startswith(JOURNAL)}
    if journals and tag not in journals:
        return False
    return bool(journals) or pool is None or flow_run.work_pool_name in (None, pool)


def restart_flow_run(
    client: SyncPrefectClient,
    record: RunRecord,
    flow_run_id: str | None,
    parameters: Mapping[str, Any],
) -> str | None:
    """Have the deployment that started a run restart it; return the outcome, or None without a deployment.

    A crashed flow run that had begun is set to AwaitingRetry. After another end, such as parked, a new flow run is
    created; another one, MAX_VAIN_STARTS at most, if that one ends before it holds the run. Their idempotency keys
    number them, so that two processes create one. They get the parameters of the run's last flow run, updated with
    `parameters`. A run that has had all its flow runs waits for a person, who gets a message.
    """
    flow_run = None if flow_run_id is None else _read_flow_run(client, flow_run_id)
    deployment = None if flow_run is None else _deployment_of(client, flow_run)
    if flow_run is None or flow_run.state is None or deployment is None:
        return None
    keys = [f"{_resumes(record)}{attempt}" for attempt in range(MAX_VAIN_STARTS)]
    tried = _by_idempotency_key(client, keys)
    used = max((keys.index(key) + 1 for key in tried), default=0)  # one of them may have been deleted
    last = tried[keys[used - 1]] if used else flow_run
    assert last.state is not None
    reason = reason_to_leave(last.state, last.run_count, is_asked=record.resume_requested)
    if last.state.is_final() and (used == len(keys) or (reason and last.state.is_crashed())):
        ended = f"{used} flow runs ended before they held it, the last as {last.state.name}"
        text = last.state.message
        reason = (ended + f": {text}" * bool(text)) if used else str(reason)
        call_attention(client, record, last, reason, f"To resume it: {how_to_resume(record)}")
    if reason is not None:
        return f"left: {reason}"
    if used or not last.state.is_crashed():
        kept = [each for each in flow_run.tags if each.startswith((SWEEP_TAG, JOURNAL))]
        labels: dict[str, Any] = {"name": record.key, "tags": [TAG, f"run:{record.key}", *kept]}
        labels |= {"parameters": {**flow_run.parameters, **parameters}, "idempotency_key": keys[used]}
        labels["state"] = _first_in_line("Scheduled")
        client.create_flow_run_from_deployment(deployment, **labels)
        return "a new flow run of its deployment resumes it"
    _restart(client, last)
    return "its flow run waits for a worker"


def _resumes(record: RunRecord) -> str:
    """Return the beginning of the idempotency keys of flow runs that resume a run, until a process holds it."""
    return f"{record.uid}-{record.epoch}-"


def _by_idempotency_key(client: SyncPrefectClient, keys: list[str]) -> dict[str, FlowRun]:
    filtered = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=keys))
    return {str(each.idempotency_key): each for each in client.read_flow_runs(flow_run_filter=filtered)}


def _restart(client: SyncPrefectClient, flow_run: FlowRun) -> None:
    client.set_flow_run_state(flow_run.id, _first_in_line(AWAITS))


def _first_in_line(name: str) -> State[Any]:
    """Return a scheduled state whose flow run the next free slot takes: workers sort by this time, not by another."""
    return Scheduled(name=name, scheduled_time=datetime.now(UTC) - AHEAD)


def reason_to_leave(state: State[Any], starts: int, *, is_asked: bool) -> str | None:
    """Return the reason not to restart a flow run, or None; `is_asked` is true if a user asked for the resume."""
    if state.type in (StateType.CANCELLED, StateType.CANCELLING) and not is_asked:
        return "it was cancelled in Prefect"
    if not state.is_final():
        return "its flow run is active"
    if state.is_crashed() and starts >= MAX_STARTS:
        return f"its flow run was started {starts} times"
    return None


def tell_person(record: RunRecord, flow_run_id: str | None, reason: str) -> None:
    """Send the message that a run waits for a person, once for its last flow run; none where Prefect has none."""
    with get_client(sync_client=True) as client:
        if flow_run_id is not None and (flow_run := _read_flow_run(client, flow_run_id)) is not None:
            call_attention(client, record, flow_run, reason, f"To resume it: {how_to_resume(record)}")


def seconds_to_settle(journal: Journal, client: SyncPrefectClient, record: RunRecord, settle_s: float) -> float:
    """Return the seconds until the crash of a run's flow run was reported `settle_s` ago; 0 for other ends.

    Prefect's own worker reports it again after its hooks, and the second report would make a Crashed flow run of one
    that waits for a worker.
    """
    *_, last = flow_runs_of(journal, record)
    if last is None or not settle_s:
        return 0.0
    flow_run = _read_flow_run(client, last)
    if flow_run is None or flow_run.deployment_id is None or flow_run.state is None or not flow_run.state.is_crashed():
        return 0.0
    return max(0.0, settle_s - (time.time() - _since(flow_run)))


def was_cancelled(client: SyncPrefectClient, flow_run_id: str | None) -> bool:
    """Return true if the flow run was cancelled in Prefect."""
    flow_run = None if flow_run_id is None else _read_flow_run(client, flow_run_id)
    return flow_run is not None and flow_run.state_type in (StateType.CANCELLED, StateType.CANCELLING)


def _active(client: SyncPrefectClient) -> list[FlowRun]:
    kinds = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING, StateType.PENDING])
    filtered = FlowRunFilter(state=FlowRunFilterState(type=kinds))
    flow_runs: list[FlowRun] = []  # read all before one is changed: a change would shift the pages
    while page := client.read_flow_runs(
        flow_run_filter=filtered, limit=_PAGE, offset=len(flow_runs), sort=FlowRunSort.START_TIME_ASC
    ):
        flow_runs += page
    return flow_runs


def _record_of(journal: Journal, flow_run: FlowRun) -> RunRecord | None:
    if (record := journal.run_by_flow_run(str(flow_run.id))) is not None:
        return record
    key = flow_run.parameters.get("run_key")
    try:
        return None if key is None else run_of_key(journal, str(key))
    except InputError:  # a parameter of that name in a flow of another package
        return None


def _is_dead(journal: Journal, client: SyncPrefectClient, record: RunRecord, flow_run: FlowRun, now: float) -> bool:
    known = flow_runs_of(journal, record)
    if str(flow_run.id) not in known:  # if it is no resume: another user's, with the same run key in another journal
        is_resume = (flow_run.idempotency_key or "").startswith(_resumes(record))
        return is_resume and not record.is_held(now) and _died_before_it_held(client, flow_run, now)
    is_last = known[-1] == str(flow_run.id)
    if is_last and record.state in (RunState.RUNNING, RunState.PREPARING) and record.updated_at >= _since(flow_run):
        return record.is_orphaned(now)  # else it was restarted, and must still hold its run
    if is_last and record.is_held(now):
        return False
    since = max(record.updated_at if is_last else 0.0, _since(flow_run))
    # it may be starting, or about to report its end
    return now - since > (QUIET_S if is_last and not _is_gone(flow_run) else SUPERSEDED_S)


def _is_never_begun(client: SyncPrefectClient, flow_run: FlowRun, now: float) -> bool:
    """Return True for a pending flow run whose runner is gone, and for one of our flows that is pending too long."""
    pending_s = now - _since(flow_run)
    if flow_run.state_type is not StateType.PENDING or pending_s <= SUPERSEDED_S:
        return False
    if _is_gone(flow_run):
        return True
    return pending_s > _longest_start_s(client, flow_run, now) and client.read_flow(flow_run.flow_id).name in OUR_FLOWS


def _died_at_the_start(client: SyncPrefectClient, flow_run: FlowRun, now: float) -> bool:
    """Return True if a flow run's process died with its worker before the journal had its run, which may be resumed.

    That the process is gone is not enough: containers may have the name of this machine, and process ids of their own.
    """
    settings = flow_run.parameters.get("settings")
    may_resume = isinstance(settings, Mapping) and settings.get("resume_automatically") == "interrupted"
    is_dead = flow_run.state_type is StateType.RUNNING and now - _since(flow_run) > SUPERSEDED_S and _is_gone(flow_run)
    return (
        may_resume
        and is_dead
        and _is_left(client, flow_run, now)
        and _starts(client, flow_run) < MAX_STARTS
        and _deployment_of(client, flow_run) is not None
    )


def _died_before_it_held(client: SyncPrefectClient, flow_run: FlowRun, now: float) -> bool:
    """Return True if the process of a running flow run has died with its worker, for all that can be seen."""
    running_s = now - _since(flow_run)
    if flow_run.state_type is not StateType.RUNNING or running_s <= SUPERSEDED_S:
        return False
    is_gone = _is_gone(flow_run)
    if _is_left(client, flow_run, now):
        return is_gone or running_s > QUIET_S
    return is_gone and running_s > PENDING_S  # a worker of the same name may have taken its place


def _longest_start_s(client: SyncPrefectClient, flow_run: FlowRun, now: float) -> float:
    """Return the seconds that a flow run may be pending, by the workers that may have taken it.

    A worker takes a flow run, then labels it with its own name, and last reports the process or container.
    """
    if flow_run.infrastructure_pid:
        return PENDING_S
    kind, takers = flow_run.labels.get(_WORKER_TYPE, _PROCESS), _takers(client, flow_run)
    if takers and all(_is_silent(worker, now) for worker in takers):
        return SUPERSEDED_S
    return QUIET_S if takers and kind == _PROCESS else PENDING_S


def _takers(client: SyncPrefectClient, flow_run: FlowRun) -> list[Worker]:
    """Return the worker that has taken a flow run, or those that may have; none are known of a deleted pool."""
    if flow_run.state is None or flow_run.work_pool_name is None:
        return []
    name, since = flow_run.labels.get(_WORKER_NAME), flow_run.state.timestamp
    workers = _workers_of(client, flow_run.work_pool_name)
    return [each for each in workers if each.name == name or (name is None and each.created and each.created <= since)]


def _is_left(client: SyncPrefectClient, flow_run: FlowRun, now: float) -> bool:
    """Return True if no worker that may have taken the flow run is heard."""
    return all(_is_silent(worker, now) for worker in _takers(client, flow_run))


def _is_silent(worker: Worker, now: float) -> bool:
    """Return True if a worker has missed as many heartbeats as make it offline for Prefect's server."""
    seen = worker.last_heartbeat_time
    return seen is None or now - seen.timestamp() > _MISSED * (worker.heartbeat_interval_seconds or _HEARTBEAT_S)


def _workers_of(client: SyncPrefectClient, pool: str) -> list[Worker]:
    try:
        return client.read_workers_for_work_pool(pool)
    except ObjectNotFound:
        return []


def _is_gone(flow_run: FlowRun) -> bool:
    """Return True if a worker on this machine began the flow run in a process that has ended."""
    host, _, pid = (flow_run.infrastructure_pid or "").rpartition(":")
    return host == socket.gethostname() and pid.isdigit() and not psutil.pid_exists(int(pid))


def _crashed_at_the_start(client: SyncPrefectClient, now: float) -> list[FlowRun]:
    """Return deployed flow runs of the last day that crashed before they began, each a few times."""
    settled = [each for each in _crashed(client, now) if each.run_count == 0 and now - _since(each) > SUPERSEDED_S]
    return [each for each in settled if _starts(client, each) < MAX_VAIN_STARTS and _deployment_of(client, each)]


def _crashed(client: SyncPrefectClient, now: float) -> list[FlowRun]:
    """Return our flow runs of the last day that crashed."""
    filtered = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED])),
        start_time=FlowRunFilterStartTime(after_=datetime.fromtimestamp(now - DAY_S, UTC)),
        tags=FlowRunFilterTags(all_=[TAG]),
    )
    return client.read_flow_runs(flow_run_filter=filtered, limit=_PAGE, sort=FlowRunSort.EXPECTED_START_TIME_DESC)


def _starts(client: SyncPrefectClient, flow_run: FlowRun) -> int:
    """Return the number of times that a flow run was started again."""
    return sum(state.name == AWAITS for state in client.read_flow_run_states(flow_run.id))


def _since(flow_run: FlowRun) -> float:
    return 0.0 if flow_run.state is None else flow_run.state.timestamp.timestamp()


def _deployment_of(client: SyncPrefectClient, flow_run: FlowRun) -> UUID | None:
    """Return the deployment of a flow run; None if it has none or the deployment was deleted."""
    if flow_run.deployment_id is None:
        return None
    try:
        return client.read_deployment(flow_run.deployment_id).id
    except ObjectNotFound:
        return None


def _read_flow_run(client: SyncPrefectClient, flow_run_id: str) -> FlowRun | None:
    try:
        return client.read_flow_run(UUID(flow_run_id))
    except ObjectNotFound:
        return None
