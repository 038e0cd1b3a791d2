"""Pings as jobs of a real local service: names, content, and their records in the journal."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.quantum import Workspace

from hybridloop.azure.job_document import job_document
from hybridloop.azure.signed_request import SignedRequest
from hybridloop.azure.targets import find_target, known_targets
from hybridloop.azure.transport import Transport
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.errors import LeaseLost, ServiceUnreachable, SessionEnded
from hybridloop.runtime.run_events import RunEvent, observed_by
from hybridloop.tasks.keepalive.pings import PREPARED, PingKey, ping_body
from hybridloop.tasks.keepalive.rules import IdleRule
from hybridloop.tasks.keepalive.standby import StandbyProcess
from hybridloop.tasks.keepalive.thread import KeepAliveThread
from tests.clock_helpers import ManualClock
from tests.conftest import SUBSCRIPTION, Emulator, running_emulator
from tests.tasks.keepalive.ping_helpers import PingedSession, RecordedPingLog, pinged_session
from tests.waiting import eventually

RUN = "3f0d3a57-64a1-4c5f-8f6b-3a9d5a1a7a01"
MINUTE = 60.0


@pytest.fixture(scope="module")
def all_available() -> Iterator[Emulator]:
    """Hold a service with all targets available: some are down by default."""
    with running_emulator() as service:
        service.admin("targets", {name: {"availability": "Available"} for name in known_targets()})
        yield service


@pytest.fixture
def session(emulator: Emulator) -> Iterator[PingedSession]:
    with pinged_session(emulator.workspace()) as opened:
        yield opened


def test_a_pings_id_name_and_place_follow_from_run_session_and_number() -> None:
    place = PingKey(RUN, 2, 7)
    assert place.id == str(uuid.uuid5(uuid.UUID(RUN), "session/2/ping/7"))
    assert place.name == "3f0d3a5764a1.ping.2.7"
    assert place.path == f"{RUN}/ping/2/7"


@pytest.mark.parametrize("target", sorted(known_targets()))
def test_every_target_accepts_a_ping_and_the_service_marks_it_as_one(all_available: Emulator, target: str) -> None:
    with pinged_session(all_available.workspace(), target=target) as session:
        pings = session.pings()
        pings.send()
        eventually(lambda: pings.settle() == 0)
        pings.close()
        (job,) = session.jobs()
        place = PingKey(session.run_uid, 0, 0)
        assert (job["id"], job["name"], job["status"]) == (place.id, place.name, "Succeeded")
        assert job["metadata"]["purpose"] == "keep-alive"
        assert job["metadata"]["place"] == place.path
        assert job["inputParams"]["shots"] == 1
        state, cost = session.written.ends[place.id]
        assert state == "done"
        assert cost == job["costEstimate"]


def test_pings_on_paid_ionq_targets_have_debias_off_for_the_lower_minimum_price() -> None:
    place = PingKey(RUN, 0, 0)
    assert ping_body(place, "s", find_target("ionq.qpu.aria-1"))["inputParams"]["error-mitigation"] == {"debias": False}
    assert "error-mitigation" not in ping_body(place, "s", find_target("ionq.simulator"))["inputParams"]


def test_a_ping_is_journaled_before_it_is_sent_and_not_sent_if_that_fails(session: PingedSession) -> None:
    session.written.refusal = SessionEnded("no", "", "")  # stands for any error of the journal or the budget
    pings = session.pings()
    with pytest.raises(SessionEnded):
        pings.send()
    pings.close()
    assert session.jobs() == []
    assert session.written.ends == {}


def test_a_process_that_lost_the_run_sends_no_prepared_ping(session: PingedSession) -> None:
    pings = session.pings(sign=session.sign)
    assert pings.prepare()
    session.written.refusal = LeaseLost(session.run_uid, "somebody")
    with pytest.raises(LeaseLost):
        pings.send()
    pings.close()
    assert session.jobs() == []


def test_a_partly_sent_ping_is_completed_under_the_same_number(session: PingedSession) -> None:
    class Stuck:
        def __getattr__(self, name: str) -> object:
            return getattr(session.service, name)

        def upload(self, container: str, data: bytes, data_format: str) -> None:
            session.service.upload(container, data, data_format)
            if not self.tries:
                self.tries.append(container)
                raise ServiceUnreachable("the connection broke", "", "")

        def __init__(self) -> None:
            self.tries: list[str] = []

    pings = session.pings()
    pings._service = Stuck()  # type: ignore[assignment]
    with pytest.raises(ServiceUnreachable):
        pings.send()
    pings.send()
    pings.close()
    assert session.written.intended == session.written.accepted == [PingKey(session.run_uid, 0, 0).id]


def test_a_resumed_session_continues_with_the_next_number_and_settles_earlier_pings(session: PingedSession) -> None:
    before = session.pings()
    before.send()  # accepted before the process died
    again = session.pings(first=2, unsettled=2)  # number 0 was accepted, number 1 was only journaled
    eventually(lambda: again.settle() == 0)
    again.send()
    eventually(lambda: again.settle() == 0)
    ids = [PingKey(session.run_uid, 0, n).id for n in range(3)]
    assert [session.written.ends[key][0] for key in ids] == ["done", "lost", "done"]
    assert session.written.ends[ids[1]][1] == {}
    assert [job["id"] for job in session.jobs()] == [ids[0], ids[2]]


def test_34_virtual_minutes_take_three_marked_pings_at_525_1050_and_1575_s_and_the_session_lives(
    azure_quantum_emulator: Emulator,
) -> None:
    service = azure_quantum_emulator
    clock = ServiceClock(service.endpoint, service.admin_key)
    with clock, pinged_session(service.workspace(), clock=clock) as session:
        pings = session.pings()
        keeper = KeepAliveThread(clock, IdleRule.RECORDED, session.activity(), pings)
        clock.wait(threading.Event(), 34 * MINUTE)
        keeper.stop()
        pings.close()
        after = [datetime.fromisoformat(job["creationTime"]).timestamp() - session.opened_at for job in session.jobs()]
        assert after == pytest.approx([525.0, 1050.0, 1575.0], abs=0.5)
        assert session.status() == "Executing"


class Token:
    """Credential that returns bearer tokens, as those of Azure do."""

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        assert scopes
        return AccessToken("canary-token", 4102444800)


def workspace_with(credential: object) -> Workspace:
    return Workspace(
        subscription_id=SUBSCRIPTION,
        resource_group="tests",
        name="ws",
        location="eastus",
        credential=credential,
        user_agent="hybridloop",
        _quantum_endpoint="https://eastus.quantum.azure.com/",
    )


@pytest.mark.parametrize(
    ("credential", "header", "value"),
    [
        (AzureKeyCredential("canary-key"), "x-ms-quantum-api-key", "canary-key"),
        (Token(), "authorization", "Bearer canary-token"),
    ],
)
def test_a_prepared_request_is_signed_as_by_the_sdk_and_its_repr_hides_secrets(
    credential: object, header: str, value: str
) -> None:
    document = job_document("https://store/job-x?sig=canary-sig", {"name": "x"})
    request = Transport(workspace_with(credential)).sign("PUT", "/jobs/some-id", document)
    assert request.url.startswith("https://eastus.quantum.azure.com/subscriptions/")
    assert "/workspaces/ws/jobs/some-id?api-version=" in request.url
    headers = {name.lower(): text for name, text in request.headers.items()}
    assert headers[header] == value
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("hybridloop")
    assert b'"name"' in request.body
    assert "canary" not in repr(request)


class RecordedStandby(StandbyProcess):
    """Stand-in for the standby process that records its calls."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self._told = told

    def arm(self, after_s: Mapping[str, float]) -> None:
        self._told.append(f"not before {min(after_s.values(), default=0.0):.0f} s")

    def forget(self, key: str) -> None:
        self._told.append("forget")


