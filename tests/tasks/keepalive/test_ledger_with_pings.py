"""The service's ledger of our sessions: every job once, at its place."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pytest
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.budget.caps import Caps
from hybridloop.errors import CapReached
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.claimed_run import claim_run, new_run
from hybridloop.runtime.clock import RealClock
from hybridloop.tasks.keepalive.pings import PREPARED
from hybridloop.tasks.session import open_run_session
from hybridloop.tasks.session_options import SessionOptions
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey
from tests.conftest import Emulator
from tests.waiting import eventually

TARGET = "rigetti.sim.qvm"
QUICKER = 20.0


class QuickClock(RealClock):
    """Clock on which real time passes faster, for waits that do not involve the service."""

    def now(self) -> float:
        return super().now() * QUICKER

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return super().wait(event, seconds / QUICKER)


def test_the_ledger_has_each_job_of_a_run_once_under_its_place_with_its_price(emulator: Emulator) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    with open_run_session(emulator.workspace(), "quantinuum.sim.h2-1e", seed=7) as session:
        for shots in (50, 100):
            session.run_round([SamplerPub.coerce((circuit, None, shots))])
    run = session.run_uid
    books = emulator.admin(f"ledger?run={run}")
    places = [JobKey(RoundKey(run, "main", number), 0, 0, 0) for number in range(2)]
    assert [(entry["job"], entry["place"], entry["attempt"]) for entry in books["entries"]] == [
        (place.job_id(0), place.path, "0") for place in places
    ]
    assert books["duplicates"]["count"] == 0
    # one gate, two preparations and two measurements: 5 + shots·(1 + 5·4)/5000 = 5.21 and 5.42
    assert [entry["price"] for entry in books["entries"]] == [5.21, 5.42]
    (of_session,) = books["sessions"]
    assert (of_session["id"], of_session["jobs"], of_session["money"]) == (session.id, 2, {"eHQC": 10.63})


def test_a_run_takes_exactly_the_jobs_of_its_cap_although_pings_are_prepared(
    emulator: Emulator, tmp_path: Path
) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    pub, uid = SamplerPub.coerce((circuit, None, 10)), str(uuid.uuid4())
    with Journal(journal_url(tmp_path / "journal.db")) as journal:
        journal.add_run(new_run(uid, key=uid, algorithm="x", problem="", target=TARGET, seed=1))
        with (
            claim_run(journal, uid) as run,
            open_run_session(
                emulator.workspace(),
                options=SessionOptions(caps=Caps(max_jobs=PREPARED + 2)),
                run=run,
                clock=QuickClock(),
            ) as session,
        ):
            session.run_round([pub])
            eventually(lambda: len(journal.pings(uid)) == PREPARED)
            for _ in range(PREPARED + 1):
                session.run_round([pub])
            with pytest.raises(CapReached):
                session.run_round([pub])
    books = emulator.admin(f"ledger?run={uid}")
    assert (books["jobs"], books["duplicates"]["count"]) == (PREPARED + 2, 0)
