"""Points run by a deployment's workers: one flow run each, started through Prefect and asked after there."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from httpx import HTTPError
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

from hybridloop.errors import InputError
from hybridloop.flows.lifecycle.deployments import Deployment
from hybridloop.flows.sweep_execution.scheduler import Ended, when_it_answers
from hybridloop.flows.sweep_execution.spec import Point
from hybridloop.journal import Journal, RunRecord
from hybridloop.runs.lookup import run_of_key
from hybridloop.settings import LIMITS
from hybridloop.tasks.orphans import is_orphaned

# How many seconds a flow run may be in a state while nobody holds its run. One that takes longer is begun once more,
# unless it was being cancelled, which does no harm: the second one finds the run held.
STARTING_S = {StateType.PENDING: 300.0, StateType.RUNNING: 120.0, StateType.CANCELLING: 120.0}
_SHORTEST_S, _LONGEST_S = 0.5, 5.0
_log = logging.getLogger(__name__)
_OVER = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED})
_PAGE = 200


@dataclass(slots=True)
class _Running:
    flow_run: UUID
    epoch: int  # of the run's claims, before this flow run could make one; −1: it may have


class Deployed:
    """Up to `size` flow runs of a deployment at once; those that an earlier start left under way are taken up again."""

    def __init__(
        self,
        client: SyncPrefectClient,
        deployment: Deployment,
        journal: Journal,
        workspace: Mapping[str, str],
        *,
        size: int,
        tag: str,
        saved: str | None = None,
    ) -> None:
        """`workspace` is what tells it from others; `saved` the name of its block, where it is one's."""
        self._client, self._deployment, self._journal, self._here = client, deployment, journal, workspace
        self._saved = saved
        self._size, self._tag = size, tag
        self._running: dict[str, _Running] = {}
        self._refused: list[Ended] = []
        self._left = {str(each.parameters.get("run_key")): each.id for each in self._under_way()}

    @property
    def room(self) -> int:
        """How many points can be taken now."""
        return self._size - len(self._running) - len(self._refused)

    def start(self, point: Point, /) -> None:
        """Have a worker run the point, unless one does already."""
        if (flow_run := self._left.pop(point.key, None)) is None:
            before = self._record(point.key)
            try:
                started: Any = run_deployment(
                    self._deployment.id,
                    parameters=parameters_of(point, self._saved),
                    flow_run_name=f"{point.algorithm}-{point.problem.name}-{point.key[-6:]}",
                    timeout=0,
                    tags=[self._tag],
                    idempotency_key=str(uuid4()),  # a call that is repeated, its answer lost, makes no second one
                    as_subflow=False,  # a task run for each would be one more thing to keep; the tag says whose it is
                )
            except (HTTPError, RuntimeError) as error:
                self._refused.append(Ended(point.key, f"Prefect took no flow run for it: {error}", again=True))
                return
            self._running[point.key] = _Running(started.id, 0 if before is None else before.epoch)
        else:
            self._running[point.key] = _Running(flow_run, -1)

    def ended(self, within_s: float, /) -> list[Ended]:
        """The attempts that ended, as soon as there is one; none after that time."""
        began, pause = time.monotonic(), _SHORTEST_S
        while True:
            found = self._ended_now()
            left = within_s - (time.monotonic() - began)
            if found or left <= 0:
                return found
            time.sleep(min(pause, left))
            pause = min(pause * 1.2, _LONGEST_S)

    def let_go(self) -> None:
        """Take back what no worker has begun; what is under way comes to its end there."""
        with suppress(HTTPError, RuntimeError):  # whoever starts the sweep again takes them up
            for flow_run in self._read(each.flow_run for each in self._running.values()).values():
                if flow_run.state is not None and flow_run.state.type is StateType.SCHEDULED:
                    self._client.set_flow_run_state(flow_run.id, Cancelled(message="its sweep was ended"))

    def _ended_now(self) -> list[Ended]:
        ended, self._refused = self._refused, []
        try:
            flow_runs = self._read(each.flow_run for each in self._running.values())
            for key, running in list(self._running.items()):
                if (end := self._end_of(key, running, flow_runs.get(running.flow_run))) is not None:
                    del self._running[key]
                    ended.append(end)
        except (HTTPError, RuntimeError) as error:  # a server that is being restarted: the workers go on meanwhile
            _log.info("Prefect's server can't be asked how the points are: %s", error)
        return ended

    def _end_of(self, key: str, running: _Running, flow_run: FlowRun | None) -> Ended | None:
        if flow_run is None or flow_run.state is None:
            return Ended(key, "its flow run is gone from Prefect", again=True)
        state = flow_run.state
        match state.type:
            case StateType.COMPLETED:
                self._check_is_ours(key)
                return Ended(key)
            case StateType.CANCELLED:
                return Ended(key, _cancelled(state.message))
            case StateType.CRASHED:
                return Ended(key, f"its flow run crashed: {state.message}", again=True)
            case StateType.FAILED:
                # without a run in the journal it was refused as it was, and would be again
                is_begun = self._record(key) is not None
                return Ended(key, f"its flow run failed: {state.message}", again=is_begun)
            case StateType.RUNNING | StateType.PENDING | StateType.CANCELLING:
                return self._dead(key, running, flow_run)
        return None

    def _dead(self, key: str, running: _Running, flow_run: FlowRun) -> Ended | None:
        """A flow run that Prefect takes for alive and whose process is gone: marked as crashed, to be begun again.

        One that was being cancelled is marked as cancelled, and over.
        """
        assert flow_run.state is not None
        record, now = self._record(key), time.time()
        patience = STARTING_S[flow_run.state.type]
        is_late = now - flow_run.state.timestamp.timestamp() > patience
        if record is None or record.epoch == running.epoch:
            is_dead = is_late
        elif record.owner is None:  # it has ended, or somebody else closed what an earlier one had left
            is_dead = is_late and now - record.updated_at > patience
        else:
            is_dead = is_orphaned(record, now)
        if not is_dead:
            return None
        message = "its process is gone: it holds its run no longer"
        if flow_run.state.type is StateType.CANCELLING:
            self._client.set_flow_run_state(flow_run.id, Cancelled(message=message), force=True)
            return Ended(key, _cancelled(message))
        self._client.set_flow_run_state(flow_run.id, Crashed(message=message), force=True)
        return Ended(key, message, again=True)

    def _check_is_ours(self, key: str) -> None:
        """Refuse the results of workers that are set up otherwise than this process."""
        record = self._record(key)
        if record is None:
            what = f"{self._deployment.name} has run {key}, and this journal knows nothing of it"
            raise InputError("deployment", what, "Give its workers and this process one journal: HYBRIDLOOP_JOURNAL.")
        if record.settings["workspace"] != self._here:
            what = f"the workers of {self._deployment.name} ran {key} in another workspace than this process's"
            raise InputError("deployment", what, "Give them and this process the same one.")

    def _record(self, key: str) -> RunRecord | None:
        return when_it_answers(lambda: run_of_key(self._journal, key))

    def _read(self, ids: Iterable[UUID]) -> dict[UUID, FlowRun]:
        wanted = list(ids)
        found: dict[UUID, FlowRun] = {}
        for first in range(0, len(wanted), _PAGE):
            page = FlowRunFilter(id=FlowRunFilterId(any_=wanted[first : first + _PAGE]))
            found |= {each.id: each for each in self._client.read_flow_runs(flow_run_filter=page, limit=_PAGE)}
        return found

    def _under_way(self) -> Sequence[FlowRun]:
        """What an earlier start of the sweep has running, or waiting to be."""
        here = FlowRunFilter(
            tags=FlowRunFilterTags(all_=[self._tag]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(not_any_=list(_OVER))),
        )
        found: list[FlowRun] = []
        while page := self._client.read_flow_runs(flow_run_filter=here, limit=_PAGE, offset=len(found)):
            found += page
        return [each for each in found if each.deployment_id == self._deployment.id]


def _cancelled(message: str | None) -> str:
    return f"its flow run was cancelled: {message}" if message else "its flow run was cancelled"


def parameters_of(point: Point, saved: str | None) -> dict[str, Any]:
    """The parameters of a point's flow run: all settings, so that none is the deployment's, but the limits it has not.

    `saved` is the name of the workspace's block.
    """
    settings = point.settings.model_dump(mode="json")
    given = {name: value for name, value in settings.items() if name not in LIMITS or value is not None}
    named = {} if saved is None else {"workspace": saved}
    return {"problem": point.problem.model_dump(mode="json"), "settings": given, "run_key": point.key, **named}