def test_the_standby_waits_while_this_process_sends_and_forgets_sent_pings(session: PingedSession) -> None:
    told: list[str] = []

    class RecordedPing:
        def __getattr__(self, name: str) -> object:
            return getattr(session.service, name)

        def submit(self, job_id: str, container: str, body: Mapping[str, Any]) -> None:
            told.append("submit")
            session.service.submit(job_id, container, body)

    pings = session.pings(sign=session.sign)
    pings._standby_process = RecordedStandby(told)
    pings._service = RecordedPing()  # type: ignore[assignment]
    pings.prepare()
    pings.send()
    pings.close()
    assert told == ["not before 30 s", "submit", "forget"]


def test_a_ping_that_the_standby_sent_is_reported_with_its_own_time(session: PingedSession) -> None:
    seen: list[RunEvent] = []
    pings = session.pings(sign=session.sign)
    with observed_by(seen.append):
        assert pings.prepare()
        due = session.clock.now()
        pings.postpone(due)
        eventually(lambda: bool(pings.sent()))
        known = session.clock.now()
    pings.close()
    (event,) = (each for each in seen if each.kind == "ping.sent")
    assert event.facts["by"] == "standby process"
    assert event.facts["session"] == session.id
    assert due - 0.1 <= event.began_at == event.ended_at <= known


