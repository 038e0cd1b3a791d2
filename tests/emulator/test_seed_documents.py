"""Code of Microsoft's two documents on sessions, with retired target names replaced by current ones."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from azure.core.exceptions import HttpResponseError
from azure.quantum import Workspace
from azure.quantum.job.job import Job
from azure.quantum.job.session import Session, SessionJobFailurePolicy
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


def failing_job(workspace: Workspace, session_id: str, target: str = "ionq.simulator") -> Job:
    return Job.from_input_data(
        workspace=workspace,
        name="no circuit",
        target=target,
        provider_id=target.partition(".")[0],
        input_data=b"this is not QIR",
        input_data_format="qir.v1",
        output_data_format="microsoft.quantum-results.v2",
        input_params={"shots": 10},
        session_id=session_id,
    )


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


def test_a_session_made_by_hand_opens_refreshes_and_closes(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    session = Session(
        workspace=workspace,
        id=f"{uuid.uuid1()}",
        name="",
        provider_id="ionq",
        target="ionq.simulator",
        job_failure_policy=SessionJobFailurePolicy.ABORT,
    )
    assert session.details.status is None
    session.open()
    assert session.details.status == "Waiting"
    same_session = workspace.get_session(session.id)
    session.refresh()
    assert same_session.details.status == session.details.status == "Waiting"
    session.close()
    assert session.details.status == "Succeeded"
    assert workspace.get_session(session.id).is_in_terminal_state()


def test_under_abort_a_failed_job_ends_the_session_and_later_jobs_are_rejected(
    emulator: Emulator, bell: QuantumCircuit
) -> None:
    workspace = emulator.workspace()
    backend = AzureQuantumProvider(workspace).get_backend("ionq.simulator")
    session = backend.open_session(name="abort")
    failing_job(workspace, session.id).wait_until_completed(print_progress=False)
    session.refresh()
    assert session.details.status == "Failed"
    with pytest.raises(HttpResponseError, match="Session is already in a terminal state") as refusal:
        backend.run(circuit=bell, shots=100)
    assert refusal.value.status_code == 400
    assert refusal.value.error is not None
    assert refusal.value.error.code == "InvalidJobDefinition"


def test_under_continue_jobs_run_after_a_failure_and_the_closed_session_is_failed(
    emulator: Emulator, bell: QuantumCircuit
) -> None:
    workspace = emulator.workspace()
    backend = AzureQuantumProvider(workspace).get_backend("ionq.simulator")
    policy = SessionJobFailurePolicy.CONTINUE
    with backend.open_session(name="continue", job_failure_policy=policy) as session:
        failing_job(workspace, session.id).wait_until_completed(print_progress=False)
        session.refresh()
        assert session.details.status == "Failure(s)"
        job = backend.run(circuit=bell, shots=100)
        job.wait_for_final_state(wait=0.05)
        assert job.result().get_counts() == {"00": 50, "11": 50}
    assert session.details.status == "Failed"


def test_a_session_times_out_ten_minutes_after_its_last_job_even_after_failures(
    start_emulator: Callable[..., Emulator],
) -> None:
    emulator = start_emulator("--clock", "virtual")
    workspace = emulator.workspace()
    policy = SessionJobFailurePolicy.CONTINUE
    session = Session(workspace=workspace, target="ionq.simulator", job_failure_policy=policy).open()
    failing_job(workspace, session.id).wait_until_completed(print_progress=False)
    emulator.advance(599)
    session.refresh()
    assert session.details.status == "Failure(s)"
    emulator.advance(121)
    session.refresh()
    assert session.details.status == "TimedOut"
