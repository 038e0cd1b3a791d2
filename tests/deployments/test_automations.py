"""Automations of `hybridloop deploy --notify` tell of results and of what needs a user, on a real server."""

from __future__ import annotations

import copy
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.events.schemas.automations import AutomationCore
from prefect.states import AwaitingRetry, Completed, Crashed, Failed, Running, Scheduled
from qiskit import QuantumCircuit

import hybridloop as hl
from hybridloop.data import load_table
from hybridloop.descriptions.levels import LevelsSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.flows.algorithms import levels, vqe
from hybridloop.flows.in_prefect.notifications import notification_block, set_automations
from hybridloop.flows.rescue.dead_flow_runs import AHEAD
from hybridloop.flows.rescue.waiting import WAITS_S, tell_waiting
from hybridloop.local_stack import PrefectServer, run_flows_on
from hybridloop.settings import ProblemText
from hybridloop.tasks.prefect_tasks import TAG
from tests.conftest import Emulator
from tests.deployments.messages import heard
from tests.flow_calls import call_flow
from tests.long_form import long_only
from tests.prefect_server import prefect_client, send_what_is_pending
from tests.server_share import ServerShare
from tests.waiting import PATIENCE_S

AUTOMATIONS = load_table("automations")["automations"]
OURS = "prefect.tag.hybridloop"
SILENT = {"silent": OURS, "alive": OURS, "never heard of": OURS, "not ours": "prefect.tag.theirs"}  # flow runs' tags


@pytest.fixture
def told(prefect_server: PrefectServer, share: ServerShare) -> Iterator[queue.Queue[Any]]:
    """Create the automations, with a webhook as the notification; return the list of received messages.

    The automation for crashes is for flow runs with the share's tag, and waits for as short as Prefect can. The others
    hear of all runs on the server.
    """
    message = {"subject": "{{subject}}", "body": "{{body}}"}
    with heard() as (url, messages), prefect_client(prefect_server) as client:
        block = CustomWebhookNotificationBlock(name="ours", url=url, method="POST", json_data=message)
        block_id = block.save("told-of-crashes", overwrite=True)
        text = json.dumps(AUTOMATIONS)
        assert OURS in text
        shown = json.loads(text.replace("BLOCK_ID", str(block_id)).replace(OURS, f"prefect.tag.{share.name}"))
        for each in shown:
            if each["name"] == "hybridloop-ended-badly":
                each["trigger"]["within"] = 10
        created = [client.create_automation(AutomationCore.model_validate(each)) for each in shown]
        yield messages
        for automation in created:
            client.delete_automation(automation)


@pytest.mark.slow
def test_a_result_and_a_run_that_waits_for_its_user_send_messages_and_a_cap_sends_none(
    told: queue.Queue[Any], share: ServerShare, start_emulator: Callable[..., Emulator]
) -> None:
    """The run of a script tells that it has ended; a parked run that housekeeping resumes tells nothing."""
    workspace, circuit = start_emulator().workspace(), QuantumCircuit(1)
    circuit.measure_all()
    asked: dict[str, dict[str, Any]] = {
        "capped": {"max_jobs": 1, "search": "measured", "precision": 0.01},
        "parked": {"detach_after": 0.001},
        "waiting": {"detach_after": 0.001, "resume_automatically": "never"},
        "done": {"precision": 0.05},
    }
    for name, settings in asked.items():
        algorithm, given = (levels, LevelsSettings) if name == "capped" else (vqe, VqeSettings)
        valid = given.model_validate({"seed": 7, **settings})
        call_flow(algorithm, workspace, ProblemText(name="h2"), valid, f"{share.name}-{name}")

    @flow(persist_result=False)
    def script() -> None:
        with hl.open_session("ionq.simulator", workspace=workspace, run_key=f"{share.name}-script") as session:
            session.sampler(shots=10).run([circuit]).result()

    run: Any = script
    run()
    found: dict[str, dict[str, str]] = {}
    while "script" not in found or len(found) < 3:
        message = told.get(timeout=PATIENCE_S)
        for name in (*asked, "script"):
            if f"{share.name}-{name}" in json.dumps(message):
                found[name] = message
    assert found.keys() == {"waiting", "done", "script"}
    assert found["done"]["subject"].startswith("h2: -1.1")
    assert "\n  cost " in found["done"]["body"]
    assert found["waiting"]["subject"] == f"{share.name}-waiting needs attention"
    assert found["waiting"]["body"].endswith(f"To resume it: hybridloop runs resume {share.name}-waiting")
    assert found["script"]["subject"] == f"{share.name}-script is measured"


@pytest.mark.slow
def test_only_a_crashed_or_failed_run_that_nothing_resumes_sends_a_notification(
    prefect_server: PrefectServer, share: ServerShare, told: queue.Queue[Any]
) -> None:
    with prefect_client(prefect_server) as client:
        parameters = {"problem": {"name": "h2"}}
        ends: dict[str, list[State[Any]]] = {
            "fine": [Completed()],
            "not-ours": [Crashed()],
            "restarted": [Crashed(), AwaitingRetry(scheduled_time=datetime.now(UTC))],
            "taken over": [Failed()],
            "failed": [Failed(message="the service refused it")],
            "crashed": [Crashed(message="its process ended")],
        }
        for name, states in ends.items():
            tags = () if name == "not-ours" else (share.name,)
            run = client.create_flow_run(vqe, parameters=parameters, name=name, tags=tags, state=Running())
            for state in states:
                client.set_flow_run_state(run.id, state, force=True)
            if name == "taken over":
                tag = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{share.name}"}
                resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}"}
                emit_event("hybridloop.flow-run.resumed", resource=resource, related=[tag])
        ours = (
            message
            for message in iter(lambda: told.get(timeout=PATIENCE_S), None)
            if message["body"].startswith("vqe: ")
        )
        assert sorted((message["subject"], message["body"]) for message in (next(ours), next(ours))) == [
            ("crashed Crashed", "vqe: its process ended"),
            ("failed Failed", "vqe: the service refused it"),
        ]


