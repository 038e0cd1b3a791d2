"""`session.run`: jobs with id, status, result and counts, from the journal when a run is resumed, and as listed."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from azure.quantum import Workspace
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.providers import JobStatus

from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.azure.listing import list_jobs
from hybridloop.errors import InputError, JobFailed, ProgramError, ReplayDiverged, SessionEnded
from hybridloop.journal import Journal
from hybridloop.journal.held_run import hold_run
from hybridloop.settings.failure_policy import FailurePolicy, OnLostJob
from hybridloop.settings.session_options import SessionOptions
from hybridloop.tasks.circuit_jobs import CircuitRound, SessionJob
from hybridloop.tasks.session import OpenSession
from hybridloop.tasks.submission.round_in_flight import RoundInFlight
from hybridloop.tasks.submission.rounds import Rounds
from tests.conftest import Emulator
from tests.session_helpers import open_run_session
from tests.tasks.conftest import add_run
from tests.waiting import eventually

TARGET = "ionq.simulator"


def flipped(*ones: int, name: str = "flipped") -> QuantumCircuit:
    """Return a circuit on three qubits, measured into two registers: bits 0 and 1 are `low`, bit 2 is `high`."""
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "low"), ClassicalRegister(1, "high"), name=name)
    for qubit in ones:
        circuit.x(qubit)
    circuit.measure(range(3), range(3))
    return circuit


def bell(name: str = "bell") -> QuantumCircuit:
    circuit = QuantumCircuit(2, name=name)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


@pytest.mark.claim("A session takes your own circuits")
def test_a_circuit_gives_a_job_with_id_status_result_and_counts(workspace: Workspace) -> None:
    with open_run_session(workspace, TARGET) as session:
        job = session.run(flipped(0, 2), shots=100)
        assert job.counts == {"1 01": 100}  # Qiskit's order: the last register first, its bit 0 rightmost
        assert (job.status(), job.done(), job.name, job.shots) == (JobStatus.DONE, True, "flipped", 100)
        assert job.id == job.job_id() == session.jobs()[0].id
    result = job.result()  # also after the block
    assert result.get_counts() == {"1 01": 100}
    assert (result.success, result.job_id, result.backend_name) == (True, job.id, TARGET)
    assert session.status == "Succeeded"


def test_jobs_that_were_just_asked_for_are_listed(workspace: Workspace, emulator: Emulator) -> None:
    emulator.admin("faults", {"rules": [{"fault": "slow-answer", "operation": "sas", "seconds": 0.3}]})
    with open_run_session(workspace) as session:
        jobs = session.run([bell(), bell()], shots=10)
        assert {job.id for job in jobs} == {job.id for job in session.jobs()}


def test_the_jobs_of_a_list_are_one_round_and_are_awaited_at_the_end_of_the_block(workspace: Workspace) -> None:
    with open_run_session(workspace, "rigetti.sim.qvm", seed=3) as session:
        jobs = session.run([bell(), flipped(1), flipped()], shots=50, name="three")
    assert [job.status() for job in jobs] == [JobStatus.DONE] * 3
    assert [job.counts for job in jobs[1:]] == [{"0 10": 50}, {"0 00": 50}]
    assert set(jobs[0].counts) <= {"00", "11"}
    assert sum(jobs[0].counts.values()) == 50
    assert [job.name for job in jobs] == ["three"] * 3
    assert {row["name"] for row in list_jobs(workspace, session.id)} == {"three"}


def test_a_run_that_is_resumed_takes_its_jobs_from_the_journal_by_name_in_any_order(
    workspace: Workspace, journal: Journal
) -> None:
    uid = add_run(journal, target=TARGET, seed=5)
    with hold_run(journal, uid) as run, open_run_session(workspace, TARGET, run=run) as session:
        first = [session.run(bell(), name="pair").counts, session.run(flipped(1), name="flip").counts]
        again = session.run(bell(), name="pair").counts
        session_id, ids = session.id, sorted(job.id for job in session.jobs())
    with hold_run(journal, uid) as run, open_run_session(workspace, TARGET, run=run) as session:
        flip, *pairs = (
            session.run(circuit, name=name)
            for circuit, name in ((flipped(1), "flip"), (bell(), "pair"), (bell(), "pair"))
        )
        assert [pairs[0].counts, flip.counts, pairs[1].counts] == [*first, again]
        assert (session.id, session.replayed) == (session_id, 3)  # nothing was opened or submitted
        assert sorted(job.id for job in (flip, *pairs)) == ids
    with hold_run(journal, uid) as run, open_run_session(workspace, TARGET, run=run) as session:
        with pytest.raises(ReplayDiverged, match="other gates"):
            session.run(flipped(), name="pair")


def test_a_seed_must_be_the_recorded_one_and_rounds_of_earlier_versions_state_none(
    workspace: Workspace, journal: Journal
) -> None:
    uid = add_run(journal, target=TARGET, seed=5)
    with hold_run(journal, uid) as run, open_run_session(workspace, TARGET, run=run) as session:
        counts = session.run(bell(), name="seeded", seed=7).counts
        session.run(bell(), name="plain")
    for name, seed, difference in (
        ("seeded", 8, "seed 8, and was recorded with seed 7"),
        ("seeded", None, "no seed, and was recorded with seed 7"),
        ("plain", 7, "seed 7, and was recorded with no seed"),
    ):
        with hold_run(journal, uid) as run, open_run_session(workspace, TARGET, run=run) as session:
            with pytest.raises(ReplayDiverged, match=difference):
                session.run(bell(), name=name, seed=seed)
    with hold_run(journal, uid) as run, open_run_session(workspace, TARGET, run=run) as session:
        assert session.run(bell(), name="seeded", seed=7).counts == counts
    seeded = journal.round(uid, "seeded", 0)
    assert seeded is not None


def test_jobs_have_the_statuses_of_qiskit(emulator: Emulator, workspace: Workspace) -> None:
    policy = FailurePolicy(retries=0, on_lost_job=OnLostJob.SKIP)
    emulator.admin("faults", {"rules": [{"fault": "job-fails", "times": 1}]})
    with open_run_session(workspace, TARGET, SessionOptions(failure=policy)) as session:
        lost = session.run(bell())
        with pytest.raises(JobFailed):
            lost.result()
        assert (lost.status(), lost.done()) == (JobStatus.ERROR, False)
        (listed,) = session.jobs()
        assert listed.status() is JobStatus.ERROR
        with pytest.raises(JobFailed, match="Failed"):
            listed.result()


def test_a_jobs_error_is_raised_at_the_end_of_the_block_after_the_wait_for_others(
    emulator: Emulator, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect, ended = Rounds.collect, []

    def collected(rounds: Rounds, round_: RoundInFlight) -> list[MeasuredPub]:
        try:
            return collect(rounds, round_)
        finally:
            ended.append(round_.key.stream)

    def started(name: str, session: OpenSession) -> SessionJob:
        job: SessionJob = session.run(flipped(1), name=name)
        eventually(lambda: emulator.admin("faults")["injected"])
        return job

    monkeypatch.setattr(Rounds, "collect", collected)
    emulator.admin("faults", {"rules": [{"fault": "job-fails", "times": 1}]})
    with (
        pytest.raises(JobFailed),
        open_run_session(workspace, TARGET, SessionOptions(failure=FailurePolicy(retries=0))) as session,
    ):
        jobs = [started(name, session) for name in ("fails", "paid")]
    assert ended == ["fails", "paid"]
    assert jobs[1].counts == {"0 10": 1024}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"fault": "job-fails", "code": "InvalidInputData"}, "Change the circuit or the shots, as the message says"),
        ({"fault": "job-fails", "code": "TransientFailure"}, "once the service or the provider has recovered: start"),
        ({"fault": "job-cancelled"}, "To send it again: start the script again with run_key='night'"),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)
@pytest.mark.usefixtures("job_per_point")
def test_each_job_has_its_own_result(
    rule: dict[str, Any], said: str, emulator: Emulator, workspace: Workspace, journal: Journal
) -> None:
    uid = add_run(journal, target=TARGET)
    options = SessionOptions(failure=FailurePolicy(retries=0))
    circuits = [flipped(1), flipped(), flipped(0, 1)]

    def counts_of(*, fails: bool) -> list[Any]:
        answers = []
        with hold_run(journal, uid) as run, open_run_session(workspace, TARGET, options, run=run) as session:
            jobs = session.run(circuits, shots=50, name="three")
            for job in jobs:
                try:
                    answers.append(job.counts)
                except JobFailed as error:
                    assert job.status() is JobStatus.ERROR
                    answers.append(str(error))
        assert any(isinstance(each, str) for each in answers) == fails
        return answers

    emulator.admin("faults", {"rules": [{**rule, "nth": 2}]})
    first, second, third = counts_of(fails=True)
    emulator.admin("faults", {"rules": []})
    (failed,) = [each for each in (first, second, third) if isinstance(each, str)]
    assert "each other job of this call keeps its own: job.counts" in failed
    assert said in failed
    again = counts_of(fails=False)
    kept = [isinstance(each, str) or each == later for each, later in zip((first, second, third), again, strict=True)]
    assert all(kept)
    sent = emulator.admin(f"ledger?run={uid}")
    assert (len(sent["entries"]), sent["duplicates"]["count"]) == (4, 0)


def test_rounds_of_two_threads_are_all_awaited(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_run_session(workspace, TARGET) as session:
        jobs, others = [session.run(flipped(), name="first")], list[SessionJob]()

        def run_another(_round: CircuitRound) -> bool:  # while this thread looks at the rounds so far
            if not others:
                thread = threading.Thread(target=lambda: others.append(session.run(flipped(), name="other")))
                thread.start()
                thread.join()
            return False

        with monkeypatch.context() as patch:
            patch.setattr(CircuitRound, "is_collected", property(run_another, lambda *_: None), raising=False)
            jobs.append(session.run(flipped(), name="second"))
            run_another(jobs[0].round)
        jobs += others
        assert {job.round for job in jobs} == set(session._circuit_rounds.unawaited)
        for job in jobs:
            job.round.is_collected = False
        assert [job.counts for job in jobs] == [{"0 00": 1024}] * 3
        assert not session._circuit_rounds.unawaited


def test_a_circuit_after_the_block_is_refused_in_words_that_name_the_block(workspace: Workspace) -> None:
    with open_run_session(workspace, TARGET) as session:
        pass
    with pytest.raises(SessionEnded, match="closed at the end of its with block"):
        session.run(bell())


@pytest.mark.claim("Bad input submits nothing")
@pytest.mark.parametrize(
    ("circuits", "options", "message"),
    [
        ("bell", {}, "program: 'bell' is no program"),
        ([], {}, "program: there is none"),
        ([bell(), (bell(), [])], {}, "program: tuple is no program"),
        (bell(), {"shots": 0}, "shots must be an integer of at least 1, got 0"),
        (bell(), {"shots": "many"}, "shots must be an integer of at least 1, got 'many'"),
        (bell(), {"seed": -1}, "seed must be an integer of at least 0, got -1"),
        (bell(), {"name": "bell\nstate"}, r"name: 'bell\\nstate' is not a valid name of a job"),
    ],
)
def test_bad_input_is_refused_before_anything_is_submitted(
    workspace: Workspace, circuits: object, options: dict[str, object], message: str
) -> None:
    with open_run_session(workspace, TARGET) as session:
        with pytest.raises(InputError, match=rf"{message}.*No job of this round was submitted\."):
            session.run(circuits, **options)  # type: ignore[call-overload]
        assert session.num_jobs == 0


def test_a_circuit_with_free_angles_or_without_measurements_is_refused(workspace: Workspace) -> None:
    free, unmeasured = bell(), QuantumCircuit(1)
    free.rx(Parameter("theta"), 0)
    with open_run_session(workspace, TARGET) as session:
        with pytest.raises(InputError, match=r"1 angle\(s\) without a value \(theta\).*assign_parameters"):
            session.run(free)
        with pytest.raises(ProgramError, match="no measurement"):
            session.run(unmeasured)


@pytest.mark.parametrize("target", ["rigetti.sim.qvm", "ionq.simulator", "quantinuum.sim.h2-1sc"])
def test_listed_jobs_have_the_counts_that_the_session_measured(workspace: Workspace, target: str) -> None:
    with open_run_session(workspace, target, seed=11) as session:
        if not session.target.samples and target.endswith("sc"):
            pytest.skip("a syntax checker has no counts")
        job = session.run(bell(), shots=333, name="pair")
        ours = job.counts
        (listed,) = session.jobs()
        assert (listed.id, listed.name, listed.shots) == (job.id, "pair", 333)
        assert listed.counts == ours
    assert session.details["jobs"] == {"Succeeded": 1}
    assert session.details["status"] == "Succeeded"


def test_a_listed_job_of_many_points_says_where_its_counts_are(workspace: Workspace) -> None:
    with open_run_session(workspace, "rigetti.sim.qvm", seed=1) as session:
        tilted = [QuantumCircuit(1) for _ in range(2)]
        for circuit, angle in zip(tilted, (0.0, np.pi), strict=True):
            circuit.rx(angle, 0)
            circuit.measure_all()
        low, high = session.run(tilted, shots=20)
        assert (low.counts, high.counts) == ({"0": 20}, {"1": 20})
        assert low.id == high.id  # one job of two points
        with pytest.raises(InputError, match=r"measured 2 points.*session\.run"):
            session.jobs()[0].result()


def test_jobs_have_the_names_that_a_user_gave(workspace: Workspace) -> None:
    names = ["Job 1", "Job 10", "it's", "'quoted'", "a/b (2)", "H₂ at 0.74 Å", "Job 1"]
    with open_run_session(workspace, "rigetti.sim.qvm", seed=3) as session:
        jobs = [session.run(flipped(1), shots=10, name=name) for name in names]
        assert [job.counts for job in jobs] == [{"0 10": 10}] * len(names)
        # in order of creation, which is any one: jobs that do not wait for each other are submitted side by side
        assert sorted(job.name for job in session.jobs()) == sorted([*names[:-1], "Job 1 (2)"])
    assert sorted(row["name"] for row in list_jobs(workspace, session.id)) == sorted([*names[:-1], "Job 1 (2)"])
