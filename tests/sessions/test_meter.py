"""The running meter: against the service's books while jobs run, when all is billed, and from the journal alone."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.sessions.budget import Caps
from hybridloop.sessions.journal import Charge, Journal
from hybridloop.sessions.meter import NOTHING, Meter, meter_of
from hybridloop.sessions.run import claimed, new_run
from hybridloop.sessions.session import open_session
from hybridloop.sessions.targets import find_target
from tests.conftest import Emulator

EMULATED, MACHINE = "quantinuum.sim.h2-1e", "rigetti.qpu.cepheus-1-36q"


def pubs(shots: int = 100) -> list[SamplerPub]:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return [SamplerPub.coerce((circuit, None, shots))] * 2


# One gate, one between qubits, two preparations and two measurements: 5 + 100 (1 + 10 + 20) / 5000 credits
CREDITS = 5.62


def test_what_is_estimated_is_billed_and_a_resumed_run_goes_on_counting(emulator: Emulator, tmp_path: Path) -> None:
    uid, workspace = str(uuid.uuid4()), emulator.workspace()
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        journal.add_run(new_run(uid, key=uid, algorithm="x", problem="", target=EMULATED, seed=1))
        with claimed(journal, uid) as run, open_session(workspace, EMULATED, run=run) as session:
            assert session.meter == NOTHING
            round_ = session.start_round(pubs())
            under_way = session.meter
            session.collect(round_)
            first = session.meter
        assert (under_way.jobs, under_way.shots) == (2, 200)
        assert under_way.estimated == {"eHQC": pytest.approx(2 * CREDITS)}
        assert under_way.amounts["eHQC"] == pytest.approx(2 * CREDITS, abs=0.02)
        assert first == Meter(2, 200, under_way.estimated, {}, first.billed)
        assert first.billed == {"eHQC": pytest.approx(2 * CREDITS)}
        with claimed(journal, uid) as run, open_session(workspace, EMULATED, run=run) as session:
            assert session.meter == first  # before anything is gone through again
            session.run_round(pubs())
            assert session.meter == first
            session.run_round(pubs())
            assert session.meter.billed == {"eHQC": pytest.approx(4 * CREDITS)}
        assert meter_of(journal.charges(uid), find_target(EMULATED)) == session.meter
    books = emulator.admin(f"ledger?run={uid}")
    assert (books["jobs"], books["shots"]) == (session.meter.jobs, session.meter.shots)
    assert sum(entry["price"] for entry in books["entries"]) == pytest.approx(session.meter.billed["eHQC"])


def test_where_a_price_has_no_bound_the_stated_one_is_set_aside_and_the_likely_one_estimated(
    emulator: Emulator,
) -> None:
    caps = Caps(max_cost="20USD", max_cost_per_job="5USD")
    with open_session(emulator.workspace(), MACHINE, caps=caps) as session:
        round_ = session.start_round(pubs())
        assert session.meter.estimated == {"USD": pytest.approx(0.08)}  # a hundred shots are two started steps
        assert session.meter.amounts["USD"] <= 10.0 + 1e-9
        session.collect(round_)
    assert session.meter == Meter(2, 200, session.meter.estimated, {}, session.meter.billed)
    assert session.meter.billed == {"USD": pytest.approx(0.08)}


def test_of_a_job_without_a_bill_what_was_set_aside_stays_so() -> None:
    charges = [
        Charge(100, {"USD": 5.0}, None),
        Charge(50, {"USD": 5.0}, {"USD": 0.02}),
        Charge(1, {"USD": 1.0}, None, may_be_unsent=True),
    ]
    meter = meter_of(charges, find_target(MACHINE))
    assert (meter.jobs, meter.shots) == (3, 151)
    assert meter.estimated == {"USD": pytest.approx(0.04 + 0.02)}
    assert meter.reserved == {"USD": pytest.approx(6.0)}
    assert meter.billed == {"USD": pytest.approx(0.02)}
    assert meter.amounts == {"USD": pytest.approx(6.02)}
