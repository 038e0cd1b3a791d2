"""A process whose run was taken over leaves the state of its flow run as the new owner or housekeeping has set it."""

from __future__ import annotations

import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import Abort
from prefect.flow_engine import run_flow
from prefect.runtime import flow_run as running
from prefect.states import Crashed

from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import LeaseLost
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.in_prefect.takeover import is_changed, leave_state_after_takeover
from hybridloop.flows.rescue.dead_flow_runs import mark_dead_flow_runs
from hybridloop.journal import LEASE_S, Journal, RunRecord, journal_url
from hybridloop.journal.held_run import hold_run, new_run
from hybridloop.local_stack import PrefectServer
from hybridloop.settings import ProblemText
from tests.chaos.process_helpers import is_locked
from tests.deployments.worker_helpers import Place, place_for
from tests.flow_calls import call_flow, flow_in
from tests.prefect_server import prefect_client
from tests.waiting import PATIENCE_S, eventually

SEED = 7
WAYS = ("another-flow-run", "same-flow-run")
LATER_S = 2 * LEASE_S  # when the lease of a process that stands still has expired


@pytest.fixture
def client(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with prefect_client(prefect_server) as connected:
        yield connected


OURS = FlowRun(flow_id=uuid.uuid4(), run_count=1, state_type=StateType.RUNNING)


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        (None, True),  # the server is away
        (OURS, False),
        (OURS.model_copy(update={"state_type": StateType.CANCELLING}), False),
        (OURS.model_copy(update={"state_type": StateType.CRASHED}), True),
        (OURS.model_copy(update={"run_count": 2}), True),
    ],
)
def test_a_flow_run_counts_as_changed_unless_it_is_known_to_be_as_left(
    now: FlowRun | None,
    changed: bool,  # noqa: FBT001
) -> None:
    assert is_changed(OURS, now) == changed


LOST, BROKEN = LeaseLost("k", "somebody"), ValueError("connection broken by the sleep")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "is_taken", "is_marked", "raised", "state"),
    [
        (LOST, True, True, Abort, "Crashed"),
        (BROKEN, True, True, Abort, "Crashed"),
        (LOST, True, False, LeaseLost, "Failed"),
        (BROKEN, True, False, LeaseLost, "Failed"),
        (BROKEN, False, False, ValueError, "Failed"),
    ],
)
def test_the_state_is_left_if_another_has_set_it(
    error: Exception,
    is_taken: bool,  # noqa: FBT001
    is_marked: bool,  # noqa: FBT001
    raised: type[BaseException],
    state: str,
    journal: Journal,
    client: SyncPrefectClient,
) -> None:
    uid, ids = str(uuid.uuid4()), list[UUID]()
    journal.add_run(new_run(uid, key=uid, algorithm="session", problem="", target="rigetti.sim.qvm", seed=1))

    @flow(name="taken-over", persist_result=False)
    def body() -> None:
        ids.append(UUID(str(running.id)))
        with hold_run(journal, uid) as run, leave_state_after_takeover(run):
            if is_taken:
                journal.take_lease(uid, now=time.time() + LATER_S)
            if is_marked:
                client.set_flow_run_state(ids[0], Crashed(message="by housekeeping"))
            raise error

    with pytest.raises(raised):
        body()
    assert state_of(client, ids[0]).name == state


def state_of(client: SyncPrefectClient, flow_run_id: UUID) -> State[Any]:
    state = client.read_flow_run(flow_run_id).state
    assert state is not None
    return state


@dataclass(frozen=True, slots=True)
class StoppedRun:
    """A run whose process was stopped while it had jobs in flight, with its flow run that housekeeping has marked."""

    process: subprocess.Popen[str]
    record: RunRecord
    flow_run: FlowRun


@pytest.fixture(scope="module")
def place(prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_for(prefect_server, uuid.uuid4(), tmp_path_factory.mktemp("takeover")) as held:
        yield held


@pytest.fixture(scope="module")
def stopped(place: Place) -> Iterator[dict[str, StoppedRun]]:
    """Start a run for each way of a takeover, stop their processes, and let housekeeping find them dead."""
    place.slow_down(2)
    options = ("--ansatz", "uccsd", "--seed", str(SEED), "--quiet")
    processes = {way: place.at.shell.start("run", "vqe", "h2", "--run-key", way, *options) for way in WAYS}
    try:
        for way, process in processes.items():
            eventually(lambda way=way: has_jobs_in_flight(place.journal, way), poll_s=0.01)  # type: ignore[misc]
            halt(process, journal_file(place))
        place.slow_down(0)
        marked = mark_dead_flow_runs(place.journal, place.client, now=time.time() + LATER_S)
        assert marked == dict.fromkeys(WAYS, "crashed")
        records = {way: place.journal.run(way) for way in WAYS}
        for record in records.values():  # the leases, which expire within a minute, end now
            place.journal.release(place.journal.take_lease(record.uid, now=time.time() + LATER_S))
        yield {
            way: StoppedRun(processes[way], record, place.client.read_flow_run(UUID(record.flow_run_id)))
            for way, record in records.items()
        }
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


def journal_file(place: Place) -> Path:
    return Path(place.at.shell.environ["HYBRIDLOOP_HOME"]) / "journal.db"


def has_jobs_in_flight(journal: Journal, key: str) -> bool:
    """True if the run of this key has measured a round and submitted the next one."""
    record = journal.run_by_key(key)
    rounds = [] if record is None else list(journal.rounds(record.uid))
    return len(rounds) > 1 and not rounds[-1].complete and all(job.state == "submitted" for job in rounds[-1].jobs)


def halt(process: subprocess.Popen[str], journal: Path) -> None:
    """Stop a process while it does not hold the journal's write lock."""

    def is_stopped_without_lock() -> bool:
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        if is_locked(journal):
            process.send_signal(signal.SIGCONT)
            return False
        return True

    eventually(is_stopped_without_lock)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_process_that_wakes_after_its_run_was_taken_over_leaves_the_state(
    way: str, place: Place, stopped: dict[str, StoppedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    was, states, messages = stopped[way], list[State[Any]](), list[str]()
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", journal_url(journal_file(place)))

    def wake(_: object) -> None:
        if not states:  # the new owner has measured its first round
            states.append(state_of(place.client, was.flow_run.id))
            was.process.send_signal(signal.SIGCONT)
            _, text = was.process.communicate(timeout=PATIENCE_S)
            messages.append(text)
            states.append(state_of(place.client, was.flow_run.id))

    parameters: dict[str, Any] = {
        "problem": ProblemText(name="h2"),
        "settings": VqeSettings(ansatz="uccsd", seed=SEED),
        "run_key": way,
    }
    if way == "same-flow-run":
        in_place = flow_in(vqe, place.at.workspace, wake)
        result: Any = run_flow(in_place, flow_run=was.flow_run, parameters=parameters)
    else:
        result = call_flow(vqe, place.at.workspace, **parameters, on_progress=wake)
    before, after = states
    assert (before.id, before.name) == (after.id, "Running" if way == "same-flow-run" else "Crashed")
    assert "is no longer held by this process" in messages[0]
    assert was.process.returncode == 1
    expected = "Completed" if way == "same-flow-run" else "Crashed"
    assert (state_of(place.client, was.flow_run.id).name, result.status) == (expected, "converged")
    assert place.service.admin(f"ledger?run={was.record.uid}&top=1000")["duplicates"]["count"] == 0
