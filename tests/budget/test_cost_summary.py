"""Cost summary: while jobs run, after all bills, from the journal alone, and compared with the emulator's ledger."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.budget.caps import Caps
from hybridloop.budget.cost_summary import NO_COST, CostSummary, summarize_charges
from hybridloop.journal import Charge, Journal
from hybridloop.journal.held_run import hold_run, new_run
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import find_target
from tests.conftest import Emulator
from tests.session_helpers import open_run_session

EMULATED, MACHINE = "quantinuum.sim.h2-1e", "rigetti.qpu.cepheus-1-108q"


def pubs(shots: int = 100) -> list[SamplerPub]:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return [SamplerPub.coerce((circuit, None, shots))] * 2


# One gate, one between qubits, two preparations and two measurements: 5 + 100 (1 + 10 + 20) / 5000 credits
CREDITS = 5.62


@pytest.mark.claim("applies the published prices")
def test_jobs_are_billed_as_estimated_and_a_resumed_run_continues_its_summary(
    emulator: Emulator, tmp_path: Path
) -> None:
    uid, workspace = str(uuid.uuid4()), emulator.workspace()
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        journal.add_run(new_run(uid, key=uid, algorithm="x", problem="", target=EMULATED, seed=1))
        with hold_run(journal, uid) as run, open_run_session(workspace, EMULATED, run=run) as session:
            assert session.meter == NO_COST
            round_ = session.rounds.start(pubs())
            in_flight = session.meter
            session.rounds.collect(round_)
            first = session.meter
        assert (in_flight.jobs, in_flight.shots) == (2, 200)
        assert in_flight.estimated == {"eHQC": pytest.approx(2 * CREDITS)}
        assert in_flight.amounts["eHQC"] == pytest.approx(2 * CREDITS, abs=0.02)
        assert first == CostSummary(2, 200, in_flight.estimated, {}, first.billed)
        assert first.billed == {"eHQC": pytest.approx(2 * CREDITS)}
        with hold_run(journal, uid) as run, open_run_session(workspace, EMULATED, run=run) as session:
            assert session.meter == first  # before any round is replayed
            session.run_round(pubs())
            assert session.meter == first
            session.run_round(pubs())
            assert session.meter.billed == {"eHQC": pytest.approx(4 * CREDITS)}
        assert summarize_charges(journal.charges(uid), find_target(EMULATED)) == session.meter
    ledger = emulator.admin(f"ledger?run={uid}")
    assert (ledger["jobs"], ledger["shots"]) == (session.meter.jobs, session.meter.shots)
    assert sum(entry["price"] for entry in ledger["entries"]) == pytest.approx(session.meter.billed["eHQC"])


def test_a_price_without_upper_bound_reserves_the_cap_per_job_and_estimates_the_expected_price(
    emulator: Emulator,
) -> None:
    caps = Caps(max_cost={"USD": 20.0}, max_cost_per_job={"USD": 5.0})
    with open_run_session(emulator.workspace(), MACHINE, SessionOptions(caps=caps)) as session:
        round_ = session.rounds.start(pubs())
        assert session.meter.estimated == {"USD": pytest.approx(0.08)}  # a hundred shots are two started steps
        assert session.meter.amounts["USD"] <= 10.0 + 1e-9
        session.rounds.collect(round_)
    assert session.meter == CostSummary(2, 200, session.meter.estimated, {}, session.meter.billed)
    assert session.meter.billed == {"USD": pytest.approx(0.08)}


def test_a_job_without_a_bill_stays_reserved() -> None:
    charges = [
        Charge(100, {"USD": 5.0}, None),
        Charge(50, {"USD": 5.0}, {"USD": 0.02}),
        Charge(1, {"USD": 1.0}, None, may_be_unsent=True),
    ]
    summary = summarize_charges(charges, find_target(MACHINE))
    assert (summary.jobs, summary.shots) == (3, 151)
    assert summary.estimated == {"USD": pytest.approx(0.04 + 0.02)}
    assert summary.reserved == {"USD": pytest.approx(6.0)}
    assert summary.billed == {"USD": pytest.approx(0.02)}
    assert summary.amounts == {"USD": pytest.approx(6.02)}
