"""A run in Prefect: the name and the tags of its flow run, its events, and task runs of its pings and rounds.

Task runs of pings, renewals and rounds that are no Prefect tasks are recorded with their true times, by the event that
Prefect's task engine sends; none of their code runs in that engine, so that nothing that Prefect does can delay a ping.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from coolname import data
from httpx import HTTPError
from prefect.client.schemas.objects import FlowRun, State, StateType, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.utilities.engine import emit_task_run_state_change_event

from hybridloop.flows.in_prefect.completion import event_id, resource_of
from hybridloop.flows.in_prefect.flow_run_log import log_sent_to_prefect
from hybridloop.flows.in_prefect.one_request import client_without_retries
from hybridloop.flows.in_prefect.process_reuse import JOURNAL
from hybridloop.journal import Journal, RunRecord
from hybridloop.runs.hold import ENDS
from hybridloop.runs.recorded import BEFORE
from hybridloop.runtime.run_events import RunEvent, observed_by
from hybridloop.tasks.prefect_tasks import RUN_ROUND, TAG, task_tags

BURST, PER_S = 100.0, 2.0  # bound of a run's events of the kinds that may be many
FREQUENT = ("round.", "job.", "service.", "call.")
RECORDED = {"ping.sent": "ping", "session.renewed": "renew session"}
_PARTS: Any = data.config  # of the names that Prefect draws
_DRAWN = frozenset(word for part in _PARTS.values() for word in part.get("words", ()))
_TAGGED = {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}

_log = logging.getLogger(__name__)


class FlowRunEvents:
    """Observer of a run: sends its events to Prefect, and records task runs for some of them; thread-safe."""

    def __init__(self, run: RunRecord, flow_run: FlowRun) -> None:
        self._run = run
        self._flow_run_id = flow_run.id
        self._resource = resource_of(run, flow_run)
        self._rounds: dict[tuple[Any, Any], TaskRun] = {}  # in flight
        self._room, self._filled_at, self._left_out = BURST, time.monotonic(), 0
        self._lock = threading.Lock()

    def __call__(self, event: RunEvent) -> None:
        """Show an event of the run."""
        if event.kind == "round.started":
            self._begin_round(event)
            return
        if (left_out := self._admit(event.kind)) is not None:
            emit_event(
                f"hybridloop.{event.kind}",
                resource=self._resource,
                occurred=_moment(event.ended_at),
                related=[_TAGGED],
                payload={**event.facts, "message": event.message} | ({"left_out": left_out} if left_out else {}),
                id=event_id(self._flow_run_id, event.kind) if event.kind in ENDS else None,
            )
        if (before := event.facts.get(BEFORE)) is not None:  # whose crash needs nobody any more
            resource = {"prefect.resource.id": f"prefect.flow-run.{before}"}
            emit_event("hybridloop.flow-run.resumed", resource=resource, related=[_TAGGED])
        if event.kind == "round.completed":
            self._end_round(event)
        elif event.kind in RECORDED:
            task_run = self._task_run(RECORDED[event.kind], event)
            _emit(task_run, StateType.RUNNING, event.began_at, None)
            _emit(task_run, StateType.COMPLETED, event.ended_at, None)

    def close(self) -> None:
        """End the task runs of rounds that did not end."""
        while self._rounds:  # other threads may still end some
            _, task_run = self._rounds.popitem()
            _emit(task_run, StateType.COMPLETED, time.time(), "the run ended first", name="Stopped")

    def _admit(self, kind: str) -> int | None:
        """Return the number of events left out before this one; None if this one is left out, too."""
        with self._lock:
            now = time.monotonic()
            self._room = min(BURST, self._room + PER_S * (now - self._filled_at))
            self._filled_at = now
            if kind.startswith(FREQUENT):
                if self._room < 1.0:
                    self._left_out += 1
                    return None
                self._room -= 1.0
            left_out, self._left_out = self._left_out, 0
            return left_out

    def _begin_round(self, event: RunEvent) -> None:
        """Record a round as a task run, unless a task runs it."""
        context = TaskRunContext.get()
        if context is not None and context.task.name == RUN_ROUND:
            return
        task_run = self._task_run("round", event)
        self._rounds[event.facts["stream"], event.facts["round"]] = task_run
        _emit(task_run, StateType.RUNNING, event.began_at, None)

    def _end_round(self, event: RunEvent) -> None:
        task_run = self._rounds.pop((event.facts["stream"], event.facts["round"]), None)
        if task_run is not None:
            task_run.name, task_run.tags = event.message, self._tags(event)
            _emit(task_run, StateType.COMPLETED, event.ended_at, None)

    def _task_run(self, name: str, event: RunEvent) -> TaskRun:
        return TaskRun(
            id=uuid4(),
            name=event.message,
            flow_run_id=self._flow_run_id,
            task_key=f"hybridloop.{name.replace(' ', '-')}",
            dynamic_key=str(uuid4()),
            tags=self._tags(event),
        )

    def _tags(self, event: RunEvent) -> list[str]:
        session = event.facts.get("session")
        return task_tags(self._run.target, None if session is None else str(session))


def _emit(task_run: TaskRun, kind: StateType, at: float, message: str | None, name: str | None = None) -> None:
    """Send a state of a task run to the server, as Prefect's task engine does."""
    before, moment = task_run.state, _moment(at)
    if before is not None:
        moment = max(moment, before.timestamp + timedelta(microseconds=1))  # the server drops what is not later
    state: State[Any] = State(type=kind, name=name, message=message, timestamp=moment)
    state.state_details.flow_run_id, state.state_details.task_run_id = task_run.flow_run_id, task_run.id
    if kind is StateType.RUNNING:
        task_run.start_time, task_run.run_count = moment, 1
    else:
        task_run.end_time = moment
        task_run.total_run_time = moment - (task_run.start_time or moment)
    task_run.state, task_run.state_id, task_run.state_type, task_run.state_name = state, state.id, kind, state.name
    emit_task_run_state_change_event(task_run, initial_state=before, validated_state=state)


