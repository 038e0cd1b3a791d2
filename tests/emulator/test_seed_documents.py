"""Code of Microsoft's two documents on sessions, with retired target names replaced by current ones.

`test_contract.py` has the states of their sessions.
"""

from __future__ import annotations

import pytest
from azure.quantum.job.session import Session
from azure.quantum.qiskit import AzureQuantumProvider
from qiskit import QuantumCircuit

from tests.conftest import Emulator

TARGETS = ("ionq.simulator", "quantinuum.sim.h2-1e", "rigetti.sim.qvm")


@pytest.fixture(scope="module")
def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.name = "GenerateRandomBit"
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


@pytest.mark.parametrize("target", TARGETS)
def test_three_jobs_run_in_a_session_that_the_with_block_closes(
    emulator: Emulator, bell: QuantumCircuit, target: str
) -> None:
    workspace = emulator.workspace()
    backend = AzureQuantumProvider(workspace).get_backend(target)
    with backend.open_session(name="Qiskit Session") as session:
        jobs = [backend.run(circuit=bell, shots=100, job_name=f"Job {n}") for n in (1, 2, 3)]
        for job in jobs:
            job.wait_for_final_state()
        counts = [job.result().get_counts() for job in jobs]
    assert [sum(c.values()) for c in counts] == [100, 100, 100]
    # without noise no others occur; with it 0.5 % of the shots: more than 12 of 300 once in 10^7 runs
    others = sum(c.get("01", 0) + c.get("10", 0) for c in counts)
    assert others <= (12 if target.startswith("quantinuum.") else 0)
    if target == "ionq.simulator":
        assert counts == [{"00": 50, "11": 50}] * 3
    session.refresh()
    assert session.details.status == "Succeeded"
    assert [job.details.name for job in session.list_jobs()] == ["Job 1", "Job 2", "Job 3"]


def test_sessions_and_their_jobs_are_listed(emulator: Emulator, bell: QuantumCircuit) -> None:
    workspace = emulator.workspace()
    backend = AzureQuantumProvider(workspace).get_backend("rigetti.sim.qvm")

    def get_a_session_with_jobs(min_jobs: int) -> Session | None:
        for session in workspace.list_sessions():
            if len(workspace.list_session_jobs(session.id)) >= min_jobs:
                return session
        return None

    with backend.open_session(name="empty"):
        pass
    with backend.open_session(name="three jobs") as three:
        for n in (1, 2, 3):
            backend.run(circuit=bell, shots=100, job_name=f"Job {n}")
    found = get_a_session_with_jobs(min_jobs=3)
    assert found is not None
    assert found.id == three.id
    assert {session.details.name for session in workspace.list_sessions()} == {"empty", "three jobs"}
    assert [job.details.name for job in workspace.list_session_jobs(found.id)][0:10] == ["Job 1", "Job 2", "Job 3"]
    assert get_a_session_with_jobs(min_jobs=4) is None
