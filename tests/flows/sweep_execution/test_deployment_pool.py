"""End of a sweep point's attempt on a worker: it is over only after its process has ended."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Cancelling, Completed, Pending, Running

from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.flows.deploying.deployments import Deployment
from hybridloop.flows.in_prefect.process_reuse import PROCESS_LABEL
from hybridloop.flows.sweep_execution import deployment_pool
from hybridloop.flows.sweep_execution.deployment_pool import STARTING_S, DeploymentPool
from hybridloop.flows.sweep_execution.results import row_of
from hybridloop.flows.sweep_execution.spec import Point
from hybridloop.journal import Journal, Owner, RunRecord
from hybridloop.journal.held_run import new_run
from hybridloop.local_stack import PrefectServer
from hybridloop.settings import ProblemText
from tests.prefect_server import prefect_client

HERE = {"workspace": "here"}
TARGET = "rigetti.sim.qvm"
DEAD = dataclasses.replace(Owner.of_this_process(), started_at=1.0)  # this process's id, with an earlier start time
TAG = f"sweep-{uuid.uuid4()}"
KEYS = ("alive", "dead", "unheld")

pytestmark = pytest.mark.slow


@pytest.fixture
def client(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with prefect_client(prefect_server) as opened:
        yield opened


def tagged(tag: str) -> FlowRunFilter:
    return FlowRunFilter(tags=FlowRunFilterTags(all_=[tag]))


def deployed(client: SyncPrefectClient, journal: Journal, tag: str = TAG) -> DeploymentPool:
    name = f"flow-{uuid.uuid4()}"
    deployment = client.create_deployment(client.create_flow_from_name(name), "swept")
    return DeploymentPool(client, Deployment(deployment, f"{name}/swept", 0), journal, HERE, size=len(KEYS), tags=[tag])


def begun(key: str) -> RunRecord:
    uid, described = str(uuid.uuid4()), {"workspace": HERE}
    return new_run(uid, key=key, algorithm="vqe", problem="h2", target=TARGET, seed=7, settings=described)


def test_a_cancelled_point_is_over_once_its_process_has_ended(client: SyncPrefectClient, journal: Journal) -> None:
    points = {key: Point(key, "vqe", ProblemText(name="h2"), VqeSettings(seed=7), {}) for key in KEYS}
    workers, leases = deployed(client, journal), {}
    for key, owner in (("alive", Owner.of_this_process()), ("dead", DEAD), ("unheld", None)):
        workers.start(points[key])
        if owner is not None:
            leases[key] = journal.take_lease(journal.add_run(begun(key)).uid, owner=owner)
            journal.set_status(leases[key], "running", "")
    ids = {each.parameters["run_key"]: each.id for each in client.read_flow_runs(flow_run_filter=tagged(TAG))}
    for flow_run in ids.values():
        client.set_flow_run_state(flow_run, Running(), force=True)
        client.set_flow_run_state(flow_run, Cancelling(), force=True)

    ended = {end.key: end for end in workers.ended(0.0)}
    assert ended.keys() == {"dead"}  # the others have an owner, or may get one
    with pytest.MonkeyPatch.context() as changed:
        changed.setitem(STARTING_S, StateType.CANCELLING, 0.0)
        ended |= {end.key: end for end in workers.ended(0.0)}
    assert ended.keys() == {"dead", "unheld"}
    for key, end in ended.items():
        assert (end.again, end.trouble.startswith("its flow run was cancelled: its process died")) == (False, True)
        assert client.read_flow_run(ids[key]).state_type is StateType.CANCELLED
    assert row_of(points["dead"], journal.run("dead"), ended["dead"].trouble)["status"] == "interrupted"

    journal.set_status(leases["alive"], "interrupted", "cancelled in Prefect")  # as the process records at its end
    journal.release(leases["alive"])
    assert workers.ended(0.0) == []
    client.set_flow_run_state(ids["alive"], Cancelled(message="by hand"), force=True)
    (end,) = workers.ended(0.0)
    assert (end.key, end.again, end.trouble) == ("alive", False, "its flow run was cancelled: by hand")


def test_a_point_ends_although_its_process_died_after_it_stored_the_result(
    client: SyncPrefectClient, journal: Journal
) -> None:
    tag = str(uuid.uuid4())
    workers = deployed(client, journal, tag)
    workers.start(Point("stored", "vqe", ProblemText(name="h2"), VqeSettings(seed=7), {}))
    journal.set_status(journal.take_lease(journal.add_run(begun("stored")).uid, owner=DEAD), "converged", "")
    (flow_run,) = client.read_flow_runs(flow_run_filter=tagged(tag))
    client.set_flow_run_state(flow_run.id, Running(), force=True)
    assert [(end.key, end.again) for end in workers.ended(0.0)] == [
        ("stored", True)
    ]  # its next attempt finds the result
    assert client.read_flow_run(flow_run.id).state_type is StateType.CRASHED


def test_a_point_is_started_again_soon_after_its_process_died_before_the_journal_had_it(
    client: SyncPrefectClient, journal: Journal
) -> None:
    tag = str(uuid.uuid4())
    workers = deployed(client, journal, tag)
    for key in KEYS:
        workers.start(Point(key, "vqe", ProblemText(name="h2"), VqeSettings(seed=7), {}))
    flow_runs = {each.parameters["run_key"]: each for each in client.read_flow_runs(flow_run_filter=tagged(tag))}
    for key, owner in (("alive", Owner.of_this_process()), ("dead", DEAD)):
        client.update_flow_run_labels(flow_runs[key].id, {PROCESS_LABEL: json.dumps(owner.as_mapping())})
    states: tuple[State[Any], ...] = (Pending(), Running())
    for state in states:
        for flow_run in flow_runs.values():
            client.set_flow_run_state(flow_run.id, state, force=True)
        assert workers.ended(0.0) == []  # the worker may report it yet
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(deployment_pool, "DEAD_S", 0.0)
        assert [(end.key, end.again) for end in workers.ended(0.0)] == [("dead", True)]
    assert client.read_flow_run(flow_runs["dead"].id).state_type is StateType.CRASHED


def test_a_point_is_left_to_a_process_that_waits_for_one(client: SyncPrefectClient, journal: Journal) -> None:
    workers, settings = deployed(client, journal), VqeSettings(seed=7)

    def start(key: str) -> FlowRun:
        workers.start(Point(key, "vqe", ProblemText(name="h2"), settings, {}))
        runs = client.read_flow_runs(flow_run_filter=tagged(TAG))
        (created,) = [flow_run for flow_run in runs if flow_run.parameters["run_key"] == key]
        return created

    def complete(flow_run: FlowRun) -> None:
        key = flow_run.parameters["run_key"]
        journal.add_run(begun(key))
        client.set_flow_run_state(flow_run.id, Completed(), force=True)
        assert [end.key for end in workers.ended(0.0)] == [key]

    def is_left(flow_run: FlowRun) -> bool:
        assert flow_run.expected_start_time is not None
        return flow_run.expected_start_time > datetime.now(UTC) + timedelta(seconds=15)  # workers start 10 s early

    alone, waiting = start("alone"), start("waiting")
    assert (is_left(alone), is_left(waiting)) == (False, False)
    client.update_flow_run_labels(waiting.id, {PROCESS_LABEL: "host:1"})
    complete(alone)
    assert not is_left(start("after-alone"))
    complete(waiting)
    assert (is_left(start("after-waiting")), is_left(start("one-more"))) == (True, False)
