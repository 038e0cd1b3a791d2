"""Jobs that somebody deletes at the service: each ends like a cancelled one, and a retry has another id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.errors import JobFailed
from hybridloop.journal import Journal
from hybridloop.journal.held_run import hold_run
from hybridloop.settings.failure_policy import FailurePolicy, OnLostJob
from hybridloop.settings.session_options import SessionOptions
from hybridloop.tasks.submission.round_in_flight import RoundInFlight
from tests.conftest import Died, Emulator, running_emulator
from tests.session_helpers import open_run_session
from tests.tasks.conftest import die
from tests.tasks.test_session_closing import ones

pytestmark = pytest.mark.usefixtures("job_per_point")

TARGET = "rigetti.sim.qvm"
POINTS = 3


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with running_emulator("--clock", "virtual", "--latency", "recorded") as running:
        yield running


def deleting(workspace: Any, at: str, patch: pytest.MonkeyPatch) -> list[str]:
    """Delete the first job that the service lists with this status; return a list that gets its id."""
    deleted: list[str] = []
    observe = RoundInFlight.observe

    def observed(self: RoundInFlight, listed: Mapping[str, Any]) -> None:
        if listed.get("status") == at and not deleted:
            deleted.append(listed["id"])
            workspace.delete_job(workspace.get_job(listed["id"]))
        observe(self, listed)

    patch.setattr(RoundInFlight, "observe", observed)
    return deleted


def entries(service: Emulator, uid: str) -> dict[str, str]:
    """Return the attempt of each accepted job, without pings."""
    books = service.admin(f"ledger?run={uid}")
    assert books["duplicates"]["count"] == 0
    return {entry["job"]: entry["attempt"] for entry in books["entries"] if "/ping/" not in entry["place"]}


@pytest.mark.parametrize("at", ["Waiting", "Executing"])
@pytest.mark.parametrize(
    "policy", [OnLostJob.FAIL, OnLostJob.SKIP, pytest.param(OnLostJob.PENALIZE, marks=pytest.mark.slow)]
)
def test_a_deleted_job_ends_as_the_policy_says_and_a_resume_sends_it_again(
    at: str, policy: OnLostJob, journal: Journal, uid: str, service: Emulator
) -> None:
    workspace = service.workspace()
    penalty = 1.0 if policy is OnLostJob.PENALIZE else None
    options = SessionOptions(failure=FailurePolicy(on_lost_job=policy, penalty=penalty))
    with pytest.MonkeyPatch.context() as patch, ServiceClock(service.endpoint, service.admin_key) as clock:
        deleted = deleting(workspace, at, patch)
        with hold_run(journal, uid) as run:
            began = clock.now()
            if policy is OnLostJob.FAIL:
                with (
                    pytest.raises(JobFailed, match="someone deleted it at the service"),
                    open_run_session(workspace, TARGET, options, run=run, clock=clock) as session,
                ):
                    session.run_round([ones()] * POINTS)
            else:
                with open_run_session(workspace, TARGET, options, run=run, clock=clock) as session:
                    measured = session.run_round([ones()] * POINTS)
                    assert len([pub for pub in measured if not hasattr(pub[0], "reason")]) >= POINTS - 1
            assert clock.now() - began < 600.0  # found within a minute, beside the jobs' own time
    (gone,) = deleted
    assert len(entries(service, uid)) == POINTS
    if policy is not OnLostJob.FAIL:
        return
    with (
        ServiceClock(service.endpoint, service.admin_key) as clock,
        hold_run(journal, uid) as run,
        open_run_session(workspace, TARGET, options, run=run, clock=clock) as session,
    ):
        assert len(session.run_round([ones()] * POINTS)) == POINTS
        assert session.rounds.budget.reserved.jobs == 0
    assert sorted(entries(service, uid).values()) == ["0"] * POINTS + ["1"]
    assert gone in entries(service, uid)


@pytest.mark.parametrize("later_s", [0.0, 3600.0], ids=["in the queue", "after the end"])
def test_a_job_that_is_deleted_after_a_kill_is_sent_again_by_the_resume(
    later_s: float, journal: Journal, uid: str, service: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = service.workspace()
    if not later_s:
        service.admin("targets", {TARGET: {"queue_s": 60}})
    with monkeypatch.context() as dying, ServiceClock(service.endpoint, service.admin_key) as clock:
        dying.setattr(RoundInFlight, "result", die)
        dying.setattr("hybridloop.tasks.session_renewal.SessionRenewal.close", die)
        with (
            pytest.raises(Died),
            hold_run(journal, uid) as run,
            open_run_session(workspace, TARGET, run=run, clock=clock) as session,
        ):
            session.run_round([ones()] * POINTS)
    if later_s:
        service.advance(later_s)
    service.admin("targets", {TARGET: None})
    jobs = workspace.list_jobs()
    assert {job.details.status for job in jobs} == {"Succeeded" if later_s else "Waiting"}
    workspace.delete_job(jobs[0])
    with (
        ServiceClock(service.endpoint, service.admin_key) as clock,
        hold_run(journal, uid) as run,
        open_run_session(workspace, TARGET, run=run, clock=clock) as session,
    ):
        assert len(session.run_round([ones()] * POINTS)) == POINTS
    # one that has ended is paid, and its result is read from the storage
    found = entries(service, uid)
    assert sorted(found.values()) == ["0"] * POINTS + ["1"] * (not later_s)
    assert {job.id for job in jobs} <= found.keys()
