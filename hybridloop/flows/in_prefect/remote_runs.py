"""Runs on workers, seen from any machine that reaches Prefect's server: handed over, and followed to their end.

The server has a run's log and its result; the journal may be on another machine. The server is polled, since a client
behind a proxy may have no websocket for events.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.client.schemas.sorting import FlowRunSort, LogSort
from prefect.exceptions import MissingResult, ObjectNotFound
from prefect.states import Cancelled, Cancelling
from prefect.types.entrypoint import EntrypointType

from hybridloop.errors import HybridloopError, InputError, RunBusy, RunNotBegun, RunNotFinished
from hybridloop.flows import load_flow
from hybridloop.flows.in_prefect.host import HELD, REFUSED
from hybridloop.flows.rescue.delivery import deliver_ends
from hybridloop.journal import open_journal
from hybridloop.results.result import RunResult
from hybridloop.runtime.waits import RESUMED_WITHIN_S
from hybridloop.settings import AutoResume, ProblemText
from hybridloop.tasks.prefect_tasks import TAG

POLL_S = 2.0
WORKER_AFTER_S = 10.0  # without a worker by then, the view says so
MAX_FAILURES = 30  # requests in sequence without an answer of the server, about a minute
LOG_DELAY_S = 3.0  # until the server has the last lines: they are sent every two seconds
_PAGE = 200  # log lines of one request
_FLOW_RUNS = "prefect.flow_runs"  # logger of Prefect's engine, and of rounds with their values
_ROUND = ("round ", "iteration ")

Show = Callable[[str], None]
_log = logging.getLogger(__name__)


def hand_over(
    algorithm: str, problem: ProblemText, settings: Mapping[str, Any], *, key: str, pool: str, workspace: str | None
) -> UUID:
    """Start a run on a worker of a pool; return the id of its flow run. Raises InputError for an unknown pool."""
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound as error:
            what = f"this Prefect server has no work pool {pool!r}"
            raise InputError(
                "on", what, f"Start a worker, which creates it: hybridloop worker --pool {pool}"
            ) from error
        deployment: Any = load_flow(algorithm).to_deployment(
            f"on-{pool}", tags=[TAG], work_pool_name=pool, entrypoint_type=EntrypointType.MODULE_PATH, schedules=[]
        )
        parameters: dict[str, Any] = {"problem": problem.model_dump(mode="json"), "settings": dict(settings)}
        parameters |= {"run_key": key} | ({} if workspace is None else {"workspace": workspace})
        run = client.create_flow_run_from_deployment(
            deployment.apply(), parameters=parameters, name=key, tags=[TAG, f"run:{key}"]
        )
        return run.id


def flow_run_of(key: str) -> UUID:
    """Return the id of the latest flow run of a run on this server. Raises InputError if there is none."""
    ours = FlowRunFilter(tags=FlowRunFilterTags(all_=[TAG, f"run:{key}"]))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=ours, sort=FlowRunSort.START_TIME_DESC, limit=1)
    if found:
        return found[0].id
    raise InputError("run", f"this Prefect server knows no run {key!r}", "`prefect flow-run ls` lists them.")


def follow(flow_run: UUID, show: Show, *, poll_s: float = POLL_S) -> RunResult | None:
    """Show a flow run's log until it has ended, and return its result; None if the server has no copy of it.

    One that crashed and that housekeeping resumes has ended after `RESUMED_WITHIN_S`. Raises InputError for refused
    input, and RunNotFinished for a run that has no result.
    """
    pause, waited_s, failures, shown = threading.Event(), 0.0, 0, set[UUID]()
    crashed_s = 0.0
    has_ended: bool | None = False
    with get_client(sync_client=True) as client:
        while True:
            try:
                run = client.read_flow_run(flow_run)
                has_ended = None if has_ended is None else _has_ended(client, run)
                if has_ended:
                    run = client.read_flow_run(flow_run)
                _show_log(client, flow_run, shown, show)
                failures = 0
            except HTTPError:  # the run continues without the server, and its view does so for a while
                failures += 1
                if failures > MAX_FAILURES:
                    raise
                pause.wait(poll_s)
                continue
            is_crashed = run.state is not None and run.state.is_crashed()
            if is_crashed and (has_ended or _may_resume(run)) and crashed_s < RESUMED_WITHIN_S:
                if not crashed_s and not has_ended:
                    show(f"run {run.name} lost its process; with a worker online, housekeeping resumes it in minutes")
                crashed_s += poll_s
                pause.wait(poll_s)
                continue
            if run.state is not None and run.state.is_final():
                pause.wait(LOG_DELAY_S)
                _show_log(client, flow_run, shown, show)
                return _result_of(run)
            crashed_s = 0.0
            is_late = run.start_time is None and waited_s < WORKER_AFTER_S <= waited_s + poll_s
            if is_late and not _has_worker(client, run):
                show(f"no worker is online yet: hybridloop worker --pool {run.work_pool_name}")
            waited_s += poll_s
            pause.wait(poll_s)


def _may_resume(run: FlowRun) -> bool:
    """Return True if housekeeping resumes the run of a flow run that crashed, by the settings of its start."""
    settings = run.parameters.get("settings")
    is_resumed = isinstance(settings, Mapping) and settings.get("resume_automatically") == AutoResume.INTERRUPTED
    return is_resumed


def _has_ended(client: SyncPrefectClient, run: FlowRun) -> bool | None:
    """Return True if the journal here has a run's end that Prefect lacks; None if it can't be read.

    Prefect shows the end as soon as its process has had the time to do so.
    """
    if run.state_type not in (StateType.RUNNING, StateType.CRASHED):
        return False
    try:
        with open_journal() as journal:
            deliver_ends(journal, client, now=time.time())
            return any(end.flow_run == str(run.id) for end in journal.untold_ends())
    except HybridloopError as error:  # the run's own journal may be elsewhere
        _log.debug("the journal here was not asked for the end of run %s: %s", run.name, error)
        return None


def request_stop(flow_run: UUID, tag: str) -> None:
    """Ask the run of a flow run to stop, by a tag that its process looks for every two seconds."""
    with get_client(sync_client=True) as client:
        run = _unfinished(client, flow_run)
        client.update_flow_run(flow_run, tags=[*run.tags, tag])


def cancel(flow_run: UUID) -> None:
    """Cancel a flow run in Prefect, as its button does."""
    with get_client(sync_client=True) as client:
        _unfinished(client, flow_run)
        client.set_flow_run_state(flow_run, Cancelling())


def cancel_waiting(key: str, last: str | None = None) -> bool:
    """Cancel the flow runs of a run that wait for a worker; return whether there were any.

    Those have the run's key as a tag, but the `last` flow run (id) of a schedule, which housekeeping restarts.
    """
    kinds = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING]))
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[TAG, f"run:{key}"]), state=kinds)
    by_id = [] if last is None else [FlowRunFilter(id=FlowRunFilterId(any_=[UUID(last)]), state=kinds)]
    with get_client(sync_client=True) as client:
        pages = [client.read_flow_runs(flow_run_filter=each, limit=_PAGE) for each in (tagged, *by_id)]
        found = {run.id for page in pages for run in page}
        for each in found:
            client.set_flow_run_state(each, Cancelled(message="a user stopped the run before a worker took it"))
    return bool(found)


def _unfinished(client: SyncPrefectClient, flow_run: UUID) -> FlowRun:
    """Return a flow run that has not ended: a request to one that has would meet its next start. Raises InputError."""
    run = client.read_flow_run(flow_run)
    if run.state is not None and run.state.is_final():
        what = f"the flow run of {run.name!r} has ended: it is {run.state.name}"
        raise InputError("run", what, f"`hybridloop runs follow {run.name}` prints its result.")
    return run


def show_log(key: str, show: Show) -> None:
    """Show the log of a run as far as the server has it: of all its flow runs, with dates. Raises as `flow_run_of`."""
    flow_run_of(key)
    ours = FlowRunFilter(tags=FlowRunFilterTags(all_=[TAG, f"run:{key}"]))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=ours, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=_PAGE)
        for each in found:
            _show_log(client, each.id, set(), show, dated=True)
            if each.state is not None:
                message = f": {each.state.message}" * bool(each.state.message)
                show(f"{_date(each.state.timestamp)} flow run {each.name} is {each.state.name}{message}")


def _date(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _show_log(client: SyncPrefectClient, flow_run: UUID, shown: set[UUID], show: Show, *, dated: bool = False) -> None:
    """Show the lines of a flow run's log that were not `shown`; late ones may be of a time before others."""
    of_run, begin = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run])), max(0, len(shown) - _PAGE)
    while lines := client.read_logs(of_run, limit=_PAGE, offset=begin, sort=LogSort.TIMESTAMP_ASC):
        begin += len(lines)
        for line in lines:
            is_round, is_new = line.message.startswith(_ROUND), line.id not in shown
            shown.add(line.id)
            ours = is_round if line.name == _FLOW_RUNS else line.name.startswith("hybridloop") and not is_round
            if is_new and ours:
                show(f"{_date(line.timestamp)} {line.message}" if dated else line.message)


def _has_worker(client: SyncPrefectClient, run: FlowRun) -> bool:
    pool = run.work_pool_name
    return pool is None or any(
        worker.status is WorkerStatus.ONLINE for worker in client.read_workers_for_work_pool(pool)
    )


def _result_of(run: FlowRun) -> RunResult | None:
    assert run.state is not None
    message = run.state.message or f"its flow run is {run.state.name}"
    if run.state.name == REFUSED:
        raise InputError("run", message.rstrip("."), "Correct the input, and start it again.")
    if run.state.name == HELD:
        held = RunNotFinished(run.name, message)
        held.exit_code = RunBusy.exit_code
        raise held
    if not run.state.is_completed():
        # one with an idempotency key resumes a run that had begun: see `restart_flow_run`
        kind = RunNotFinished if run.run_count or run.idempotency_key else RunNotBegun
        raise kind(run.name, message, is_cancelled=run.state.is_cancelled())
    try:
        return cast(RunResult, run.state.result())
    except MissingResult:  # of a run that no worker executed
        return None
