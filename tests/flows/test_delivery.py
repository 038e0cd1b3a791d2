"""Prefect's server gets each end: after an outage as the journal has it, and of a cancelled run that it was."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Running

from hybridloop.azure.workspace import identity_of
from hybridloop.data import load_table
from hybridloop.data.statuses import WITH_RESULT
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.in_prefect.completion import completed
from hybridloop.flows.in_prefect.notifications import notification_block
from hybridloop.flows.in_prefect.watch import POLL_S
from hybridloop.flows.rescue.dead_flow_runs import mark_dead_flow_runs
from hybridloop.flows.rescue.delivery import DAY_S, OWN_S, SETTLED_S, deliver_ends
from hybridloop.journal import Journal, journal_url, open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.results.live import RoundUpdate
from hybridloop.runs.order import algorithm_order
from hybridloop.settings import ProblemText
from hybridloop.tasks.orphans import close_orphaned_sessions
from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator
from tests.database_helpers import ServerProcess, prefect_on
from tests.deployments.messages import heard
from tests.flow_calls import call_flow
from tests.journal.postgresql_helpers import running_server
from tests.long_form import long_form, short_or_long
from tests.prefect_server import prefect_client, send_what_is_pending
from tests.runs.holding_helpers import hold
from tests.server_share import ServerShare
from tests.waiting import PATIENCE_S, eventually

H2 = ProblemText(name="h2")
ONE_ROUND = VqeSettings(seed=7, precision=0.05)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", journal_url(tmp_path / "journal.db"))
    with open_journal() as kept:
        yield kept


@pytest.fixture
def client(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with prefect_client(prefect_server) as connected:
        yield connected


def flow_run_of(client: SyncPrefectClient, key: str) -> FlowRun:
    (found,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[f"run:{key}"])))
    return found


def state_of(client: SyncPrefectClient, key: str) -> str:
    return str(flow_run_of(client, key).state_name)


@pytest.mark.slow
def test_a_run_that_its_user_cancelled_is_cancelled_also_where_it_has_a_value(
    journal: Journal, client: SyncPrefectClient, emulator: Emulator
) -> None:
    def cancel(_: RoundUpdate) -> None:
        client.set_flow_run_state(flow_run_of(client, "cancelled-at-last").id, Cancelling())
        threading.Event().wait(2 * POLL_S)

    result = call_flow(vqe, emulator.workspace(), H2, ONE_ROUND, "cancelled-at-last", on_progress=cancel)
    assert result.value is not None
    assert state_of(client, "cancelled-at-last") == "Cancelled"
    assert list(journal.untold_ends()) == []


@pytest.mark.slow
def test_a_run_that_had_ended_before_the_cancellation_reached_it_is_completed(
    journal: Journal, client: SyncPrefectClient, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled_meanwhile(*args: Any, **kwargs: Any) -> Any:
        client.set_flow_run_state(flow_run_of(client, "ended").id, Cancelling())
        return completed(*args, **kwargs)

    monkeypatch.setattr("hybridloop.flows.in_prefect.host.completed", cancelled_meanwhile)
    result = call_flow(vqe, emulator.workspace(), H2, ONE_ROUND, "ended")
    assert flow_run_of(client, "ended").state_type == "COMPLETED"
    assert result.status in ("converged", "finished")
    assert list(journal.untold_ends()) == []


OUTAGES: dict[str, tuple[Callable[[ServerProcess], None], Callable[[ServerProcess], None]]] = {
    "killed": (ServerProcess.kill, ServerProcess.start),
    "stopped": (ServerProcess.suspend, ServerProcess.go_on),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", OUTAGES)
def test_an_end_during_an_outage_is_told_once_after_it(
    how: str, journal: Journal, emulator: Emulator, tmp_path: Path
) -> None:
    stop, go_on = OUTAGES[how]
    with running_server() as database, prefect_on(database, tmp_path) as process:
        send_what_is_pending()
        with temporary_settings({PREFECT_API_URL: process.server.api_url}):

            def disturb(_: RoundUpdate) -> None:
                stop(process)

            result = call_flow(vqe, emulator.workspace(), H2, ONE_ROUND, "away", on_progress=disturb)
            assert result.value is not None
            (end,) = journal.untold_ends()
            assert (end.status, end.cancelled) == (result.status, False)
            assert process.stored_states() == ["RUNNING"]
            go_on(process)  # now Prefect's engine, which repeats its requests, may show the end, too
            with prefect_client(process.server) as client:
                for _ in range(2):
                    deliver_ends(journal, client, now=time.time() + OWN_S)
                    assert flow_run_of(client, "away").state_type == "COMPLETED"
                send_what_is_pending()
                uid = journal.run("away").uid
                told = EventFilter(
                    event=EventNameFilter(name=["hybridloop.run.completed"]),
                    resource=EventResourceFilter(id=[f"hybridloop.run.{uid}"]),
                )
                eventually(lambda: client.read_events(told, limit=10).events)
                assert len(client.read_events(told, limit=10).events) == 1
                deliver_ends(journal, client, now=time.time() + 1000.0)
                assert list(journal.untold_ends()) == []


POINTS = short_or_long(
    ("result.after:1", "end.stored", "end.shown"),
    ("open.after", "put.after", "result.after:1", "close.before", "close.after", "end.stored", "end.shown"),
)


@pytest.mark.slow
@long_form
@pytest.mark.parametrize("point", POINTS)
def test_after_a_kill_at_any_point_the_server_has_what_the_journal_has(
    point: str,
    stack_environ: Mapping[str, str],
    client: SyncPrefectClient,
    emulator: Emulator,
    share: ServerShare,
) -> None:
    key = f"{share.name}-{point.replace(':', '-')}"
    at = Shell(stack_environ).at(emulator, "killed")
    asked = ("run", "vqe", "h2", "--seed", "7", "--precision", "0.05", "--run-key", key, "--quiet")
    killed = at.shell.with_variables(HYBRIDLOOP_CRASH_AT=point).run(*asked)
    assert killed.returncode == -9, killed.stderr
    with open_journal(stack_environ) as journal:
        now = time.time() + SETTLED_S
        mark_dead_flow_runs(journal, client, now=now)
        close_orphaned_sessions(journal, at.workspace)
        record = journal.run(key)
        state = flow_run_of(client, key).state
        assert state is not None
        has_result = record.status in WITH_RESULT
        assert (record.status, state.type) == (
            record.status if has_result else "interrupted",
            StateType.COMPLETED if has_result else StateType.CRASHED,
        )
        assert has_result == point.startswith("end.")
        mark_dead_flow_runs(journal, client, now=now + SETTLED_S)
        assert not [end for end in journal.untold_ends() if end.run_uid == record.uid]
        send_what_is_pending()
        told = EventFilter(
            event=EventNameFilter(name=["hybridloop.run.completed"]),
            resource=EventResourceFilter(id=[f"hybridloop.run.{record.uid}"]),
        )
        if has_result:
            eventually(lambda: client.read_events(told, limit=10).events)
        assert len(client.read_events(told, limit=10).events) == has_result


@pytest.mark.slow
@pytest.mark.parametrize(("days", "is_heartbeat"), [(0.1, True), (2.0, False)])
def test_a_heartbeat_that_is_late_states_its_time_and_covers_no_later_night(
    days: float,
    is_heartbeat: bool,  # noqa: FBT001
    journal: Journal,
    client: SyncPrefectClient,
    emulator: Emulator,
    share: ServerShare,
) -> None:
    result = call_flow(vqe, emulator.workspace(), H2, ONE_ROUND)
    at = time.time() - days * DAY_S
    key = f"{share.name}-late-{days:.0f}"
    shown = client.create_flow_run(vqe, parameters={"problem": {"name": "h2"}}, state=Running())
    with Journal(str(journal.location.url), now=lambda: at) as then:
        order = algorithm_order(
            "vqe", H2, ONE_ROUND, key, workspace=identity_of(emulator.workspace()), flow_run_id=str(shown.id)
        )
        with hold(then, order) as run:
            then.set_status(
                run.lease, result.status, result.reason, result.as_dict(), shown_in=(str(shown.id), 1, False)
            )
    document = json.loads(json.dumps(load_table("automations")["heartbeat"][0]))
    with heard() as (url, beats):
        block, _ = notification_block(client, url, f"beats-{share.name}")
        payload = '{"body": {{ event.payload.message | tojson }}}'
        document["actions"] = [{"type": "call-webhook", "block_document_id": str(block), "payload": payload}]
        created = client.create_automation(AutomationCore.model_validate(document))
        try:
            assert deliver_ends(journal, client, now=time.time())[key] == "completed"
            send_what_is_pending()
            if is_heartbeat:
                body = beats.get(timeout=PATIENCE_S)["body"]
                assert f"it ended at {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC, and Prefect learned" in body
            else:
                told = EventFilter(event=EventNameFilter(name=["hybridloop.run.completed"]))
                eventually(lambda: key in str(client.read_events(told, limit=50).events))
                with pytest.raises(queue.Empty):
                    beats.get(timeout=8.0)
        finally:
            client.delete_automation(created)
