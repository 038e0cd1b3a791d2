"""Pings as jobs of a real local service: names, content, and their records in the journal."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from hybridloop.azure.job_document import billed_amounts
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.errors import HybridloopError, LeaseLost
from hybridloop.journal import Journal
from hybridloop.targets import find_target, known_targets
from hybridloop.tasks.keepalive.pings import PingKey, ping_body
from tests.conftest import Emulator, running_emulator
from tests.tasks.keepalive.ping_helpers import PingedSession, pinged_session
from tests.waiting import eventually

RUN = "3f0d3a57-64a1-4c5f-8f6b-3a9d5a1a7a01"
REFUSED_ONCE = {"rules": [{"fault": "error", "status": 400, "operation": "upload", "times": 1}]}


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
        place = PingKey(session.run.uid, 0, 0)
        assert (job["id"], job["name"], job["status"]) == (place.id, place.name, "Succeeded")
        assert job["metadata"]["purpose"] == "keep-alive"
        assert job["metadata"]["place"] == place.path
        assert job["inputParams"]["shots"] == 1
        (recorded,) = session.recorded()
        assert (recorded.state, recorded.billed) == ("done", billed_amounts(job["costEstimate"]))


def test_pings_on_paid_ionq_targets_have_debias_off_for_the_lower_minimum_price() -> None:
    place = PingKey(RUN, 0, 0)
    assert ping_body(place, "s", find_target("ionq.qpu.aria-1"))["inputParams"]["error-mitigation"] == {"debias": False}
    assert "error-mitigation" not in ping_body(place, "s", find_target("ionq.simulator"))["inputParams"]


def test_a_ping_that_can_not_be_journaled_is_not_sent(session: PingedSession) -> None:
    pings = session.pings()
    lose_the_run(session)
    with pytest.raises(LeaseLost):
        pings.send()
    pings.close()
    assert (session.jobs(), session.states()) == ([], [])


def lose_the_run(session: PingedSession) -> None:
    """Let another process claim the run."""
    session.run.journal.release(session.run.lease)
    session.run.journal.take_lease(session.run.uid)


def test_a_partly_sent_ping_is_completed_under_the_same_number(emulator: Emulator, session: PingedSession) -> None:
    emulator.admin("faults", REFUSED_ONCE)
    pings = session.pings()
    with pytest.raises(HybridloopError):
        pings.send()
    assert pings.settle() == 0  # it is not given up
    assert session.states() == ["intended"]
    pings.send()
    eventually(lambda: pings.settle() == 0)
    assert [job["id"] for job in session.jobs()] == [PingKey(session.run.uid, 0, 0).id]
    assert session.states() == ["done"]


def test_a_process_that_lost_the_run_does_not_complete_a_ping(emulator: Emulator, session: PingedSession) -> None:
    emulator.admin("faults", REFUSED_ONCE)
    pings = session.pings()
    with pytest.raises(HybridloopError):
        pings.send()
    lose_the_run(session)
    with pytest.raises(LeaseLost):
        pings.send()
    assert session.jobs() == []


def test_a_partly_sent_ping_is_lost_at_the_close(emulator: Emulator, session: PingedSession) -> None:
    emulator.admin("faults", REFUSED_ONCE)
    pings = session.pings()
    with pytest.raises(HybridloopError):
        pings.send()
    pings.close()
    (recorded,) = session.recorded()
    assert (recorded.state, recorded.billed) == ("lost", {"USD": 0.0})


def test_a_ping_that_arrived_although_no_answer_came_is_billed_at_the_close(azure_quantum_emulator: Emulator) -> None:
    service = azure_quantum_emulator
    faults = [
        {"fault": "reset-after-commit", "operation": "submit"},
        {"fault": "error", "status": 503, "operation": "get-job"},
    ]
    with (
        ServiceClock(service.endpoint, service.admin_key) as clock,
        pinged_session(service.workspace(), clock=clock) as session,
    ):
        pings = session.pings()
        service.admin("faults", {"rules": faults})
        with pytest.raises(HybridloopError):
            pings.send()
        service.admin("faults", {"rules": []})
        pings.close()
        assert session.states() == ["done"]


def test_an_accepted_ping_counts_although_its_record_fails(
    session: PingedSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LeaseLost(session.run.uid, "somebody")

    pings = session.pings()
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "end_ping", fail)
        pings.send()
    assert session.states() == ["intended"]
    eventually(lambda: pings.settle() == 0)
    assert session.states() == ["done"]