@pytest.mark.slow
def test_runs_that_wait_send_one_message_for_the_cause(prefect_server: PrefectServer, share: ServerShare) -> None:
    """Several runs that no worker takes send one, and several that wait for a full worker another one."""

    def wait_for(message: str, said: queue.Queue[Any]) -> str:
        heard_of = said.get(timeout=PATIENCE_S)
        assert heard_of["subject"] == message, heard_of
        with pytest.raises(queue.Empty):
            said.get(timeout=12.0)
        return str(heard_of["body"])

    with heard() as (url, said), prefect_client(prefect_server) as client:
        deployment = client.read_deployment(share.deploy(client, vqe, tags=[TAG]))
        block, name = notification_block(client, url, f"of-{share.name}")
        set_automations(client, block, name, deployment)
        pool = client.read_work_pool(share.name)
        (offline,) = [each for each in client.read_automations() if each.name == f"hybridloop-idle {pool.id}"]
        offline.trigger.within = timedelta(seconds=10)  # type: ignore[union-attr]
        client.update_automation(
            offline.id, AutomationCore.model_validate(offline.model_dump(exclude={"id", "owner_resource"}))
        )

        def become_late(number: int) -> None:
            for _ in range(number):
                run = client.create_flow_run_from_deployment(deployment.id, parameters={"problem": {"name": "h2"}})
                client.set_flow_run_state(run.id, Scheduled(name="Late"), force=True)

        become_late(2)
        body = wait_for(f"{share.name} has no worker", said)
        assert f"hybridloop worker --pool {share.name}" in body
        become_late(1)  # the cause is the same
        with pytest.raises(queue.Empty):
            said.get(timeout=15.0)
        client.send_worker_heartbeat(share.name, "full", 30)
        for _ in range(2):
            with run_flows_on(prefect_server):
                message = tell_waiting(client, share.name, now=time.time() + 2 * WAITS_S)
        assert message == f"3 runs wait for a worker of {share.name}: its worker is full"
        send_what_is_pending()
        assert wait_for(f"Runs wait in {share.name}", said) == message
        for each in client.read_automations():
            if str(pool.id) in each.name or str(deployment.id) in each.name:
                client.delete_automation(each.id)


def test_a_run_that_was_put_first_in_line_has_not_waited_yet(prefect_server: PrefectServer, share: ServerShare) -> None:
    """Its time is a week ago, so that workers take it before all others."""
    line = replace(share, name=f"{share.name}-line")
    with prefect_client(prefect_server) as client, run_flows_on(prefect_server):
        deployment = line.deploy(client, vqe, tags=[TAG])
        first: State[Any] = Scheduled(scheduled_time=datetime.now(UTC) - AHEAD)
        client.create_flow_run_from_deployment(deployment, parameters={"problem": {"name": "h2"}}, state=first)
        assert tell_waiting(client, line.name, now=time.time() + 2 * WAITS_S) is None  # no worker is there to be full
        client.send_worker_heartbeat(line.name, "full", 30)
        assert tell_waiting(client, line.name, now=time.time() + WAITS_S / 2) is None
        message = tell_waiting(client, line.name, now=time.time() + 2 * WAITS_S)
        assert message == f"1 run waits for a worker of {line.name}: its worker is full"


@pytest.mark.slow
def test_an_address_hears_of_each_thing_once(prefect_server: PrefectServer, share: ServerShare) -> None:
    """Of one that hears of the whole server, none is left or made for a deployment."""
    with prefect_client(prefect_server) as client:
        deployment = client.read_deployment(share.deploy(client, vqe, tags=[TAG]))
        url = f"http://127.0.0.1:9/{share.name}"
        own = notification_block(client, url, f"own-{share.name}")
        before = {each.id for each in client.read_automations()}
        set_automations(client, *own, deployment)
        narrowed = {each.name for each in client.read_automations() if each.id not in before}
        assert any(str(deployment.id) in each for each in narrowed)
        whole = notification_block(client, url, f"whole-{share.name}")
        set_automations(client, *whole)
        try:
            after = {each.name for each in client.read_automations() if each.id not in before}
            assert not [each for each in after if str(deployment.id) in each]
            assert {"hybridloop-success", "hybridloop-sweep"} <= after
            (said,) = set_automations(client, *own, deployment)
            assert said == f"the address of own-{share.name} hears of all runs on the server already"
            assert {each.name for each in client.read_automations() if each.id not in before} == after
        finally:
            for each in client.read_automations():
                if each.id not in before:
                    client.delete_automation(each.id)


@long_only  # Prefect checks for missing events after ten seconds at the earliest
@pytest.mark.slow
def test_only_a_flow_run_whose_heartbeats_stopped_is_marked(prefect_server: PrefectServer) -> None:
    (shown,) = (copy.deepcopy(each) for each in AUTOMATIONS if "silent" in each["name"])
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
    with pytest.raises(ValueError, match="block_document_id"):
        [AutomationCore.model_validate(each) for each in AUTOMATIONS]
