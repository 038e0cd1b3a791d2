"""The end of a run in Prefect: the state of its flow run, and its message where the run's process could not send it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import emit_event
from prefect.events.filters import EventFilter, EventIDFilter
from prefect.states import Completed

from hybridloop.data.statuses import WITH_RESULT
from hybridloop.flows.in_prefect.process_reuse import SWEEP_TAG
from hybridloop.flows.in_prefect.stored_result import stored, stored_for
from hybridloop.journal import RunRecord
from hybridloop.results.result import RunResult
from hybridloop.runs.hold import RUN_COMPLETED, facts_of_end
from hybridloop.tasks.prefect_tasks import TAG

ENDED_EARLY = frozenset({"stopped", "parked"})  # statuses of runs whose flow runs are completed all the same
ATTENTION = "run.attention"
WAITS = "hybridloop:waits"  # tag of a flow run of whose run was said that it waits for a person


def completed(result: RunResult) -> Any:
    """Return the state of a flow run with this result."""
    return completed_state(result.status, result.reason, stored(result))


def completed_state(status: str, reason: str, data: Any = None) -> Any:
    """Return the state of a flow run whose run ended with this status: Completed, named after it if not converged."""
    name = None if status in ("converged", "measured") else status.capitalize()
    message = reason if status in ENDED_EARLY else f"{status}: {reason}"
    return Completed(name=name, message=message, data=data)


def show_end(client: SyncPrefectClient, record: RunRecord, flow_run: FlowRun) -> State[Any]:
    """Complete a flow run as the journal has the end of its run, which Prefect has missed.

    The message of a result is sent, unless the server has it from the run's own process.
    """
    result = None if record.result is None else RunResult.from_dict(record.result)
    data = None if result is None or flow_run.deployment_id is None else stored_for(result, flow_run.id)
    state: State[Any] = completed_state(record.status, record.reason, data)
    client.set_flow_run_state(flow_run.id, state, force=True)
    if record.status in WITH_RESULT:
        own = event_id(flow_run.id, RUN_COMPLETED)
        if not client.read_events(EventFilter(id=EventIDFilter(id=[own])), limit=1).events:
            _send(RUN_COMPLETED, record, flow_run, facts_of_end(record.key, record.status, record.reason, result))
    return state


def call_attention(client: SyncPrefectClient, record: RunRecord, flow_run: FlowRun, reason: str, remedy: str) -> None:
    """Send the message that a run waits for a person, once for a flow run."""
    if WAITS in flow_run.tags:
        return
    message = f"run {record.key} is {record.status}, and is not resumed: {reason}. {remedy}"
    _send(ATTENTION, record, flow_run, {"run": record.key, "status": record.status, "message": message})
    client.update_flow_run(flow_run.id, tags=[*flow_run.tags, WAITS])


def resource_of(run: RunRecord, flow_run: FlowRun) -> dict[str, str]:
    """Return the resource of the events of a run in this flow run, with its sweep, or `none`."""
    return {
        "prefect.resource.id": f"hybridloop.run.{run.uid}",
        "prefect.resource.name": run.key,
        "hybridloop.algorithm": run.algorithm,
        "hybridloop.problem": run.problem,
        "hybridloop.target": run.target,
        "hybridloop.sweep": sweep_of(flow_run) or "none",
    }


def sweep_of(flow_run: FlowRun) -> str:
    """Return the name of the sweep of which a flow run is a point; empty for other flow runs."""
    return next((tag.removeprefix(SWEEP_TAG) for tag in flow_run.tags if tag.startswith(SWEEP_TAG)), "")


def event_id(flow_run: UUID, kind: str) -> UUID:
    """Return the id of an event that a flow run has once."""
    return uuid5(flow_run, kind)


def _send(kind: str, record: RunRecord, flow_run: FlowRun, facts: dict[str, Any]) -> None:
    related = [{"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}]
    if flow_run.deployment_id is not None:
        place = f"prefect.deployment.{flow_run.deployment_id}"
        related.append({"prefect.resource.id": place, "prefect.resource.role": "deployment"})
    own_id = event_id(flow_run.id, kind) if kind == RUN_COMPLETED else None
    emit_event(f"hybridloop.{kind}", resource=resource_of(record, flow_run), related=related, payload=facts, id=own_id)
