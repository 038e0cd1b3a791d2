"""Twenty nights on a virtual clock, with a fault of each kind: a message for each fault, and none for the rest.

The events are those of real flow runs, moved to their nights; Prefect's own code evaluates the automations.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import State
from prefect.events.filters import EventFilter, EventRelatedFilter, EventResourceFilter
from prefect.states import Cancelling, Completed, Crashed, Running, Scheduled

from hybridloop.data import load_table
from hybridloop.descriptions.levels import LevelsSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import HybridloopError
from hybridloop.flows.algorithms import levels, vqe
from hybridloop.flows.in_prefect.algorithm_run import live_in_flow
from hybridloop.flows.in_prefect.beside import show_in_flow, with_body
from hybridloop.flows.in_prefect.watch import POLL_S
from hybridloop.flows.sweep_execution.show import tell
from hybridloop.local_stack import PrefectServer
from hybridloop.results.live import RoundUpdate
from hybridloop.runs.order import algorithm_order
from hybridloop.settings import ProblemText, RunSettings
from tests.conftest import Emulator
from tests.flow_calls import call_flow
from tests.prefect_server import copy_server, prefect_client, send_what_is_pending, server_folder
from tests.server_share import ServerShare
from tests.waiting import eventually

pytestmark = pytest.mark.slow
FIRST = datetime(2031, 1, 1, 2, 0, tzinfo=UTC)
NIGHTS = 20
PAGE = 50  # the most that the server gives
SCRIPT = Path(__file__).with_name("nights_script.py")
BLOCK = "00000000-0000-4000-8000-000000000000"
# the last event that the process of each kind sends; it may reach the server after the state that the server records
LAST_SENT = {
    "ordinary": "hybridloop.run.completed",
    "capped": "hybridloop.run.stopped",
    "parked": "hybridloop.run.parked",
    "waiting": "hybridloop.run.attention",
    "interrupted": "hybridloop.run.interrupted",
    "cancelled": "hybridloop.run.interrupted",
    "failed": "hybridloop.flow-run.failed",
    "refused": "hybridloop.run.refused",
}
MEASURED: dict[str, Any] = {"search": "measured", "ansatz": "uccsd", "precision": 0.01}
# the automation that sends each kind's message; an ordinary night has its result's
TOLD = {
    "refused": "hybridloop-attention",
    "waiting": "hybridloop-attention",
    "failed": "hybridloop-failed",
    "crashed": "hybridloop-ended-badly",
    "stalled": "hybridloop-stalled",
    "sweep": "hybridloop-sweep",
}
UNTOLD = (
    "capped",
    "parked",
    "held",
    "interrupted",
    "cancelled",
    "skipped",
    "point of a sweep",
)


class Nights:
    """Flow runs of each kind on the real server, and their events."""

    def __init__(self, client: SyncPrefectClient, share: ServerShare, emulator: Emulator) -> None:
        self._client, self._share, self._emulator = client, share, emulator
        self.flow_runs: dict[str, UUID] = {}

    def run(
        self,
        name: str,
        on_progress: Callable[[RoundUpdate], None] | None = None,
        flow: Any = vqe,
        settings: type[RunSettings] = VqeSettings,
        **given: Any,
    ) -> None:
        """Call the flow; the error that its caller gets is left out."""
        valid = settings.model_validate({"seed": 7, "precision": 0.05, **given})
        key = f"{self._share.name}-{name}"
        with suppress(HybridloopError, KeyboardInterrupt):
            call_flow(flow, self._emulator.workspace(), ProblemText(name="h2"), valid, key, on_progress=on_progress)
        self.flow_runs[name] = self._found(f"run:{key}")

    def cancel(self, name: str) -> Callable[[RoundUpdate], None]:
        """Return a callback that cancels the flow run in Prefect, and waits until the run has looked."""
        key = f"{self._share.name}-{name}"

        def cancel(_: RoundUpdate) -> None:
            self._client.set_flow_run_state(self._found(f"run:{key}"), Cancelling())
            threading.Event().wait(2 * POLL_S)

        return cancel

    def refused(self, name: str) -> None:
        """Refuse a run as on a worker, which records it."""
        key = f"{self._share.name}-{name}"

        def body(problem: Any, settings: Any, run_key: str | None, workspace: str | None) -> Any:
            order = algorithm_order("vqe", problem, settings, run_key)
            return show_in_flow(lambda host: live_in_flow(order, self._emulator.workspace(), host, workspace))

        settings = VqeSettings.model_validate({"seed": 7, "target": "ionq.retired"})
        with_body(vqe, body)(ProblemText(name="h2"), settings, key, None)
        self.flow_runs[name] = self._found(f"run:{key}")

    def _found(self, tag: str) -> UUID:
        (flow_run,) = self._client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[tag])))
        return flow_run.id

    def states(self, name: str, *states: State[Any]) -> None:
        """Make a flow run with these states, as a worker or the server sets them."""
        parameters = {"problem": {"name": "h2"}}
        run: Any = self._client.create_flow_run(
            vqe, parameters=parameters, name=name, tags=("hybridloop",), state=states[0]
        )
        for state in states[1:]:
            self._client.set_flow_run_state(run.id, state, force=True)
        self.flow_runs[name] = run.id

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of a flow run and of its run, once their ends are there."""
        identity = f"prefect.flow-run.{self.flow_runs[name]}"
        ours = EventFilter(related=EventRelatedFilter(id=[identity]))
        its = EventFilter(resource=EventResourceFilter(id=[identity]))
        found: list[dict[str, Any]] = []

        def has_ended() -> bool:
            read = [self._client.read_events(each, limit=PAGE).events for each in (ours, its)]
            assert all(len(page) < PAGE for page in read)
            found[:] = [event.model_dump(mode="json") for page in read for event in page]
            last = self._client.read_flow_run(self.flow_runs[name]).state
            assert last is not None
            ends = {f"prefect.flow-run.{last.name}", LAST_SENT.get(name, f"prefect.flow-run.{last.name}")}
            return ends <= {each["event"] for each in found}

        eventually(has_ended, lambda: str(sorted({each["event"] for each in found})))
        return found


