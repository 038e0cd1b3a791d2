"""Messages of a deployment: of its own runs, at once where nothing resumes a run, and once; no log has the address."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Failed

from hybridloop.flows.algorithms import vqe
from hybridloop.flows.in_prefect.hooks import tell_failure
from hybridloop.flows.in_prefect.notifications import notification_block, set_automations
from hybridloop.journal import open_journal
from hybridloop.journal.held_run import new_run
from hybridloop.local_stack import PrefectServer
from hybridloop.runs.hold import OUTAGE
from tests.deployments.messages import heard
from tests.deployments.worker_helpers import of_hybridloop, place_for, worker
from tests.prefect_server import prefect_client
from tests.server_share import ServerShare
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.slow
TOKEN = "a-token-of-the-address"


@contextmanager
def told_of(client: SyncPrefectClient, deployment: UUID, url: str, share: ServerShare) -> Iterator[None]:
    """Let this webhook get the messages of a deployment's runs."""
    block, name = notification_block(client, url, f"{share.name}-webhook")
    set_automations(client, block, name, client.read_deployment(deployment))
    try:
        yield
    finally:
        for automation in client.read_automations():
            if str(deployment) in automation.name:
                client.delete_automation(automation.id)


def attention(deployment: UUID, message: str) -> None:
    """Emit the event of a run of the deployment that needs attention."""
    related = [{"prefect.resource.id": f"prefect.deployment.{deployment}", "prefect.resource.role": "deployment"}]
    resource = {"prefect.resource.id": f"hybridloop.run.{message}", "prefect.resource.name": message}
    emit_event("hybridloop.run.attention", resource=resource, related=related, payload={"message": '<a "b">'})


@pytest.mark.parametrize("is_late", [False, True])
def test_a_message_is_sent_once_to_a_host_that_fails_or_is_slow_and_no_log_has_its_address(
    is_late: bool,  # noqa: FBT001
    prefect_server: PrefectServer,
    share: ServerShare,
) -> None:
    log, answers = Path(share.environ["HYBRIDLOOP_HOME"]) / "stack" / "prefect.log", threading.Event()
    failed = log.read_text("utf-8").count("Webhook call failed")
    if not is_late:
        answers.set()
    with prefect_client(prefect_server) as client, heard(500, answers) as (url, messages):
        deployment = share.deploy(client, vqe)
        with told_of(client, deployment, f"{url}{TOKEN}", share):
            attention(deployment, "first")
            assert messages.get(timeout=PATIENCE_S) == {"subject": "first needs attention", "body": '<a "b">'}
            if is_late:
                eventually(lambda: log.read_text("utf-8").count("Webhook call failed") > failed)
                answers.set()
            attention(deployment, "second")
            assert messages.get(timeout=PATIENCE_S)["subject"] == "second needs attention"
            assert messages.empty()
    assert TOKEN not in log.read_text("utf-8")


def test_a_deployment_tells_of_its_own_runs_and_at_once_of_a_failure_for_good(
    prefect_server: PrefectServer, share: ServerShare, tmp_path: Path
) -> None:
    with prefect_client(prefect_server) as client, heard() as (url, messages):
        deployment = share.deploy(client, vqe)
        with told_of(client, deployment, url, share), place_for(prefect_server, deployment, tmp_path) as place:
            parameters = {"problem": {"name": "h2"}, "settings": {"seed": 7, "precision": 0.05}}
            place.service.admin("faults", {"rules": [{"fault": "job-fails", "code": "InvalidInputData"}]})
            with worker(place.at.shell.environ, tmp_path, of_hybridloop(share.name)):
                place.client.create_flow_run_from_deployment(deployment, parameters=parameters)
                message = messages.get(timeout=PATIENCE_S)
                assert message["subject"].endswith(" Failed")
                assert "InvalidInputData" in message["body"]
                by_hand = ("run", "vqe", "h2", "--seed", "7", "--precision", "0.05")
                assert place.at.shell.run(*by_hand).returncode == 1
                place.service.admin("faults", {"rules": []})
                assert place.at.shell.run(*by_hand).returncode == 0
                place.client.create_flow_run_from_deployment(deployment, parameters=parameters)
                assert messages.get(timeout=PATIENCE_S)["subject"].startswith("h2: -1.1")
                with pytest.raises(queue.Empty):
                    messages.get(timeout=1.0)


