"""Housekeeping marks dead flow runs, and resumes runs as the settings of each allow."""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from azure.quantum import Workspace
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Failed, Pending, Running
from prefect.utilities.callables import parameter_schema

from hybridloop.azure.workspace import identity_of
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.housekeeping import HousekeepingSettings, housekeeping
from hybridloop.flows.in_prefect.flow_run_events import journal_tag
from hybridloop.flows.in_prefect.process_reuse import LEASE, SWEEP_TAG, sweep_lease
from hybridloop.flows.in_prefect.remote_runs import follow
from hybridloop.flows.rescue import dead_flow_runs, delivery
from hybridloop.flows.rescue.dead_flow_runs import (
    DAY_S,
    MAX_VAIN_STARTS,
    PENDING_S,
    QUIET_S,
    SUPERSEDED_S,
    is_of_live_sweep,
    mark_dead_flow_runs,
    reason_to_leave,
)
from hybridloop.flows.rescue.delivery import OWN_S, SETTLED_S
from hybridloop.journal import Event, Journal, Lease, Owner, RunRecord, journal_url, open_journal
from hybridloop.journal.held_run import held_name, new_run
from hybridloop.journal.limits import Period, RunLimit
from hybridloop.journal.provenance import CHOICES
from hybridloop.local_stack import PrefectServer
from hybridloop.reports.verify import verify_run
from hybridloop.runs.hold import OUTAGE, ask_for_resume
from hybridloop.runs.order import algorithm_order
from hybridloop.runs.recorded import RESUMED
from hybridloop.runs.resumable import reason_to_skip
from hybridloop.runs.stored_run import load_run
from hybridloop.settings import ProblemText
from hybridloop.tasks.prefect_tasks import TAG
from hybridloop.tasks.replay.recorded_steps import STEP
from tests.conftest import Emulator
from tests.flow_calls import call_flow, run_plainly
from tests.paths import DOCS
from tests.prefect_server import prefect_client
from tests.restricted_server import restricted_server
from tests.runs.holding_helpers import hold
from tests.server_share import ServerShare
from tests.waiting import eventually

H2 = ProblemText(name="h2")
TARGET = "rigetti.sim.qvm"
DEAD = dataclasses.replace(Owner.of_this_process(), started_at=1.0)  # this process's id, with an earlier start time
AT_ONCE = HousekeepingSettings(settle=0.0)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """Return the test's own journal, which flows in this process open as well."""
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", journal_url(tmp_path / "journal.db"))
    with open_journal() as kept:
        yield kept


