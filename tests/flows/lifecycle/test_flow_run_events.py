"""Prefect has the events of a run: as lines of the flow run's log, as events, and in its graph, by count."""

from __future__ import annotations

import json
import logging
import re
import threading
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from prefect import flow
from prefect.runtime import flow_run
from prefect.utilities.names import generate_slug
from qiskit.primitives.containers.sampler_pub import SamplerPub

import hybridloop as hl
from hybridloop.data.statuses import STATUSES
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.emulator.portal.portal import ITEM_PATH
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.in_prefect.flow_run_events import _is_drawn
from hybridloop.local_stack import PrefectServer
from hybridloop.runtime.run_events import SIMULATION_RUNNING
from hybridloop.settings import ProblemText
from tests.circuit_helpers import bell
from tests.conftest import Emulator
from tests.flow_calls import call_flow
from tests.paths import ROOT
from tests.prefect_record_helpers import FlowRunRecord, record_of
from tests.prefect_server import prefect_client
from tests.server_share import ServerShare

TARGET = "ionq.simulator"
PINGS = 10  # one each 525 s after the last round
DEADLINE_S = 6400.0  # 80 % of it is before the last ping
RULES: list[dict[str, Any]] = [
    {"fault": "job-fails", "code": "ProviderTimeout", "nth": [1, 4], "operation": "submit"},
    {"fault": "throttled", "operation": "sas", "nth": [2, 5, 7, 9]},
    {"fault": "session-times-out", "operation": "submit", "nth": 9},
]


@pytest.fixture(scope="module")
def service(azure_quantum_emulator: Emulator) -> Emulator:
    return azure_quantum_emulator


@pytest.fixture(scope="module")
def under_faults(prefect_server: PrefectServer, service: Emulator) -> tuple[FlowRunRecord, int]:
    """Run a user's own flow under faults; return its record and the number of calls that were throttled."""
    workspace = service.workspace("observed")

    @flow(name="own-loop", persist_result=False)
    def own_loop() -> UUID:
        with (
            ServiceClock(service.endpoint, service.admin_key) as clock,
            hl.open_session(
                TARGET, workspace=workspace, clock=clock, keep_alive="ping", seed=1, deadline=DEADLINE_S
            ) as session,
        ):
            service.admin("faults", {"rules": RULES})
            for _ in range(3):
                session.run_round([SamplerPub.coerce(bell(), 100)] * 3)
            clock.wait(threading.Event(), 5300.0)
        return UUID(flow_run.id)

    identifier = own_loop()
    throttled = sum(entry["fault"] == "throttled" for entry in service.admin("faults/log")["log"])
    service.admin("faults", {"rules": []})

    def is_whole(found: FlowRunRecord) -> bool:
        ended = [each["state_type"] for each in found.task_runs].count("COMPLETED")
        return bool(found.kinds["ping.sent"] >= PINGS and ended >= 3 + PINGS + 1)

    return record_of(prefect_server, identifier, is_whole), throttled


def test_each_failed_job_throttled_call_and_cap_of_which_80_percent_are_taken_is_a_line_and_an_event(
    under_faults: tuple[FlowRunRecord, int],
) -> None:
    record, throttled = under_faults
    assert record.kinds["job.retried"] == len(record.lines_with("retried in", logging.WARNING)) >= 2
    assert record.kinds["service.throttled"] == len(record.lines_with("throttles requests")) == throttled == 4
    (event,) = (each for each in record.events if each["event"] == "hybridloop.cap.near")
    assert {event["payload"][name] for name in ("cap", "unit", "limit")} == {"deadline", "s", DEADLINE_S}
    assert 0.8 * DEADLINE_S <= event["payload"]["taken"] < DEADLINE_S
    assert len(record.lines_with("are spent or reserved", logging.WARNING)) == 1


def test_a_session_that_timed_out_and_its_renewal_are_in_log_graph_and_events(
    under_faults: tuple[FlowRunRecord, int],
) -> None:
    record, _ = under_faults
    assert record.kinds["session.timed-out"] == len(record.lines_with(": TimedOut", logging.WARNING)) - 1 == 1
    assert record.kinds["session.renewed"] == len(record.tasks_with("follows as number 1")) == 1
    assert record.kinds["session.opened"] == len(record.lines_with("is open on")) == 1
    for event in record.events:
        if "page" in event["payload"]:
            match = ITEM_PATH.fullmatch(urlsplit(event["payload"]["page"]).path)
            assert match is not None
            assert match[3] == event["payload"]["session"]