def _moment(seconds: float) -> Any:  # Prefect's type is pendulum's on some versions of Python
    return datetime.fromtimestamp(seconds, UTC)


def label_flow_run(journal: Journal, run: RunRecord) -> None:
    """Give the flow run around tags by the run's key, algorithm, problem, target and journal; name it after the key."""
    tag_flow_run(tags_of(journal, run), name=run.key)


def tags_of(journal: Journal, run: RunRecord) -> list[str]:
    """Return the tags of a run's flow runs, besides that of all of ours."""
    values = {"run": run.key, "algorithm": run.algorithm, "problem": run.problem, "target": run.target}
    return [*(f"{name}:{value}" for name, value in values.items()), journal_tag(journal)]


def journal_tag(journal: Journal) -> str:
    """Return the tag of the flow runs of a journal: others' housekeeping leaves them alone."""
    return f"{JOURNAL}{journal.id[:8]}"


def tag_flow_run(more: Iterable[str] = (), *, name: str | None = None) -> None:
    """Give the flow run around our tag and `more`; `name` takes the place of a name that Prefect has drawn."""
    context = FlowRunContext.get()
    if context is None or (flow_run := context.flow_run) is None:
        return
    tags = sorted({*flow_run.tags, TAG, *more})
    try:
        with client_without_retries() as client:
            client.update_flow_run(flow_run.id, name=name if _is_drawn(flow_run.name) else None, tags=tags)
    except (HTTPError, PrefectException, RuntimeError) as error:  # the run does not need the server
        _log.debug("the flow run was not labelled: %s", error)


def _is_drawn(name: str) -> bool:
    """Return whether Prefect may have drawn a name from its words: its user gave none."""
    return name.count("-") == 1 and _DRAWN.issuperset(name.split("-"))


@contextmanager
def shown_in_flow_run(run: RunRecord) -> Iterator[None]:
    """Show the events of the block's run in the flow run around it, if there is one."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        yield
        return
    events = FlowRunEvents(run, context.flow_run)
    threads = copy_context()
    # what they do belongs to the flow run, not to the task around, and Prefect has no way to leave a task's context
    threads.run(TaskRunContext.__var__.set, None)  # type: ignore[arg-type]  # as its default
    with log_sent_to_prefect(), observed_by(events, threads):
        try:
            yield
        finally:
            events.close()
