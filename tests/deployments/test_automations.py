"""Automations of the guide report runs that crash, on a real server."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.events.schemas.automations import AutomationCore
from prefect.states import Completed, Crashed, Running
from qiskit import QuantumCircuit

import hybridloop as hl
from hybridloop.flows.vqe import vqe
from hybridloop.local_stack import PrefectServer
from tests.conftest import Emulator
from tests.long_form import long_only
from tests.paths import ROOT
from tests.prefect_server import prefect_client
from tests.server_share import ServerShare

FILE = ROOT / "deployments" / "automations.yaml"
WITHIN_S = 60.0  # a bound for broken code
OURS = "prefect.tag.hybridloop"
SILENT = {"silent": OURS, "alive": OURS, "never heard of": OURS, "not ours": "prefect.tag.theirs"}  # flow runs' tags


@pytest.fixture
def heard() -> Iterator[tuple[str, queue.Queue[Any]]]:
    """Hold a webhook listener; yield its URL and the list of received messages."""
    told: queue.Queue[Any] = queue.Queue()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Suppress the log of requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", told
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def told(
    prefect_server: PrefectServer, share: ServerShare, heard: tuple[str, queue.Queue[Any]]
) -> Iterator[queue.Queue[Any]]:
    """Create the automations, with a webhook as the notification; return the list of received messages.

    The automation for crashes is for flow runs with the share's tag. The others hear of all runs on the server.
    """
    url, messages = heard
    message = {"subject": "{{subject}}", "body": "{{body}}"}
    block = CustomWebhookNotificationBlock(name="ours", url=url, method="POST", json_data=message)
    block_id = block.save("told-of-crashes", overwrite=True)
    text = FILE.read_text("utf-8")
    assert OURS in text
    shown = yaml.safe_load(text.replace("BLOCK_ID", str(block_id)).replace(OURS, f"prefect.tag.{share.name}"))
    with prefect_client(prefect_server) as client:
        created = []
        for each in shown["automations"]:
            document = AutomationCore.model_validate(each).model_dump(mode="json")
            reply = client._client.post("/automations/", json=document)
            assert reply.status_code == 201, reply.text
            created.append(reply.json()["id"])
        yield messages
        for automation in created:
            client._client.delete(f"/automations/{automation}")


@pytest.mark.slow
def test_a_cap_and_a_session_that_was_renewed_send_notifications(
    told: queue.Queue[Any], share: ServerShare, start_emulator: Callable[..., Emulator]
) -> None:
    service = start_emulator()
    service.admin("faults", {"rules": [{"fault": "session-times-out", "operation": "submit", "nth": 2}]})
    workspace, circuit = service.workspace(), QuantumCircuit(1)
    circuit.measure_all()

    @flow(persist_result=False)
    def capped() -> None:
        options: dict[str, Any] = {"run_key": share.name, "max_jobs": 3, "seed": 1}
        with hl.open_session("ionq.simulator", workspace=workspace, **options) as session:
            sampler = session.sampler(shots=10)
            for _ in range(4):
                sampler.run([circuit]).result()

    run: Any = capped
    run(return_state=True)
    found: dict[str, str] = {}
    while len(found) < 2:
        message = told.get(timeout=WITHIN_S)
        name, _, event = message["subject"].rpartition(": ")
        if name.endswith(share.name):
            found[event] = message["body"]
    assert found["hybridloop.cap.reached"].startswith("max_jobs is reached: 3 jobs is the cap")
    assert found["hybridloop.session.renewed"].endswith("follows as number 1: TimedOut")


@pytest.mark.slow
def test_only_a_crashed_run_sends_a_notification(
    prefect_server: PrefectServer, share: ServerShare, told: queue.Queue[Any]
) -> None:
    with prefect_client(prefect_server) as client:
        parameters = {"problem": {"name": "h2"}}
        ends: dict[str, State[Any]] = {
            "fine": Completed(),
            "not-ours": Crashed(),
            "ours": Crashed(message="its process ended"),
        }
        for name, state in ends.items():
            tags = () if name == "not-ours" else (share.name,)
            run = client.create_flow_run(vqe, parameters=parameters, name=name, tags=tags, state=Running())
            client.set_flow_run_state(run.id, state)
        crashes = (
            message for message in iter(lambda: told.get(timeout=WITHIN_S), None) if "Crashed" in message["subject"]
        )
        assert next(crashes) == {"subject": "ours Crashed", "body": "vqe: its process ended"}


@long_only  # Prefect checks for missing events after ten seconds at the earliest
@pytest.mark.slow
def test_only_a_flow_run_whose_heartbeats_stopped_is_marked(prefect_server: PrefectServer) -> None:
    (shown,) = (each for each in yaml.safe_load(FILE.read_text("utf-8"))["automations"] if "silent" in each["name"])
    shown["trigger"]["within"] = 10
    with prefect_client(prefect_server) as client:
        document = AutomationCore.model_validate(shown).model_dump(mode="json")
        automation = client._client.post("/automations/", json=document).json()["id"]
        parameters = {"problem": {"name": "h2"}}
        runs = {name: client.create_flow_run(vqe, parameters=parameters, state=Running()).id for name in SILENT}

        def beat(name: str) -> None:
            tag = {"prefect.resource.role": "tag", "prefect.resource.id": SILENT[name]}
            resource = {"prefect.resource.id": f"prefect.flow-run.{runs[name]}"}
            emit_event("prefect.flow-run.heartbeat", resource=resource, related=[tag])

        def state(name: str) -> str:
            found = client.read_flow_run(runs[name]).state
            return "" if found is None else str(found.name)

        try:
            for name in ("silent", "alive", "not ours"):
                beat(name)
            for _ in range(60):
                beat("alive")
                if state("silent") != "Running":
                    break
                threading.Event().wait(1.0)
            assert {name: state(name) for name in SILENT} == {name: "Running" for name in SILENT} | {
                "silent": "Crashed"
            }
        finally:
            client._client.delete(f"/automations/{automation}")


def test_without_a_block_the_automations_are_refused() -> None:
    shown = yaml.safe_load(FILE.read_text("utf-8"))
    with pytest.raises(ValueError, match="block_document_id"):
        [AutomationCore.model_validate(each) for each in shown["automations"]]