def test_each_ping_is_in_log_graph_and_events_and_each_round_is_a_task_run_with_its_tries(
    under_faults: tuple[FlowRunRecord, int],
) -> None:
    record, _ = under_faults
    pings = record.tasks_with("keep-alive ping")
    assert record.kinds["ping.sent"] == len(pings) == PINGS
    assert record.lines_with("keep-alive ping")  # Prefect drops a batch of lines that a busy server did not take
    sessions = {event["payload"]["session"] for event in record.events if event["event"] == "hybridloop.ping.sent"}
    assert {tag for ping in pings for tag in ping["tags"]} == {
        "hybridloop",
        f"target:{TARGET}",
        *(f"session:{session}" for session in sessions),
    }
    rounds = sorted(record.tasks_with("round "), key=lambda each: str(each["name"]))
    assert [each["state_type"] for each in rounds] == ["COMPLETED"] * 3
    retried = record.kinds["job.retried"]
    assert sum(int(each["name"].split(", ")[1].split()[0]) for each in rounds if "retried" in each["name"]) == retried
    assert rounds[0]["name"].startswith("round 1: 3 jobs")
    assert all(any(tag.startswith("session:") for tag in each["tags"]) for each in rounds)
    assert record.kinds["round.completed"] == 3


def test_no_line_event_or_task_run_has_a_key_or_a_signature(
    under_faults: tuple[FlowRunRecord, int], service: Emulator
) -> None:
    record, _ = under_faults
    text = json.dumps([record.lines, record.task_runs, record.events])
    assert service.api_key not in text
    assert "sig=" not in text


def test_a_resumed_run_tells_of_the_flow_run_before_whose_end_needs_nobody_any_more(
    prefect_server: PrefectServer, service: Emulator, share: ServerShare
) -> None:
    workspace, problem, key = service.workspace("resumed"), ProblemText(name="h2"), f"{share.name}-resumed"
    states = [
        call_flow(vqe, workspace, problem, VqeSettings(seed=7, detach_after=given), key, return_state=True)
        for given in (1e-6, None)
    ]
    parked, resumed = (UUID(str(state.state_details.flow_run_id)) for state in states)
    record = record_of(prefect_server, resumed, lambda found: found.kinds["flow-run.resumed"] == 1)
    (event,) = (each for each in record.events if each["event"] == "hybridloop.flow-run.resumed")
    assert event["resource"]["prefect.resource.id"] == f"prefect.flow-run.{parked}"


@pytest.mark.parametrize("given", ["H2 again", None])
def test_a_name_that_its_user_gave_stays_and_a_drawn_one_becomes_the_key(
    prefect_server: PrefectServer, service: Emulator, share: ServerShare, given: str | None
) -> None:
    workspace, problem, key = service.workspace("named"), ProblemText(name="h2"), f"{share.name}-{len(given or '')}"
    settings = VqeSettings(seed=7, precision=0.05)
    state = call_flow(vqe.with_options(flow_run_name=given), workspace, problem, settings, key, return_state=True)
    with prefect_client(prefect_server) as client:
        found = client.read_flow_run(state.state_details.flow_run_id)
    assert found.name == (given or key)
    assert {"hybridloop", f"run:{key}", "algorithm:vqe", "problem:h2"} <= set(found.tags)


def test_prefects_own_names_are_known() -> None:
    assert all(_is_drawn(generate_slug(2)) for _ in range(500))  # else it draws them from other words by now
    assert not any(map(_is_drawn, ("vqe-h2", "nightly", "calm-cat-2", "big-run")))


def test_the_guide_lists_every_kind_of_event() -> None:
    named = re.compile(r'"((?:run|round|job|session|ping|service|call|cap|sweep)\.[a-z-]+)"')
    folders = [
        ROOT / "hybridloop" / name for name in ("azure", "budget", "flows/sweep_execution", "journal", "runs", "tasks")
    ]
    sources = "".join(path.read_text("utf-8") for folder in folders for path in folder.rglob("*.py"))
    early = {f"run.{name}" for name, facts in STATUSES.items() if not facts.has_result}
    kinds = (
        {kind for kind in named.findall(sources) if not kind.endswith(".py")}
        | early
        | {"run.completed", SIMULATION_RUNNING}
    )
    guide = (ROOT / "docs" / "prefect.md").read_text("utf-8")
    assert set(re.findall(r"`hybridloop\.((?:[a-z]+)\.[a-z-]+)`", guide)) == kinds - {"round.started"}
