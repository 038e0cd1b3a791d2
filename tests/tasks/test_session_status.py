"""Snapshot of a session: remaining idle time, jobs and spending by the service's clock."""

from __future__ import annotations

import threading

import pytest

from hybridloop.budget.caps import Caps
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.settings.failure_policy import FailurePolicy, OnLostJob
from hybridloop.settings.keep_alive import IDLE_LIMIT_S, KeepAliveMode, KeepAliveSettings
from hybridloop.settings.session_options import SessionOptions
from tests.conftest import Emulator
from tests.session_helpers import open_run_session
from tests.tasks.test_session_closing import ones

pytestmark = pytest.mark.usefixtures("job_per_point")


def wait(clock: ServiceClock, seconds: float) -> None:
    clock.wait(threading.Event(), seconds)


def test_an_idle_session_has_the_seconds_until_its_timeout(service: Emulator, clock: ServiceClock) -> None:
    workspace = service.workspace()
    with open_run_session(
        workspace, options=SessionOptions(keep_alive=KeepAliveSettings(KeepAliveMode.OFF)), clock=clock
    ) as session:
        assert session.snapshot.idle_left_s == pytest.approx(IDLE_LIMIT_S, abs=1.0)
        wait(clock, 590.0)
        assert session.snapshot.idle_left_s == pytest.approx(10.0, abs=1.0)
        assert workspace.get_session(session.id).details.status == "Waiting"
        wait(clock, 130.0)  # the service checks every two minutes
        assert session.snapshot.idle_left_s == 0.0
        assert workspace.get_session(session.id).details.status == "TimedOut"


def test_jobs_and_their_spending_are_counted_as_they_end(service: Emulator, clock: ServiceClock) -> None:
    caps = Caps(max_jobs=50, max_cost={"USD": 1000.0}, deadline_s=3600.0)
    with open_run_session(service.workspace(), "ionq.qpu.forte-1", SessionOptions(caps=caps), clock=clock) as session:
        before = session.snapshot
        assert (before.in_flight, before.done, before.sessions, before.session_status) == (0, 0, 1, "Waiting")
        assert before.left_s == pytest.approx(3600.0, abs=1.0)
        round_ = session.rounds.start([ones(), ones(20)])
        during = session.snapshot
        assert during.in_flight + during.done == 2
        assert during.meter.jobs == 2
        assert sum(during.meter.amounts.values()) > 0
        session.rounds.collect(round_)
        after = session.snapshot
    assert (after.in_flight, after.done, after.lost, after.session_status) == (0, 2, 0, "Executing")
    assert (after.meter.jobs, after.meter.shots, after.meter.reserved) == (2, 30, {})
    assert after.meter.billed == {"USD": pytest.approx(service_total(service, session.run_uid))}
    assert after.caps == caps
    assert after.idle_left_s == pytest.approx(IDLE_LIMIT_S, abs=30.0)  # from the observed end of the last job


def service_total(service: Emulator, run: str) -> float:
    account = service.admin(f"ledger?run={run}")
    return float(account["money"]["USD"])


def test_an_abandoned_job_counts_as_lost(service: Emulator, clock: ServiceClock) -> None:
    policy = FailurePolicy(retries=0, on_lost_job=OnLostJob.PENALIZE, penalty=1.0)
    service.admin("faults", {"rules": [{"fault": "job-fails", "times": 1}]})
    with open_run_session(service.workspace(), options=SessionOptions(failure=policy), clock=clock) as session:
        session.run_round([ones(), ones()])
        at = session.snapshot
    assert (at.in_flight, at.done, at.lost) == (0, 1, 1)
