"""Points run by the workers of a deployment, each as a flow run that is created and watched through Prefect."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from httpx import HTTPError, HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.states import Cancelled, Crashed

from hybridloop.data.statuses import WITH_RESULT
from hybridloop.errors import InputError
from hybridloop.flows.deploying.deployments import Deployment
from hybridloop.flows.in_prefect.host import HELD, REFUSED
from hybridloop.flows.in_prefect.one_request import client_without_retries
from hybridloop.flows.in_prefect.process_reuse import PROCESS_LABEL, RESERVED_S, is_process_dead
from hybridloop.flows.sweep_execution.scheduler import AttemptEnd, retry_journal
from hybridloop.flows.sweep_execution.spec import Point
from hybridloop.journal import Journal, RunRecord
from hybridloop.runs.run import run_of_key
from hybridloop.settings import LIMITS

# Seconds that a flow run may be in a state while its run has no owner. After that it is started again, unless it was
# being cancelled. A second start does no harm: it finds the run held.
STARTING_S = {StateType.PENDING: 300.0, StateType.RUNNING: 120.0, StateType.CANCELLING: 120.0}
DEAD_S = 15.0  # the same where its process is known to be dead; until then a worker reports it
_SHORTEST_S, _LONGEST_S = 0.5, 5.0
_RAN = "The point has run there: its jobs are billed, and its result is in the workers' journal."
_log = logging.getLogger(__name__)
_FINAL = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED})
_PAGE = 200


@dataclass(slots=True)
class _Running:
    flow_run: UUID
    epoch: int  # of the run's lease before this flow run could hold it; -1: it may have held it
    outages: int  # of those that were seen before


class DeploymentPool:
    """Up to `size` flow runs of a deployment at once; active ones of an earlier start of the sweep are taken over."""

    def __init__(
        self,
        client: SyncPrefectClient,
        deployment: Deployment,
        journal: Journal,
        workspace: Mapping[str, str],
        *,
        size: int,
        tags: Sequence[str],
        block: str | None = None,
    ) -> None:
        """`workspace` is the workspace's identity (`identity_of`); `block` is the name of its block, if it has one."""
        self._client, self._deployment, self._journal, self._workspace = client, deployment, journal, workspace
        self._size, self._tags, self._block = size, list(tags), block
        self._outages = 0  # failures of Prefect's server or of the journal that this process has seen
        self._running: dict[str, _Running] = {}
        self._refused: list[AttemptEnd] = []
        self._waiting = 0  # processes of points that have just completed, which wait for another one
        self._earlier = {str(active.parameters.get("run_key")): active.id for active in self._read_active()}

    @property
    def room(self) -> int:
        return self._size - len(self._running) - len(self._refused)

    def start(self, point: Point, /) -> None:
        """Create a flow run of the point, unless an earlier one is active."""
        if (flow_run := self._earlier.pop(point.key, None)) is None:
            record = self._record(point.key)
            try:
                created: Any = run_deployment(
                    self._deployment.id,
                    parameters=flow_parameters(point, self._block),
                    scheduled_time=self._earliest_start(),
                    flow_run_name=point.key,
                    timeout=0,
                    tags=self._tags,
                    idempotency_key=str(uuid4()),  # a retry of this call creates no second flow run
                    as_subflow=False,  # no task run for each point; the tag names the sweep
                )
            except (HTTPError, RuntimeError) as error:
                trouble = f"Prefect did not create its flow run: {error}"
                self._refused.append(AttemptEnd(point.key, trouble, again=True, is_own=_is_refusal(error)))
                return
            self._running[point.key] = _Running(created.id, 0 if record is None else record.epoch, self._outages)
        else:
            self._running[point.key] = _Running(flow_run, -1, self._outages)

    def ended(self, within_s: float, /) -> list[AttemptEnd]:
        began, pause = time.monotonic(), _SHORTEST_S
        self._waiting = 0
        while True:
            ends = self._ended_now()
            left = within_s - (time.monotonic() - began)
            if ends or left <= 0:
                return ends
            time.sleep(min(pause, left))
            pause = min(pause * 1.2, _LONGEST_S)

    def close(self) -> None:
        """Cancel the flow runs that no worker has started; the others continue there."""
        with suppress(HTTPError, RuntimeError):  # the next start of the sweep takes them over
            for flow_run in self._read_running().values():
                if flow_run.state is not None and flow_run.state.type is StateType.SCHEDULED:
                    self._client.set_flow_run_state(flow_run.id, Cancelled(message="its sweep ended"))

    def _earliest_start(self) -> datetime | None:
        """Return the time from which workers start the next point; None for now, if no process waits for one."""
        if self._waiting == 0:
            return None
        self._waiting -= 1
        return datetime.now(UTC) + timedelta(seconds=RESERVED_S)

    def _ended_now(self) -> list[AttemptEnd]:
        ended, self._refused = self._refused, []
        try:
            flow_runs = self._read_running()
            for key, running in list(self._running.items()):
                if (end := self._end_of(key, running, flow_runs.get(running.flow_run))) is not None:
                    del self._running[key]
                    ended.append(end)
        except (HTTPError, RuntimeError) as error:  # the workers continue meanwhile
            self._outages += 1
            _log.info("the states of the points could not be read from Prefect: %s", error)
            for key in list(self._running):
                if self._has_result(key):
                    del self._running[key]
                    ended.append(AttemptEnd(key))
        return ended

    def _has_result(self, key: str) -> bool:
        record = self._record(key)
        return record is not None and record.status in WITH_RESULT and record.owner is None

    def _end_of(self, key: str, running: _Running, flow_run: FlowRun | None) -> AttemptEnd | None:
        if flow_run is None or flow_run.state is None:
            return AttemptEnd(key, "its flow run was deleted in Prefect", again=True)
        state, is_own = flow_run.state, running.outages == self._outages
        match state.type:
            case StateType.COMPLETED if state.name == REFUSED:
                return AttemptEnd(key, f"it was refused: {state.message}")
            case StateType.COMPLETED if state.name == HELD:
                return AttemptEnd(key, f"another process holds it: {state.message}", again=True, is_own=False)
            case StateType.COMPLETED:
                self._check_setup(key)
                self._waiting += PROCESS_LABEL in flow_run.labels and not is_process_dead(flow_run)
                return AttemptEnd(key)
            case StateType.CANCELLED:
                return AttemptEnd(key, _cancelled(state.message))
            case StateType.CRASHED if self._has_result(key):  # the server was away when it ended
                return AttemptEnd(key)
            case StateType.CRASHED:
                return AttemptEnd(key, f"its flow run crashed: {state.message}", again=True, is_own=is_own)
            case StateType.FAILED:
                # without a run in the journal its input was not read, and would not be again
                may_help = self._record(key) is not None or not is_own
                return AttemptEnd(key, f"its flow run failed: {state.message}", again=may_help, is_own=is_own)
            case StateType.RUNNING | StateType.PENDING | StateType.CANCELLING:
                return self._end_if_dead(key, running, flow_run)
        return None

    def _end_if_dead(self, key: str, running: _Running, flow_run: FlowRun) -> AttemptEnd | None:
        """End an active flow run whose process is dead: Cancelled if it was cancelling, else Crashed and retried."""
        assert flow_run.state is not None
        record, now = self._record(key), time.time()
        limit_s = DEAD_S if is_process_dead(flow_run) else STARTING_S[flow_run.state.type]
        is_late = now - flow_run.state.timestamp.timestamp() > limit_s
        if record is None or record.epoch == running.epoch:
            is_dead = is_late
        elif record.owner is None:  # it ended, or its session was closed as an orphan
            is_dead = is_late and now - record.updated_at > limit_s
        else:
            is_dead = not record.is_held(now)
        if not is_dead:
            return None
        if self._has_result(key):  # housekeeping shows it in Prefect
            return AttemptEnd(key)
        message = "its process died: it no longer holds its run"
        if flow_run.state.type is StateType.CANCELLING:
            self._client.set_flow_run_state(flow_run.id, Cancelled(message=message))
            return AttemptEnd(key, _cancelled(message))
        self._client.set_flow_run_state(flow_run.id, Crashed(message=message))
        return AttemptEnd(key, message, again=True, is_own=running.outages == self._outages)

    def _check_setup(self, key: str) -> None:
        """Raise InputError if the workers have another journal or workspace than this process."""
        record = self._record(key)
        if record is None:
            what = f"{self._deployment.name} has run {key}, which is not in this journal"
            remedy = "Give its workers and this process one journal: HYBRIDLOOP_JOURNAL."
            raise InputError("deployment", what, remedy, _RAN)
        if record.settings["workspace"] != self._workspace:
            what = f"the workers of {self._deployment.name} ran {key} in another workspace than this process's"
            raise InputError("deployment", what, "Give them and this process the same one.", _RAN)

    def _record(self, key: str) -> RunRecord | None:
        return retry_journal(lambda: run_of_key(self._journal, key), self._note_outage)

    def _note_outage(self) -> None:
        self._outages += 1

    def _read_running(self) -> dict[UUID, FlowRun]:
        ids = [running.flow_run for running in self._running.values()]
        flow_runs: dict[UUID, FlowRun] = {}
        for first in range(0, len(ids), _PAGE):
            page = FlowRunFilter(id=FlowRunFilterId(any_=ids[first : first + _PAGE]))
            with client_without_retries() as client:  # it is asked again soon
                flow_runs |= {run.id: run for run in client.read_flow_runs(flow_run_filter=page, limit=_PAGE)}
        return flow_runs

    def _read_active(self) -> Sequence[FlowRun]:
        """Return the scheduled and running flow runs of an earlier start of the sweep."""
        active = FlowRunFilter(
            tags=FlowRunFilterTags(all_=self._tags),
            state=FlowRunFilterState(type=FlowRunFilterStateType(not_any_=list(_FINAL))),
        )
        flow_runs: list[FlowRun] = []
        while page := self._client.read_flow_runs(flow_run_filter=active, limit=_PAGE, offset=len(flow_runs)):
            flow_runs += page
        return [run for run in flow_runs if run.deployment_id == self._deployment.id]


def _is_refusal(error: Exception) -> bool:
    """Return True for an answer by which the server refuses a request for good."""
    return isinstance(error, HTTPStatusError) and 400 <= error.response.status_code < 500


def _cancelled(message: str | None) -> str:
    return f"its flow run was cancelled: {message}" if message else "its flow run was cancelled"


def flow_parameters(point: Point, block: str | None) -> dict[str, Any]:
    """Return the parameters of a point's flow run: all settings, so that none is the deployment's, except unset limits.

    `block` is the name of the workspace's block.
    """
    settings = point.settings.model_dump(mode="json")
    given = {name: value for name, value in settings.items() if name not in LIMITS or value is not None}
    workspace = {} if block is None else {"workspace": block}
    return {"problem": point.problem.model_dump(mode="json"), "settings": given, "run_key": point.key, **workspace}
