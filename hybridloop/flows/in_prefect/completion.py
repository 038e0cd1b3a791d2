"""The end of a run in Prefect: the state of its flow run, and its message where the run's process could not send it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.states import Cancelled, Completed, Crashed, Failed

from hybridloop.flows.in_prefect.process_reuse import SWEEP_TAG
from hybridloop.flows.in_prefect.stored_result import stored
from hybridloop.journal import RunRecord
from hybridloop.results.result import RunResult
from hybridloop.runs.hold import ENDS
from hybridloop.tasks.prefect_tasks import TAG

ENDED_EARLY = frozenset({"stopped", "parked"})  # statuses of runs whose flow runs are completed all the same
ATTENTION = "run.attention"
EARLIER_NIGHT = "hybridloop.earlier-night"  # label of an end that is told after a later start: it is no heartbeat
NO_LABELS: Mapping[str, str] = {}
WAITS = "hybridloop:waits"  # tag of a flow run of whose run was said that it waits for a person


def completed(result: RunResult, *, is_cancelled: bool = False) -> Any:
    """Return the state of a flow run with this result; Cancelled where its user cancelled it before it had that."""
    return end_state(result.status, result.reason, stored(result), is_cancelled=is_cancelled)


def end_state(status: str, reason: str, data: Any = None, *, is_cancelled: bool = False) -> Any:
    """Return the state of a flow run whose run ended with this status.

    Runs with a value, and those that were stopped or parked, are Completed, named after the status if not converged.
    """
    if is_cancelled:
        return Cancelled(message=f"cancelled by its user; {status}: {reason}", data=data)
    if status == "failed":
        return Failed(message=reason)
    if status == "interrupted":
        return Crashed(message=reason)
    name = None if status in ("converged", "measured") else status.capitalize()
    message = reason if status in ENDED_EARLY else f"{status}: {reason}"
    return Completed(name=name, message=message, data=data)


def call_attention(client: SyncPrefectClient, record: RunRecord, flow_run: FlowRun, reason: str, remedy: str) -> None:
    """Send the message that a run waits for a person, once for a flow run."""
    if WAITS in flow_run.tags:
        return
    message = f"run {record.key} is {record.status}, and is not resumed: {reason}. {remedy}"
    send(ATTENTION, record, flow_run, {"run": record.key, "status": record.status, "message": message})
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
        EARLIER_NIGHT: "no",
    }


def sweep_of(flow_run: FlowRun) -> str:
    """Return the name of the sweep of which a flow run is a point; empty for other flow runs."""
    return next((tag.removeprefix(SWEEP_TAG) for tag in flow_run.tags if tag.startswith(SWEEP_TAG)), "")


def event_id(flow_run: UUID, kind: str) -> UUID:
    """Return the id of an event that a flow run has once."""
    return uuid5(flow_run, kind)


def send(
    kind: str, record: RunRecord, flow_run: FlowRun, facts: dict[str, Any], labels: Mapping[str, str] = NO_LABELS
) -> None:
    """Send an event of a run in place of its own process; `labels` replace some of those of its resource."""
    related = [{"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}]
    if flow_run.deployment_id is not None:
        place = f"prefect.deployment.{flow_run.deployment_id}"
        related.append({"prefect.resource.id": place, "prefect.resource.role": "deployment"})
    own_id = event_id(flow_run.id, kind) if kind in ENDS else None
    resource = {**resource_of(record, flow_run), **labels}
    emit_event(f"hybridloop.{kind}", resource=resource, related=related, payload=facts, id=own_id)