def test_prepared_requests_are_signed_again_before_a_token_in_them_ends(session: PingedSession) -> None:
    signed: list[str] = []
    clock = ManualClock()

    def sign(job_id: str, document: Mapping[str, Any]) -> SignedRequest:
        signed.append(job_id)
        return session.sign(job_id, document)

    pings = replace(session, clock=clock).pings(sign=sign)
    while pings.prepare():
        pass
    assert signed == session.written.intended
    clock.time += 599.0
    assert not pings.prepare()
    clock.time += 1.0
    while pings.prepare():
        pass
    assert signed == session.written.intended * 2
    pings.close()


def test_an_accepted_ping_counts_although_its_record_fails(session: PingedSession) -> None:
    class Forgetful(RecordedPingLog):
        def submitted(self, key: PingKey) -> None:
            raise LeaseLost(key.run_uid, "somebody")

    written = Forgetful()
    pings = replace(session, written=written).pings()
    pings.send()
    eventually(lambda: pings.settle() == 0)
    assert [state for state, _ in written.ends.values()] == ["done"]


def test_pings_for_an_hour_are_prepared_and_unused_ones_cost_nothing(session: PingedSession) -> None:
    pings = session.pings(sign=session.sign)
    while pings.prepare():
        pass
    assert len(session.written.intended) == PREPARED
    pings.send()  # a prepared ping is used first
    assert pings.prepare()  # and replaced
    assert not pings.prepare()
    eventually(lambda: pings.settle() == 0)
    pings.close()
    (job,) = session.jobs()
    assert job["id"] == session.written.intended[0]
    assert [state for state, _ in session.written.ends.values()] == ["done"] + ["lost"] * PREPARED


def test_a_prepared_ping_that_a_killed_standby_never_sent_is_lost(session: PingedSession) -> None:
    pings = session.pings(sign=session.sign)
    assert pings.prepare()
    assert pings.prepare()
    standby = pings._standby_process
    assert standby.pid is not None
    os.kill(standby.pid, signal.SIGSTOP)
    while standby.is_there:  # until the pipe is full
        pings.postpone(session.clock.now() + MINUTE)
    pings.close()
    assert [session.written.ends[key] for key in session.written.intended] == [("lost", {})] * 2


def test_a_ping_that_is_prepared_while_the_session_closes_has_an_end(
    session: PingedSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    pings, intend = session.pings(sign=session.sign), RecordedPingLog.intend

    def close_first(log: RecordedPingLog, key: PingKey) -> None:
        pings.close()
        intend(log, key)

    monkeypatch.setattr(RecordedPingLog, "intend", close_first)
    pings.prepare()
    assert session.written.ends.keys() == set(session.written.intended)
