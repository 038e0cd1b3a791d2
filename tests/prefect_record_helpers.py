"""Record of a flow run on Prefect's server: its log, its task runs and its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hybridloop.local_stack import PrefectServer
from tests.prefect_server import prefect_client, send_what_is_pending
from tests.waiting import eventually


@dataclass(frozen=True)
class FlowRunRecord:
    """The record of one flow run."""

    name: str
    tags: frozenset[str]
    lines: tuple[tuple[int, str], ...]  # level and message
    task_runs: tuple[Mapping[str, Any], ...]
    events: tuple[Mapping[str, Any], ...]

    @property
    def kinds(self) -> Counter[str]:
        """Number of hybridloop's events by kind."""
        return Counter(event["event"].removeprefix("hybridloop.") for event in self.events)

    def lines_with(self, text: str, level: int = 0) -> list[str]:
        """Return the log's lines of this level or above that contain a text."""
        return [message for found, message in self.lines if text in message and found >= level]

    def tasks_with(self, text: str) -> list[Mapping[str, Any]]:
        """Return the task runs with this text in their names."""
        return [task_run for task_run in self.task_runs if text in task_run["name"]]


def record_of(server: PrefectServer, flow_run_id: UUID, is_whole: Callable[[FlowRunRecord], bool]) -> FlowRunRecord:
    """Return the record of a flow run as soon as it is whole; fail with the one seen last if that takes too long."""
    send_what_is_pending()
    seen: list[FlowRunRecord] = []

    def is_read_whole() -> bool:
        seen[:] = [_read(server, flow_run_id)]
        return is_whole(seen[0])

    eventually(is_read_whole, lambda: "\n".join([str(seen[0].kinds), *(line for _, line in seen[0].lines)]))
    return seen[0]


def _read(server: PrefectServer, flow_run_id: UUID) -> FlowRunRecord:
    def pages(path: str, document: Mapping[str, Any]) -> list[Any]:
        rows: list[Any] = []
        while page := client._client.post(path, json={**document, "offset": len(rows), "limit": 200}).json():
            rows += page
        return rows

    with prefect_client(server) as client:
        flow_run = client.read_flow_run(flow_run_id)
        ours = {"flow_runs": {"id": {"any_": [str(flow_run_id)]}}}
        lines = pages("/logs/filter", {"logs": {"flow_run_id": {"any_": [str(flow_run_id)]}}, "sort": "TIMESTAMP_ASC"})
        task_runs = pages("/task_runs/filter", ours)
        related = {"id": [f"prefect.flow-run.{flow_run_id}"]}
        span = {"since": "2020-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}  # virtual time may lie in the future
        wanted = {"event": {"prefix": ["hybridloop."]}, "related": related, "occurred": span, "order": "ASC"}
        page = client._client.post("/events/filter", json={"filter": wanted, "limit": 50}).json()
        events = list(page["events"])
        while url := page["next_page"]:
            page = client._client.get(url).json()
            events += page["events"]
    return FlowRunRecord(
        flow_run.name,
        frozenset(flow_run.tags),
        tuple((line["level"], line["message"]) for line in lines),
        tuple(task_runs),
        tuple(events),
    )