def test_a_night_whose_input_is_refused_is_listed_told_and_shown_with_its_reason(
    prefect_server: PrefectServer, share: ServerShare, tmp_path: Path
) -> None:
    """The target of a deployment may be retired after it was checked."""
    with prefect_client(prefect_server) as client, heard() as (url, messages):
        deployment = share.deploy(client, vqe)
        with told_of(client, deployment, url, share), place_for(prefect_server, deployment, tmp_path) as place:
            shell, key = place.at.shell, f"{share.name}-night"
            parameters: dict[str, Any] = {"problem": {"name": "h2"}, "settings": {"target": "ionq.retired"}}
            with worker(shell.environ, tmp_path, of_hybridloop(share.name)):
                place.client.create_flow_run_from_deployment(deployment, parameters={**parameters, "run_key": key})
                message = messages.get(timeout=PATIENCE_S)
                assert message["subject"] == f"{key} needs attention"
                assert message["body"].startswith(f"run {key} is refused: target: ")
                (row,) = shell.json("runs", "list", "--status", "refused")
                assert row["run_key"] == key
                assert message["body"] == f"run {key} is refused: {row['reason']}"
                listed = shell.run("runs", "list")
                assert f"{key} was refused: {row['reason']}" in listed.stdout
                followed = shell.run("runs", "follow", key)
                assert followed.returncode == 2
                assert "ionq.retired" in followed.stderr
                assert "flow run" in (log := shell.run("runs", "logs", key).stdout)
                assert "is Refused: target: " in log
                for arguments in (("resume", key), ("resume", key, "--later"), ("resume", key, "--plan")):
                    refused = shell.run("runs", *arguments)
                    assert refused.returncode == 2
                    assert "was refused, and has nothing to resume" in refused.stderr
                # the corrected input takes its key
                corrected = {**parameters, "settings": {"seed": 7, "precision": 0.05}, "run_key": key}
                place.client.create_flow_run_from_deployment(deployment, parameters=corrected)
                assert messages.get(timeout=PATIENCE_S)["subject"].startswith("h2: -1.1")
            (row,) = shell.json("runs", "list")
            assert (row["run_key"], row["status"]) == (key, "converged")


def test_an_outage_after_which_housekeeping_resumes_a_run_tells_nothing(
    prefect_server: PrefectServer, share: ServerShare
) -> None:
    with prefect_client(prefect_server) as client, heard() as (url, messages), open_journal() as journal:
        deployment = share.deploy(client, vqe)
        with told_of(client, deployment, url, share):
            for name, mode in (("resumed", "interrupted"), ("left", "never")):
                flow_run: Any = client.create_flow_run_from_deployment(
                    deployment, parameters={"problem": {"name": "h2"}}, name=name
                )
                settings = {"settings": {"resume_automatically": mode}, "workspace": {}}
                facts = {"algorithm": "vqe", "problem": "h2", "target": "ionq.simulator", "seed": 7}
                run = new_run(name, key=name, settings=settings, flow_run_id=str(flow_run.id), **facts)  # type: ignore[arg-type]
                lease = journal.take_lease(journal.add_run(run).uid)
                journal.add_event(lease, OUTAGE, {})
                journal.set_status(lease, "failed", "the service is away")
                state: State[Any] = Failed(message="the service is away")
                client.set_flow_run_state(flow_run.id, state, force=True)
                tell_failure(vqe, flow_run, state)
            assert messages.get(timeout=PATIENCE_S) == {"subject": "left Failed", "body": "vqe: the service is away"}
