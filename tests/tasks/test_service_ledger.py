"""The service's ledger of our sessions: every job once, at its place."""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.tasks.session import open_run_session
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey
from tests.conftest import Emulator


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