def moved(events: list[dict[str, Any]], to: datetime) -> list[dict[str, Any]]:
    """Return a night's events, as of flow runs and runs of their own."""
    begin = min(datetime.fromisoformat(each["occurred"]) for each in events)
    ids = {each["resource"]["prefect.resource.id"].rpartition(".")[2] for each in events}
    text = json.dumps(events)
    for identity in ids:
        text = text.replace(identity, str(uuid4()))
    shifted: list[dict[str, Any]] = json.loads(text)
    for each in shifted:
        at = to + (datetime.fromisoformat(each["occurred"]) - begin)
        each["occurred"] = each["received"] = at.isoformat()
    return shifted


def stalled(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events of a run until its begin."""
    (start,) = [each for each in events if each["event"] == "hybridloop.run.started"]
    return [each for each in events if each["occurred"] <= start["occurred"]]


def test_each_fault_of_twenty_nights_sends_one_message_and_nothing_else_does(
    prefect_server: PrefectServer,
    share: ServerShare,
    start_emulator: Callable[..., Emulator],
    tmp_path: Path,
) -> None:
    emulator = start_emulator()
    with prefect_client(prefect_server) as client:
        nights = Nights(client, share, emulator)
        nights.run("ordinary")
        nights.run("capped", None, levels, LevelsSettings, search="measured", precision=0.01, max_jobs=1)
        nights.run("parked", detach_after=0.001)
        nights.run("waiting", detach_after=0.001, resume_automatically="never")
        nights.run("interrupted", interrupt, **MEASURED)
        nights.run("cancelled", nights.cancel("cancelled"), **MEASURED)
        emulator.admin("faults", {"rules": [{"fault": "job-fails", "code": "InvalidInputData"}]})
        nights.run("failed")
        emulator.admin("faults", {"rules": []})
        late: State[Any] = Scheduled(name="Late")
        nights.states("crashed", Running(), Crashed(message="its process ended"))
        nights.states("held", Running(), Completed(name="Held"))
        nights.states("skipped", Scheduled(), late, Running(), Completed(name="Skipped"))
        nights.refused("refused")
        send_what_is_pending()
        by_name = {name: nights.events(name) for name in nights.flow_runs}
        for name in ("parked", "interrupted", "capped"):
            lines = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[nights.flow_runs[name]])))
            assert [line.message for line in lines if line.level >= 40] == []
        shown = {name: client.read_flow_run(each).state_name for name, each in nights.flow_runs.items()}
        assert (shown["interrupted"], shown["capped"], shown["cancelled"]) == ("Interrupted", "Stopped", "Cancelled")
        tell("sweep.ended", share.name, {"message": "", "title": "", "text": ""})
        send_what_is_pending()
        of_sweep = EventFilter(resource=EventResourceFilter(id=[f"hybridloop.sweep.{share.name}"]))
        eventually(lambda: bool(client.read_events(of_sweep, limit=PAGE).events))
        by_name["sweep"] = [event.model_dump(mode="json") for event in client.read_events(of_sweep, limit=PAGE).events]
    alone, of_a_sweep = '"hybridloop.sweep": "none"', '"hybridloop.sweep": "curve"'
    by_name["point of a sweep"] = json.loads(json.dumps(by_name["ordinary"]).replace(alone, of_a_sweep))
    by_name["stalled"] = stalled(by_name["ordinary"])
    events, expected = [], []
    for night in range(NIGHTS):
        at = FIRST + timedelta(days=night)
        events += moved(by_name["ordinary"], at)
        expected.append((night, "hybridloop-success"))
    for night, name in enumerate((*TOLD, *UNTOLD)):
        events += moved(by_name[name], FIRST + timedelta(days=night, hours=1))
        expected += [(night, TOLD[name])] if name in TOLD else []
    table = load_table("automations")
    text = json.dumps([*table["automations"], *table["sweeps"]]).replace("BLOCK_ID", BLOCK)
    sent = fired(json.loads(text), events, FIRST + timedelta(days=NIGHTS), share.environ, tmp_path)
    found = [((datetime.fromisoformat(each["at"]) - FIRST).days, each["automation"]) for each in sent]
    assert Counter(found) - Counter(expected) == Counter(expected) - Counter(found) == Counter()


def interrupt(_: RoundUpdate) -> None:
    raise KeyboardInterrupt


def fired(
    automations: list[Any], events: list[Any], until: datetime, environ: Mapping[str, str], folder: Path
) -> list[dict[str, str]]:
    """Return what Prefect's evaluation fires, in a database of its own."""
    copy_server(server_folder(environ), folder)
    variables = {
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect.db'}",
        "PREFECT_HOME": str(folder),
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }
    document = json.dumps({"automations": automations, "events": events, "until": until.isoformat()})
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], input=document, capture_output=True, text=True, env={**os.environ, **variables}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]
