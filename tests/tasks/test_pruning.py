"""Pruning of a run cancels its jobs in flight, which would be paid without being used."""

from __future__ import annotations

import dataclasses
import time

import pytest
from azure.quantum import Workspace

from hybridloop.azure.retry import ATTEMPTS_IN_RUN
from hybridloop.azure.workspace import identity_of
from hybridloop.errors import RunParked
from hybridloop.journal import Journal, Owner
from hybridloop.journal.held_run import hold_run
from hybridloop.settings.session_options import SessionOptions
from hybridloop.tasks.orphans import close_orphaned_sessions
from hybridloop.tasks.pruning import PruningResult, prune_runs
from tests.conftest import Emulator
from tests.long_form import long_only
from tests.session_helpers import open_run_session
from tests.tasks.test_orphans import begin
from tests.tasks.test_session_closing import ones

pytestmark = pytest.mark.usefixtures("job_per_point")

TARGET = "rigetti.sim.qvm"


@pytest.fixture
def busy(emulator: Emulator) -> Emulator:
    """Return the service, with a queue that takes an hour."""
    emulator.admin("targets", {TARGET: {"queue_s": 3600}})
    return emulator


def park(journal: Journal, key: str, workspace: Workspace) -> str:
    uid = begin(journal, key, {"workspace": identity_of(workspace)})
    with pytest.raises(RunParked), hold_run(journal, uid) as run:
        with open_run_session(workspace, TARGET, SessionOptions(detach_after_s=0.5), run=run) as session:
            session.run_round([ones()] * 3)
    with hold_run(journal, uid) as run:
        journal.set_status(run.lease, "parked", "")
    return uid


def forgotten(journal: Journal, workspace: Workspace) -> PruningResult:
    return prune_runs(journal, lambda: workspace, given_up_before=time.time() + 1)


def statuses(workspace: Workspace) -> list[str]:
    return sorted(job.details.status for job in workspace.list_jobs())


def test_jobs_in_flight_are_cancelled_before_a_run_is_deleted(journal: Journal, busy: Emulator) -> None:
    workspace = busy.workspace()
    park(journal, "forgotten", workspace)
    assert statuses(workspace) == ["Waiting"] * 3
    done = forgotten(journal, workspace)
    assert (done.runs, done.cancelled_jobs, done.kept) == (1, 3, {})
    assert statuses(workspace) == ["Cancelled"] * 3
    assert journal.runs() == []


def test_a_run_whose_jobs_cannot_be_reached_is_kept(journal: Journal, busy: Emulator) -> None:
    there = busy.workspace()
    park(journal, "there", there)
    done = forgotten(journal, busy.workspace())
    assert (done.runs, done.kept) == (0, {"there": "its jobs are in another workspace"})
    busy.admin("faults", {"rules": [{"fault": "unauthorized", "operation": "get-job"}]})
    done = forgotten(journal, there)
    assert done.runs == 0
    assert "looking for a job" in done.kept["there"]
    assert [run.key for run in journal.runs()] == ["there"]


def test_a_run_that_is_resumed_meanwhile_keeps_its_jobs(journal: Journal, busy: Emulator) -> None:
    workspace = busy.workspace()
    uid = park(journal, "taken", workspace)

    def taken_meanwhile() -> Workspace:
        journal.take_lease(uid)
        return workspace

    done = prune_runs(journal, taken_meanwhile, given_up_before=time.time() + 1)
    assert (done.runs, done.kept) == (0, {"taken": "it is being resumed"})
    assert statuses(workspace) == ["Waiting"] * 3


def test_a_run_that_is_held_or_whose_process_died_is_kept_and_named(journal: Journal, busy: Emulator) -> None:
    journal.set_status(journal.take_lease(begin(journal, "held", {})), "running", "")
    dead = dataclasses.replace(Owner.of_this_process(), started_at=1.0)
    lease = journal.take_lease(begin(journal, "dead", {}), owner=dead)
    journal.set_status(lease, "running", "")
    done = forgotten(journal, busy.workspace())
    assert (done.runs, sorted(done.kept)) == (0, ["dead", "held"])
    assert done.kept["held"].endswith(" works on it")
    assert done.kept["dead"].endswith("it is deleted after: hybridloop sessions close-orphans")
    close_orphaned_sessions(journal, busy.workspace())
    assert forgotten(journal, busy.workspace()).runs == 1


@long_only  # a call to an unreachable service takes a while
def test_an_unreachable_service_is_called_for_one_run_only(journal: Journal, busy: Emulator) -> None:
    workspace = busy.workspace()
    keys = {"one", "two"}
    for key in keys:
        park(journal, key, workspace)
    busy.admin("faults", {"rules": [{"fault": "error", "status": 503, "operation": "get-job"}]})
    done = forgotten(journal, workspace)
    assert (done.runs, set(done.kept)) == (0, keys)
    assert busy.admin("faults/log")["injected"] == ATTEMPTS_IN_RUN


def test_no_workspace_is_opened_if_nothing_is_in_flight(journal: Journal) -> None:
    journal.release(journal.take_lease(begin(journal, "early", {})))

    def unasked() -> None:
        raise AssertionError("asked for")

    done = prune_runs(journal, unasked, given_up_before=time.time() + 1)
    assert (done.runs, done.kept) == (1, {})
    assert prune_runs(journal, unasked, ended_before=time.time() + 1).runs == 0