@pytest.fixture
def client(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with prefect_client(prefect_server) as connected:
        yield connected


def begun(
    journal: Journal, workspace: Workspace, flow_run_id: UUID | None, key: str, owner: Owner, **settings: Any
) -> Lease:
    """Add a run that this owner has claimed."""
    told = None if flow_run_id is None else str(flow_run_id)
    wanted = algorithm_order(
        "vqe", H2, VqeSettings(seed=7, **settings), key, workspace=identity_of(workspace), flow_run_id=told
    )
    with hold(journal, wanted) as run:
        pass
    lease = journal.take_lease(run.uid, owner=owner)
    journal.set_status(lease, "running", "")
    return lease


def flow_run(client: SyncPrefectClient, state: State[Any], run_key: str | None = None) -> UUID:
    return client.create_flow_run(vqe, parameters={"problem": {"name": "h2"}, "run_key": run_key}, state=state).id


def state_name(client: SyncPrefectClient, flow_run_id: UUID) -> str:
    state = client.read_flow_run(flow_run_id).state
    assert state is not None
    return str(state.name)


def states_after(
    journal: Journal, client: SyncPrefectClient, ids: Mapping[str, UUID], after_s: float
) -> dict[str, str]:
    """Mark dead flow runs so many seconds later; return the names of the states of these, by name."""
    mark_dead_flow_runs(journal, client, now=time.time() + after_s)
    return {name: state_name(client, flow_run_id) for name, flow_run_id in ids.items()}


def event(n: int, kind: str, **facts: Any) -> Event:
    return Event(n, 0.0, kind, facts)


VAIN = [event(n, RESUMED, rounds=4) for n in range(3)]


@pytest.mark.parametrize(
    ("status", "resume_automatically", "events", "is_due"),
    [
        ("parked", None, [], True),
        ("parked", "never", [], False),
        ("parked", "interrupted", [], True),
        ("preparing", "interrupted", [], True),
        ("preparing", "parked", [], False),
        ("interrupted", None, [], False),
        ("interrupted", "parked", [], False),
        ("interrupted", "interrupted", [], True),
        ("interrupted", "interrupted", [event(0, "limits", resume_automatically="never")], False),
        ("interrupted", None, [event(0, "limits", resume_automatically="interrupted")], True),
        ("failed", "interrupted", [], False),
        ("failed", "interrupted", [event(0, OUTAGE)], True),
        ("failed", "parked", [event(0, OUTAGE)], False),
        ("failed", "interrupted", [event(0, OUTAGE), event(1, RESUMED, rounds=1)], False),
        ("interrupted", "interrupted", [event(n, RESUMED, rounds=4) for n in range(2)], True),
        ("interrupted", "interrupted", VAIN, False),
        ("interrupted", "interrupted", [event(n, RESUMED, rounds=2 + n) for n in range(3)], True),
        ("interrupted", "interrupted", [*VAIN[:1], event(1, STEP, name="sqd iteration 2"), *VAIN[1:]], True),
        ("interrupted", "interrupted", [event(0, STEP, name="sqd iteration 1"), *VAIN], False),
        ("stopped", "interrupted", [], False),
    ],
)
def test_a_run_is_resumed_as_its_settings_say(
    status: str,
    resume_automatically: str | None,
    events: list[Event],
    is_due: bool,  # noqa: FBT001
    journal: Journal,
    emulator: Emulator,
) -> None:
    lease = begun(
        journal,
        emulator.workspace("due"),
        None,
        "k",
        Owner.of_this_process(),
        resume_automatically=resume_automatically,
    )
    journal.set_status(lease, status, "")
    record = journal.run("k")
    assert (reason_to_skip(record, events, rounds=lambda: 4) is None) == is_due
    asked = dataclasses.replace(record, resume_requested=True)
    assert reason_to_skip(asked, events, rounds=lambda: 4) is None
    other = dataclasses.replace(asked, versions={**record.versions, CHOICES: "another"})
    assert reason_to_skip(other, events, rounds=lambda: 4) is not None


def test_every_setting_of_housekeeping_has_a_description_in_its_form() -> None:
    form = parameter_schema(housekeeping).definitions[HousekeepingSettings.__name__]["properties"]
    assert all(field["description"] for field in form.values())


@pytest.mark.slow
def test_a_flow_run_of_a_dead_process_does_not_stay_running(
    journal: Journal, client: SyncPrefectClient, emulator: Emulator
) -> None:
    workspace, now = emulator.workspace(), time.time()
    ids = {key: flow_run(client, Running()) for key in ("dead", "alive", "over", "superseded")}
    ids["cancelled"] = flow_run(client, Cancelling())
    ids["by-key"] = flow_run(client, Running(), run_key="by-key")
    for key, flow_run_id in ids.items():
        owner = Owner.of_this_process() if key == "alive" else DEAD
        begun(journal, workspace, flow_run_id, key, owner)
    ids["started again, and not yet at its run"] = flow_run(client, Pending())
    begun(journal, workspace, ids["started again, and not yet at its run"], "again", DEAD)
    client.set_flow_run_state(ids["started again, and not yet at its run"], Running())
    ids["unknown"] = flow_run(client, Running())
    ids["another user's, with the same key"] = flow_run(client, Running(), run_key="dead")
    over = journal.take_lease(journal.run("over").uid)
    journal.set_status(over, "interrupted", "")
    journal.release(over)
    here, other = identity_of(workspace), "another flow run"
    superseding = algorithm_order("vqe", H2, VqeSettings(seed=7), "superseded", workspace=here, flow_run_id=other)
    with hold(journal, superseding):
        marked = mark_dead_flow_runs(journal, client, now=now)
        assert marked == {"dead": "crashed", "by-key": "crashed", "cancelled": "cancelled"}
        names = {key: state_name(client, flow_run_id) for key, flow_run_id in ids.items()}
        assert names["dead"] == names["by-key"] == "Crashed"
        assert names["cancelled"] == "Cancelled"
        assert {names[key] for key in ids.keys() - {"dead", "by-key", "cancelled"}} == {"Running"}
        assert "superseded" in mark_dead_flow_runs(journal, client, now=time.time() + SUPERSEDED_S + 1)
        assert "over" in mark_dead_flow_runs(journal, client, now=time.time() + QUIET_S + 1)
    assert state_name(client, ids["unknown"]) == "Running"
    assert state_name(client, ids["another user's, with the same key"]) == "Running"


def test_a_flow_run_that_crashed_before_it_began_is_started_again_a_few_times(
    journal: Journal, client: SyncPrefectClient
) -> None:
    """As by a restart of Prefect's server just when a worker starts the process."""
    deployment = client.create_deployment(client.create_flow_from_name("vqe"), f"at-the-start-{uuid.uuid4()}")
    ids = {
        name: client.create_flow_run_from_deployment(deployment, state=Pending(), tags=tags).id
        for name, tags in (("ours", ["hybridloop"]), ("had begun", ["hybridloop"]), ("theirs", []))
    }
    client.set_flow_run_state(ids["had begun"], Running())

    names = partial(states_after, journal, client, ids)
    crashed = dict.fromkeys(ids, "Crashed")
    for restarts in range(MAX_VAIN_STARTS + 1):
        for flow_run_id in ids.values():
            client.set_flow_run_state(flow_run_id, Crashed(), force=True)
        if not restarts:
            assert names(0.0) == crashed  # its worker may still report it
        expected = "AwaitingRetry" if restarts < MAX_VAIN_STARTS else "Crashed"
        assert names(SUPERSEDED_S + 1) == {**crashed, "ours": expected}
    assert names(DAY_S + 1) == crashed


def test_the_flow_run_of_a_killed_sweep_ends_once_no_process_has_its_lease(
    journal: Journal, client: SyncPrefectClient
) -> None:
    lease = sweep_lease(f"killed-{uuid.uuid4()}")
    made = client.create_flow_run(vqe, parameters={"problem": {"name": "h2"}}, state=Running())
    client.update_flow_run(made.id, tags=[TAG, journal_tag(journal), f"{LEASE}{lease}"])
    ids = {"sweep": made.id}
    with held_name(journal, lease):
        assert states_after(journal, client, ids, SUPERSEDED_S + 1.0) == {"sweep": "Running"}
    assert states_after(journal, client, ids, SUPERSEDED_S - 5.0) == {"sweep": "Running"}  # it is about to end
    assert states_after(journal, client, ids, 2.0 * SUPERSEDED_S + 1.0) == {"sweep": "Crashed"}


def test_flow_runs_of_another_journal_and_points_of_a_living_sweep_are_left(
    journal: Journal, client: SyncPrefectClient, tmp_path: Path
) -> None:
    """One that has not begun is of the journal whose workers' pool it is in."""
    with Journal(journal_url(tmp_path / "theirs.db")) as theirs:
        assert theirs.id != journal.id
        cases = {
            "ours": [journal_tag(journal)],
            "theirs": [journal_tag(theirs)],
            "nobody's": [],
            "a point": [journal_tag(journal), f"{SWEEP_TAG}curve"],
            "a point of theirs": [journal_tag(theirs), f"{SWEEP_TAG}curve"],
        }
    deployment = client.create_deployment(client.create_flow_from_name("vqe"), f"two-journals-{uuid.uuid4()}")
    ids: dict[str, UUID] = {}
    for name, tags in cases.items():
        ids[name] = client.create_flow_run_from_deployment(deployment, state=Pending(), tags=[TAG, *tags]).id
        client.set_flow_run_state(ids[name], Crashed(), force=True)
    pending = client.create_flow_run_from_deployment(
        deployment, state=Pending(), tags=[journal_tag(journal)[:-1] + "x"]
    )
    ids["pending, of theirs"] = pending.id

    def waiting() -> set[str]:
        names = states_after(journal, client, ids, PENDING_S + 1.0)
        return {name for name, state in names.items() if state == "AwaitingRetry"}

    with held_name(journal, sweep_lease("curve")) as is_held:
        assert is_held
        assert waiting() == {"ours", "nobody's"}
        assert is_of_live_sweep(journal, "curve")
    assert waiting() == {"ours", "nobody's", "a point"}


@pytest.mark.slow
def test_a_flow_run_that_no_runner_begins_waits_for_another_one(journal: Journal, client: SyncPrefectClient) -> None:
    ours, other = (
        client.create_deployment(client.create_flow_from_name(name), f"pending-{uuid.uuid4()}")
        for name in ("vqe", f"another-{uuid.uuid4()}")
    )
    with subprocess.Popen(["true"]) as ended:
        pass
    here = socket.gethostname()
    pids = {"gone": f"{here}:{ended.pid}", "alive": f"{here}:{os.getpid()}", "elsewhere": f"not-{here}:1"}
    ids: dict[str, UUID] = {}
    for name, deployment in (("gone", other), ("alive", ours), ("elsewhere", ours), ("foreign", other)):
        ids[name] = client.create_flow_run_from_deployment(deployment, state=Pending()).id
        client.update_flow_run(ids[name], infrastructure_pid=pids.get(name))
    ids["without a deployment"] = flow_run(client, Pending())

    names = partial(states_after, journal, client, ids)
    pending = dict.fromkeys(ids, "Pending")
    assert names(SUPERSEDED_S - 30.0) == pending
    assert names(SUPERSEDED_S + 1.0) == pending | {"gone": "AwaitingRetry"}
    assert names(PENDING_S + 1.0) == {
        "gone": "AwaitingRetry",
        "alive": "AwaitingRetry",
        "elsewhere": "AwaitingRetry",
        "foreign": "Pending",
        "without a deployment": "Crashed",
    }
    client.set_flow_run_state(ids["alive"], Pending(), force=True)
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(dead_flow_runs, "MAX_STARTS", 1)
        assert names(PENDING_S + 1.0)["alive"] == "Crashed"


@pytest.mark.slow
def test_a_flow_run_whose_worker_died_before_it_began_waits_for_another_one(
    journal: Journal, client: SyncPrefectClient, share: ServerShare
) -> None:
    deployment = share.deploy(client, vqe)
    labels = {"dead": "dead", "in a container": "docker", "alive": "alive", "nobody's": None}
    intervals = {"dead": 1, "docker": 3600, "alive": 3600}
    for name, interval_s in intervals.items():
        client.send_worker_heartbeat(share.name, name, heartbeat_interval_seconds=interval_s)
    ids: dict[str, UUID] = {}
    for name, taker in labels.items():
        ids[name] = client.create_flow_run_from_deployment(
            deployment, state=Pending(), parameters={"problem": {"name": "h2"}}
        ).id
        kind = "docker" if taker == "docker" else "process"
        if taker is not None:
            client.update_flow_run_labels(ids[name], {"prefect.worker.name": taker, "prefect.worker.type": kind})

    def waiting(after_s: float) -> set[str]:
        names = states_after(journal, client, ids, after_s)
        return {name for name, state in names.items() if state == "AwaitingRetry"}

    assert waiting(SUPERSEDED_S - 30.0) == set()
    assert waiting(SUPERSEDED_S + 1.0) == {"dead"}
    assert waiting(QUIET_S + 1.0) == {"dead", "alive", "nobody's"}
    assert waiting(PENDING_S + 1.0) == ids.keys()


@pytest.mark.slow
def test_a_flow_run_whose_process_died_before_its_run_was_recorded_waits_for_another_worker(
    journal: Journal, client: SyncPrefectClient, share: ServerShare
) -> None:
    deployment = share.deploy(client, vqe)
    with subprocess.Popen(["true"]) as ended:
        pass
    client.send_worker_heartbeat(share.name, "silent", heartbeat_interval_seconds=1)
    client.send_worker_heartbeat(share.name, "heard", heartbeat_interval_seconds=3600)
    cases = {
        "gone": (ended.pid, "silent", "interrupted"),
        "its worker lives": (ended.pid, "heard", "interrupted"),
        "alive": (os.getpid(), "silent", "interrupted"),
        "left": (ended.pid, "silent", "never"),
    }
    ids: dict[str, UUID] = {}
    for name, (pid, worker, mode) in cases.items():
        parameters = {"problem": {"name": "h2"}, "settings": {"resume_automatically": mode}}
        ids[name] = client.create_flow_run_from_deployment(deployment, state=Pending(), parameters=parameters).id
        client.update_flow_run(ids[name], infrastructure_pid=f"{socket.gethostname()}:{pid}")
        client.update_flow_run_labels(ids[name], {"prefect.worker.name": worker, "prefect.worker.type": "process"})
        client.set_flow_run_state(ids[name], Running())

    names = partial(states_after, journal, client, ids)
    running = dict.fromkeys(ids, "Running")
    assert names(SUPERSEDED_S - 30.0) == running
    assert names(SUPERSEDED_S + 1.0) == running | {"gone": "AwaitingRetry"}


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_dead_run_is_resumed_if_its_settings_allow_it_and_else_only_marked(
    journal: Journal, emulator: Emulator
) -> None:
    workspace = emulator.workspace()
    begun(journal, workspace, None, "told", DEAD, resume_automatically="interrupted")
    begun(journal, workspace, None, "untold", DEAD)
    assert call_flow(housekeeping, workspace) == {"told": "converged"}
    assert journal.run("told").status == "converged"
    assert journal.run("untold").status == "interrupted"
    assert [each.facts["rounds"] for each in journal.events(journal.run("told").uid) if each.kind == RESUMED] == [0]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_another_process_resumed_is_skipped(
    journal: Journal, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = emulator.workspace()
    for key in ("second", "first"):
        journal.release(begun(journal, workspace, None, key, DEAD, resume_automatically="interrupted"))
    taken: list[Lease] = []

    class Taker(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not taken:
                taken.append(journal.take_lease(journal.run("second").uid, owner=Owner.of_this_process()))

    monkeypatch.setattr(logging.getLogger("hybridloop.run"), "handlers", [Taker()])  # the first one has begun
    outcomes = call_flow(housekeeping, workspace)
    assert outcomes == {"first": "converged", "second": "left: another process resumed it"}
    assert list(journal.rounds(journal.run("second").uid)) == []


@pytest.mark.parametrize(
    ("period", "said"), [(Period.MONTH, "is raised, or by 20"), (Period.EVER, "is raised: hybridloop limit set small")]
)
def test_a_run_that_waits_for_a_limit_is_resumed_once_it_has_room(
    period: Period, said: str, journal: Journal, emulator: Emulator
) -> None:
    workspace = emulator.workspace()
    limit = RunLimit("small", "USD", 1e6, period, counts_local=True)
    journal.put_limit(limit)
    settings = VqeSettings(seed=7, target="ionq.qpu.aria-1", precision=0.05, wait_for_limit=True)
    run_plainly("vqe", workspace, H2, settings, "first")
    (state,) = journal.limits()
    journal.put_limit(dataclasses.replace(limit, amount=state.spent + 1.0))
    parked = call_flow(vqe, workspace, H2, settings, "waits")
    assert (parked.status, len(parked.history)) == ("parked", 0)
    assert f"The run is parked: housekeeping resumes it once the limit {said}" in parked.reason
    assert call_flow(housekeeping, workspace, AT_ONCE) == {}
    journal.put_limit(dataclasses.replace(limit, amount=2.0 * state.spent + 1.0))
    outcomes = call_flow(housekeeping, workspace, AT_ONCE)
    assert outcomes.keys() == {"waits"}
    assert journal.run("waits").status == "finished"
    journal.put_limit(dataclasses.replace(limit, amount=1.0))
    parked = run_plainly("vqe", workspace, H2, settings, "never-fits")  # no period has what its jobs need
    assert ", more than the whole limit. " in parked.reason
    assert "once the limit is raised: hybridloop limit set small" in parked.reason


@pytest.mark.parametrize(
    ("state", "starts", "reason"),
    [
        (Crashed(), 19, None),
        (Crashed(), 20, "its flow run was started 20 times"),
        (Completed(name="Parked"), 20, None),  # its deployment starts another one
    ],
)
def test_a_flow_run_is_started_at_most_twenty_times(state: State[Any], starts: int, reason: str | None) -> None:
    assert "twenty starts of a flow run" in (DOCS / "unattended.md").read_text("utf-8")
    assert reason_to_leave(state, starts, is_asked=True) == reason


@pytest.mark.slow
def test_runs_of_a_deployment_are_left_to_its_workers(
    journal: Journal, client: SyncPrefectClient, share: ServerShare, emulator: Emulator
) -> None:
    workspace = emulator.workspace()
    deployment = share.deploy(client, vqe, paused=True)
    parameters = {"problem": {"name": "h2"}, "settings": {"seed": 7}}

    def left(key: str, status: str, state: State[Any], **settings: Any) -> UUID:
        """Add a run of the deployment with this end; return the flow run that started it."""
        began = client.create_flow_run_from_deployment(deployment, parameters=parameters)
        client.set_flow_run_state(began.id, state, force=True)
        lease = begun(journal, workspace, began.id, key, Owner.of_this_process(), **settings)
        journal.set_status(lease, status, "")
        journal.release(lease)
        return began.id

    def flow_runs_of(key: str) -> list[FlowRun]:
        of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
        found = client.read_flow_runs(deployment_filter=of_deployment)
        return [each for each in found if each.parameters.get("run_key") == key]

    crashed = left("crashed", "interrupted", Crashed(), resume_automatically="interrupted")
    left("cancelled", "interrupted", Cancelled(), resume_automatically="interrupted")
    left("parked", "parked", Completed(name="Parked"), max_cost="5USD")
    assert call_flow(housekeeping, workspace, AT_ONCE) == {
        "crashed": "its flow run waits for a worker",
        "cancelled": "left: it was cancelled in Prefect",
        "parked": "a new flow run of its deployment resumes it",
    }
    assert state_name(client, crashed) == "AwaitingRetry"
    (following,) = flow_runs_of("parked")  # a single one, although requested twice
    wanted = VqeSettings.model_validate({"seed": 7, "max_cost": "5USD"})
    assert following.parameters["settings"] == wanted.model_dump(
        mode="json"
    )  # independent of the deployment's current settings
    assert call_flow(housekeeping, workspace, AT_ONCE)["crashed"] == "left: its flow run is active"


def parked(journal: Journal, client: SyncPrefectClient, workspace: Workspace, deployment: UUID, key: str) -> Lease:
    """Add a parked run that a flow run of the deployment began; return its lease, which is released."""
    began = client.create_flow_run_from_deployment(deployment, parameters={"problem": {"name": "h2"}})
    client.set_flow_run_state(began.id, Completed(name="Parked"), force=True)
    lease = begun(journal, workspace, began.id, key, Owner.of_this_process())
    journal.set_status(lease, "parked", "")
    journal.release(lease)
    return lease


@pytest.mark.slow
def test_what_fails_for_one_run_is_tried_again_and_keeps_no_other_from_its_resume(
    journal: Journal, client: SyncPrefectClient, share: ServerShare, emulator: Emulator
) -> None:
    """A busy server asks for the request again (503, as Prefect's does while SQLite is locked); an error ends it."""
    workspace = emulator.workspace()
    deployment = share.deploy(client, vqe, paused=True)
    for key in ("busy", "fails", "passes"):
        parked(journal, client, workspace, deployment, key)
    lost: list[str] = []

    def loses(path: str, body: bytes) -> str:
        kind = "busy" if b'"busy"' in body else "request" if b'"fails"' in body else ""
        if not path.endswith("/create_flow_run") or not kind or (kind == "busy" and kind in lost):
            return ""
        lost.append(kind)
        return kind

    with restricted_server(str(client.api_url)) as proxy:
        proxy.is_open, proxy.loses = True, loses
        with temporary_settings({PREFECT_API_URL: proxy.api_url}):
            outcomes = call_flow(housekeeping, workspace, AT_ONCE)
    resumed = "a new flow run of its deployment resumes it"
    assert sorted(lost) == ["busy", "request"]
    assert outcomes.pop("fails").startswith("failed: Server error '500 Internal Server Error'")
    assert outcomes == {"busy": resumed, "passes": resumed}
    again = call_flow(housekeeping, workspace, AT_ONCE)
    assert again == {"fails": resumed, "busy": "left: its flow run is active", "passes": "left: its flow run is active"}


def events_of(client: SyncPrefectClient, uid: str, kind: str) -> list[Any]:
    resource = EventResourceFilter(id=[f"hybridloop.run.{uid}"])
    filtered = EventFilter(event=EventNameFilter(name=[f"hybridloop.{kind}"]), resource=resource)
    return client.read_events(filtered, limit=10).events


@pytest.mark.slow
def test_a_resume_that_ends_before_it_holds_the_run_is_tried_again_and_at_last_a_person_is_called(
    journal: Journal, client: SyncPrefectClient, share: ServerShare, emulator: Emulator
) -> None:
    workspace = emulator.workspace()
    deployment = share.deploy(client, vqe, paused=True)
    key = f"{share.name}-parked"
    lease = parked(journal, client, workspace, deployment, key)
    with subprocess.Popen(["true"]) as ended:
        pass

    def resumes() -> list[FlowRun]:
        of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
        found = client.read_flow_runs(deployment_filter=of_deployment, sort=FlowRunSort.START_TIME_ASC)
        return sorted((each for each in found if each.name == key), key=lambda each: str(each.idempotency_key))

    def keep_house(after_s: float = 0.0) -> str:
        mark_dead_flow_runs(journal, client, now=time.time() + after_s)
        return str(call_flow(housekeeping, workspace, AT_ONCE)[key])

    resumed, active = "a new flow run of its deployment resumes it", "left: its flow run is active"
    for asked in range(2):
        ends: list[State[Any]] = [Failed(message="no journal"), Running(), Crashed(message="killed")]
        for attempt, end in enumerate(ends):
            assert (keep_house(), keep_house()) == (resumed, active)
            (*_, latest) = following = resumes()
            assert len(following) == len(ends) * asked + attempt + 1
            if end.is_running():  # its process and its worker die
                client.set_flow_run_state(latest.id, Pending(), force=True)
                client.update_flow_run(latest.id, infrastructure_pid=f"{socket.gethostname()}:{ended.pid}")
                client.update_flow_run_labels(
                    latest.id, {"prefect.worker.name": "gone"}
                )  # others of the pool are heard
            client.set_flow_run_state(latest.id, end, force=True)
            if end.is_running():
                assert keep_house() == active
                mark_dead_flow_runs(journal, client, now=time.time() + SUPERSEDED_S + 1.0)
                assert state_name(client, latest.id) == "Crashed"
        left = "left: 3 flow runs ended before they held it, the last as Crashed: killed"
        assert (keep_house(), keep_house()) == (left, left)
        assert len(resumes()) == len(ends) * (asked + 1)
        eventually(lambda asked=asked: len(events_of(client, lease.run_uid, "run.attention")) == asked + 1)  # type: ignore[misc]
        ask_for_resume(journal, journal.run(key))
    message = events_of(client, lease.run_uid, "run.attention")[0].payload["message"]
    assert message == (
        f"run {key} is parked, and is not resumed: 3 flow runs ended before they held it, the last as Crashed: killed. "
        f"To resume it: hybridloop runs resume {key}"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "end",
    [pytest.param("Running", marks=pytest.mark.claim("the Prefect server is unreachable or hangs")), "Crashed"],
)
def test_a_run_that_ended_while_prefect_was_away_is_completed_with_one_message(
    end: str, journal: Journal, client: SyncPrefectClient, share: ServerShare, emulator: Emulator
) -> None:
    """A worker, or the lack of heartbeats, may have made Crashed of its flow run meanwhile."""
    workspace = emulator.workspace()
    deployment = share.deploy(client, vqe, paused=True)
    began = client.create_flow_run_from_deployment(
        deployment, parameters={"problem": {"name": "h2"}}, tags=[TAG, "run:x"]
    )
    client.set_flow_run_state(began.id, Running(), force=True)
    result = call_flow(vqe, workspace, H2, VqeSettings(seed=7, precision=0.01))
    lease = begun(journal, workspace, began.id, f"{share.name}-{end}", Owner.of_this_process())
    journal.set_status(lease, result.status, result.reason, result.as_dict(), shown_in=(str(began.id), 1, False))
    journal.release(lease)
    if end == "Crashed":
        client.set_flow_run_state(began.id, Crashed(message="No heartbeat for ten minutes."), force=True)
    mark_dead_flow_runs(journal, client, now=time.time() + OWN_S - 10.0)
    assert state_name(client, began.id) == end
    for _ in range(2):
        mark_dead_flow_runs(journal, client, now=time.time() + OWN_S + 1.0)
        mark_dead_flow_runs(journal, client, now=time.time() + OWN_S + 1.0)
        state = client.read_flow_run(began.id).state
        assert state is not None
        assert state.is_completed()
        assert state.result().value == result.value
        eventually(lambda: len(events_of(client, lease.run_uid, "run.completed")) == 1)
        # the worker that was away reports a crash once more
        client.set_flow_run_state(began.id, Crashed(), force=True)
    # a follower sees the end before housekeeping does
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(delivery, "OWN_S", 1.0)
        followed = follow(began.id, lambda line: None, poll_s=0.1)
    assert followed is not None
    assert (followed.status, followed.value) == (result.status, result.value)
    assert state_name(client, began.id) == "Completed"
    mark_dead_flow_runs(journal, client, now=time.time() + SETTLED_S + 1.0)
    assert not [each for each in journal.untold_ends() if each.flow_run == str(began.id)]
    (told,) = events_of(client, lease.run_uid, "run.completed")
    assert told.payload["text"].startswith(str(told.payload["title"]))


@pytest.mark.slow
def test_a_run_whose_deployment_is_gone_is_resumed_here(
    journal: Journal, client: SyncPrefectClient, emulator: Emulator
) -> None:
    workspace = emulator.workspace()
    deployment = client.create_deployment(client.create_flow(vqe), "deleted", paused=True)
    states: dict[str, State[Any]] = {"crashed": Crashed(), "parked": Completed(name="Parked")}
    for key, state in states.items():
        began = client.create_flow_run_from_deployment(deployment, parameters={"problem": {"name": "h2"}})
        client.set_flow_run_state(began.id, state, force=True)
        lease = begun(journal, workspace, began.id, key, Owner.of_this_process(), resume_automatically="interrupted")
        journal.set_status(lease, "parked" if key == "parked" else "interrupted", "")
        journal.release(lease)
    client.delete_deployment(deployment)
    assert call_flow(housekeeping, workspace, AT_ONCE) == {"crashed": "converged", "parked": "converged"}


@pytest.mark.slow
def test_a_run_that_can_not_be_resumed_does_not_block_others(
    journal: Journal, client: SyncPrefectClient, emulator: Emulator
) -> None:
    workspace = emulator.workspace()
    for key in ("well", "damaged"):
        journal.release(begun(journal, workspace, None, key, DEAD, resume_automatically="interrupted"))
    well = journal.run("well")
    settings = {**well.settings, "settings": {**well.settings["settings"], "optimizer": "of-a-plug-in"}}
    of_another_version = new_run(
        str(uuid.uuid4()), key="other", algorithm="vqe", problem="h2", target=TARGET, seed=7, settings=settings
    )
    lease = journal.take_lease(journal.add_run(of_another_version).uid)
    journal.set_status(lease, "interrupted", "")
    journal.release(lease)
    damaged = journal.take_lease(journal.run("damaged").uid)
    journal.add_event(damaged, RESUMED, {"flow_run": None, "rounds": 0})
    journal.release(damaged)
    rotten = begun(journal, workspace, flow_run(client, Running()), "rotten", DEAD, resume_automatically="interrupted")
    journal.request_resume(rotten.run_uid)
    with closing(sqlite3.connect(urlsplit(os.environ["HYBRIDLOOP_JOURNAL"]).path)) as connection, connection:
        connection.execute("UPDATE events SET kind = 'gone on' WHERE run_uid = ?", (damaged.run_uid,))
        connection.execute("UPDATE states SET reason = 'x' WHERE run_uid = ?", (rotten.run_uid,))
    became = call_flow(housekeeping, workspace)
    assert became.keys() == {"well", "other"}
    assert became["well"] == "converged"
    assert "settings that can't be read: optimizer must be the name of an optimizer, got 'of-a-" in became["other"]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_run_whose_target_is_down_is_parked_and_resumes_once_it_is_back(
    journal: Journal, start_emulator: Callable[..., Emulator], caplog: pytest.LogCaptureFixture
) -> None:
    service = start_emulator()
    workspace = service.workspace()
    waits: dict[str, Any] = {"on_target_down": "park", "target_down_wait_s": 0.2}
    service.admin("targets", {TARGET: {"availability": "Unavailable"}})
    result = call_flow(vqe, workspace, H2, VqeSettings.model_validate({"seed": 7, "failure": waits}), "waits")
    assert (result.status, result.jobs, result.sessions) == ("parked", 0, ())
    (said,) = [message for message in caplog.messages if "takes no jobs" in message]
    assert said == (
        f"{TARGET} takes no jobs at the moment; no session is opened meanwhile. The run waits for it, 0.2 s at "
        "most; if it is not back by then, it is parked, and housekeeping or `hybridloop runs resume` continues "
        "it. With --on-target-down wait it ends as failed then, with fail it does not wait, and "
        "--target-down-wait-s says how long."
    )
    assert result.reason.endswith("resumes it once its target is back.")
    assert call_flow(housekeeping, workspace) == {}
    service.admin("targets", {TARGET: {"availability": "Available"}})
    assert call_flow(housekeeping, workspace) == {"waits": "converged"}


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_old_runs_are_deleted_as_the_settings_say(journal: Journal, emulator: Emulator) -> None:
    workspace = emulator.workspace()
    settings = VqeSettings(seed=7, target="ionq.simulator")
    call_flow(vqe, workspace, H2, settings, "kept")
    assert call_flow(housekeeping, workspace, HousekeepingSettings(forget_after=1e6)) == {}
    record: RunRecord = journal.run("kept")
    assert list(journal.rounds(record.uid))
    call_flow(housekeeping, workspace, HousekeepingSettings(forget_after=1e-6))
    assert list(journal.rounds(record.uid)) == []
    with pytest.raises(InputError, match="pruned to its result"):
        verify_run(load_run(journal, "kept"))
    again = call_flow(vqe, workspace, H2, settings, "kept")
    assert record.result is not None
    assert again.value == record.result["value"]
    call_flow(housekeeping, workspace, HousekeepingSettings(forget_after=1e-6, keep_results=False))
    assert journal.runs() == []
