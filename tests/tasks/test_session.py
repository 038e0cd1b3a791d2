"""A session against the local service: opened, used for rounds, closed on every way out."""

import logging
import threading
import uuid

import numpy as np
import pytest
from azure.quantum import Workspace
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.primitives.containers.sampler_pub import SamplerPub

import hybridloop as hl
from hybridloop.algorithms.rounds import Counts
from hybridloop.azure.listing import check_offered, close_session, list_jobs, list_sessions, show_session
from hybridloop.azure.workspace import LocalService, connect
from hybridloop.budget.caps import Caps
from hybridloop.errors import (
    AccessDenied,
    InputError,
    JobFailed,
    RunStopped,
    ServiceUnreachable,
    SessionEnded,
    StreamBusy,
)
from hybridloop.settings.failure_policy import FailurePolicy, OnSessionLost
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import find_target
from hybridloop.tasks.keepalive.pings import PingSender
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey
from tests.azure.hostile_helpers import FastClock
from tests.conftest import Emulator, unavailable
from tests.session_helpers import open_run_session
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("job_per_point")


def turned() -> QuantumCircuit:
    """Return a circuit of one angle on three qubits whose outcome shows the bit order: 110 at π."""
    theta = Parameter("theta")
    circuit = QuantumCircuit(3, 3)
    circuit.rx(theta, 1)
    circuit.cx(1, 2)
    circuit.measure(range(3), range(3))
    return circuit


def pub(points: object, shots: int = 100) -> SamplerPub:
    return SamplerPub.coerce((turned(), points, shots))


def bitstrings(counts: object) -> dict[str, int]:
    assert isinstance(counts, Counts)
    return counts.bitstrings()


@pytest.mark.parametrize("target", ["rigetti.sim.qvm", "ionq.simulator", "quantinuum.sim.h2-1e"])
def test_a_round_gives_each_points_counts_in_order_with_the_bits_in_their_places(
    workspace: Workspace, target: str
) -> None:
    with open_run_session(workspace, target) as session:
        first, second = session.run_round([pub([[np.pi], [0.0]]), pub([[0.0]], 7)])
    found = [bitstrings(counts) for counts in (*first, *second)]
    assert [sum(counts.values()) for counts in found] == [100, 100, 7]
    # noisy: 3 flips of 0.16 % and a few gates make 0.6 wrong ones of 100 on average; more than 8 once in 10^7 runs
    wrong = 8 if target.startswith("quantinuum.") else 0
    for counts, (right, shots) in zip(found, [("110", 100), ("000", 100), ("000", 7)], strict=True):
        assert counts.get(right, 0) >= max(shots - wrong, min(shots, 2))
    assert (session.status, session.num_jobs) == ("Succeeded", 3)


def test_jobs_at_the_service_have_the_ids_names_and_places_of_the_run(
    workspace: Workspace,
) -> None:
    with open_run_session(workspace, seed=7) as session:
        session.run_round([pub([[0.1], [0.2]])])
        session.run_round([pub([[0.3]])])
    jobs = {job.id: job.details for job in workspace.list_session_jobs(session.id)}
    places = [JobKey(RoundKey(session.run_uid, "main", k), 0, point, 0) for k, point in ((0, 0), (0, 1), (1, 0))]
    assert set(jobs) == {place.job_id(0) for place in places}
    for place in places:
        details = jobs[place.job_id(0)]
        assert details.name == place.name(0)
        assert details.metadata["place"] == place.path
        assert details.metadata["attempt"] == "0"
        assert details.metadata["sampling_value"] == place.sampling_value(7)


def test_an_exact_distribution_above_the_targets_limit_takes_one_job_and_fills_a_samplers_shots(
    workspace: Workspace,
) -> None:
    with open_run_session(workspace, "ionq.simulator") as session:
        ((counts,),) = session.run_round([pub([[np.pi / 2]], 25_000)])
        bits = session.sampler(shots=25_000).run([(turned(), [[np.pi / 2]])]).result()[0].data.c
    assert isinstance(counts, Counts)
    assert (counts.shots, counts.exact, session.num_jobs, session.shots) == (10_000, True, 2, 20_000)
    assert sorted(bits.get_counts().values()) == [12_500, 12_500]


@pytest.mark.claim("closes the session, also after an error")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_session_is_closed_however_the_block_ends(workspace: Workspace, error: type[BaseException]) -> None:
    def work() -> None:
        with open_run_session(workspace) as session:
            opened.append(session.id)
            session.run_round([pub([[0.1]])])
            raise error

    opened: list[str] = []
    with pytest.raises(error):
        work()
    assert show_session(workspace, opened[0])["status"] == "Succeeded"


def test_the_session_is_closed_although_its_pings_do_not_end_in_order(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: PingSender) -> None:
        raise OSError("the pings can't be ended")

    monkeypatch.setattr(PingSender, "close", fail)
    with open_run_session(workspace) as session:
        session.run_round([pub([[0.1]])])
    assert session.status == show_session(workspace, session.id)["status"] == "Succeeded"
    assert "the pings can't be ended" in caplog.text


@pytest.mark.claim("submits each round's circuits in parallel")
def test_rounds_started_one_after_the_other_are_in_flight_together(workspace: Workspace) -> None:
    with open_run_session(workspace) as session:
        rounds = [session.rounds.start([pub([[angle]])]) for angle in (0.0, np.pi, 0.0)]
        found = [bitstrings(session.rounds.collect(round_)[0][0]) for round_ in reversed(rounds)]
    assert found == [{"000": 100}, {"110": 100}, {"000": 100}]
    assert [round_.key.sequence for round_ in rounds] == [0, 1, 2]


def test_a_session_of_105_jobs_is_listed_once_each_in_the_order_of_creation(workspace: Workspace) -> None:
    with open_run_session(workspace) as session:
        session.run_round([pub([[0.01 * k] for k in range(105)], 2)])
    rows = list_jobs(workspace, session.id)
    assert len({row["id"] for row in rows}) == len(rows) == session.num_jobs == 105
    assert {job.id for job in workspace.list_session_jobs(session.id)} == {row["id"] for row in rows}
    assert sorted(row["created"] for row in rows) == [row["created"] for row in rows]
    assert show_session(workspace, session.id)["jobs"] == {"Succeeded": 105}


def test_a_second_caller_on_a_stream_in_flight_is_refused_and_a_stream_of_its_own_is_not(
    workspace: Workspace, emulator: Emulator
) -> None:
    found: list[object] = []

    def call(stream: str) -> None:
        try:
            found.append(bitstrings(session.rounds.collect(session.rounds.start([pub([[0.0]])], stream=stream))[0][0]))
        except StreamBusy as error:
            found.append(error)

    emulator.admin("faults", {"rules": [{"fault": "job-hangs", "nth": 1}]})
    with open_run_session(workspace) as session:
        held = session.rounds.start([pub([[0.0]])])
        eventually(lambda: bool(list_jobs(workspace, session.id)))
        for stream in ("main", "other"):
            thread = threading.Thread(target=call, args=(stream,))
            thread.start()
            thread.join()
        cancel_jobs(workspace, session.id)
        with pytest.raises(JobFailed, match="Cancelled"):
            session.rounds.collect(held)
    assert isinstance(found[0], StreamBusy)
    assert found[1] == {"000": 100}


def cancel_jobs(workspace: Workspace, session_id: str) -> None:
    """Cancel the jobs that still run at the service."""
    for job in workspace.list_session_jobs(session_id):
        workspace.cancel_job(job)


@pytest.mark.usefixtures("own_journal")
def test_stopping_ends_the_wait_and_cancels_the_jobs_of_a_script_without_a_key(
    workspace: Workspace, emulator: Emulator
) -> None:
    emulator.admin("faults", {"rules": [{"fault": "job-hangs"}]})
    with hl.open_session(workspace=workspace) as session:
        round_ = session.rounds.start([pub([[0.0]])])
        eventually(lambda: bool(list_jobs(workspace, session.id)))
        threading.Timer(0.0, session.rounds.stop).start()
        with pytest.raises(RunStopped) as caught:
            session.rounds.collect(round_)
        with pytest.raises(RunStopped):
            session.run_round([pub([[0.1]])])
    assert caught.value.in_flight == session.num_jobs == 1
    (job,) = list_jobs(workspace, session.id)
    assert job["status"] == "Cancelled"
    assert show_session(workspace, session.id)["status"] == "Succeeded"


@pytest.mark.claim("a job fails permanently")
def test_a_failed_job_ends_the_round_with_the_services_message(workspace: Workspace, emulator: Emulator) -> None:
    rule = {"fault": "job-fails", "code": "InvalidInputData", "message": "too many qubits", "nth": 1}
    with open_run_session(workspace) as session:
        emulator.admin("faults", {"rules": [rule]})
        with pytest.raises(JobFailed, match=r"ended Failed: .*qubits"):
            session.run_round([pub([[0.0]])])
        emulator.admin("faults", {"rules": []})
        assert bitstrings(session.run_round([pub([[0.0]])])[0][0]) == {"000": 100}
    assert (
        session.status == "Failed"
    )  # the service ends a session under `continue` in which a job failed with this status


def test_a_session_ended_from_outside_is_followed_by_another(workspace: Workspace) -> None:
    with open_run_session(workspace) as session:
        close_session(workspace, first := session.id)
        assert bitstrings(session.run_round([pub([[0.0]])])[0][0]) == {"000": 100}
        assert session.id != first
    assert [(row.reason, row.status) for row in session.sessions.rows] == [
        ("", "Succeeded"),
        ("Succeeded", "Succeeded"),
    ]
    assert {row["status"] for row in list_sessions(workspace, 5)} == {"Succeeded"}


def test_a_policy_can_end_the_run_with_its_session(workspace: Workspace) -> None:
    with open_run_session(
        workspace, options=SessionOptions(failure=FailurePolicy(on_session_lost=OnSessionLost.FAIL))
    ) as session:
        close_session(workspace, session.id)
        with pytest.raises(SessionEnded, match="allows no other"):
            session.run_round([pub([[0.0]])])
    assert len(session.sessions.rows) == 1


@pytest.mark.claim("Bad input submits nothing")
def test_an_invalid_pub_is_refused_before_a_session_is_opened_or_a_job_sent(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="target"), open_run_session(workspace, "ionq.simulater"):
        pass
    assert list_sessions(workspace, 5) == []
    wide = QuantumCircuit(30, 1)
    wide.measure(0, 0)
    with open_run_session(workspace, "ionq.simulator") as session:
        with pytest.raises(InputError, match=r"30 qubits.*29"):
            session.run_round([SamplerPub.coerce(wide, 10)])
        with pytest.raises(InputError, match="shots"):
            session.run_round([SamplerPub.coerce(turned().assign_parameters([0.1]), None)])
    assert session.num_jobs == 0


def test_a_cap_on_a_free_target_gives_a_warning_before_the_first_job(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    with open_run_session(workspace, options=SessionOptions(caps=Caps(max_cost={"HQC": 50.0}))) as session:
        assert session.num_jobs == 0
        assert ["the cap of 50 HQC has no effect" in message for message in caplog.messages] == [True]


def test_a_wrong_key_and_a_missing_service_are_reported_with_the_host(emulator: Emulator) -> None:
    with pytest.raises(AccessDenied, match="key"), open_run_session(emulator.workspace(api_key="wrong")):
        pass
    nowhere = connect(LocalService("http://127.0.0.1:9/", "k"))
    with pytest.raises(ServiceUnreachable, match=r"127\.0\.0\.1:9"), open_run_session(nowhere, clock=FastClock()):
        pass


def test_the_sampler_keeps_registers_and_unmeasured_bits(workspace: Workspace) -> None:
    a, b = ClassicalRegister(2, "a"), ClassicalRegister(9, "b")
    circuit = QuantumCircuit(QuantumRegister(3), a, b)
    theta = Parameter("theta")
    circuit.rx(theta, 0)
    circuit.x(2)
    circuit.measure(0, a[1])
    circuit.measure(2, b[8])
    with open_run_session(workspace) as session:
        result = session.sampler(shots=50).run([(circuit, [[0.0], [np.pi]])]).result()[0]
    assert result.data.a.shape == (2,)
    assert result.data.a.get_counts(0) == {"00": 50}
    assert result.data.a.get_counts(1) == {"10": 50}
    assert result.data.b.get_counts() == {"100000000": 100}
    assert result.data.a.num_shots == 50


def test_a_sampler_keeps_the_shape_of_its_parameter_values(workspace: Workspace) -> None:
    points = np.full((2, 3, 1), 0.0)
    points[1, 2, 0] = np.pi
    with open_run_session(workspace) as session:
        job = session.sampler().run([(turned(), points)], shots=20)
        bits = job.result()[0].data.c
    assert bits.shape == (2, 3)
    assert bits.get_counts((1, 2)) == {"110": 20}
    assert bits.get_counts((0, 2)) == {"000": 20}
    assert job.done()
    assert uuid.UUID(job.job_id())


def test_a_long_time_that_the_local_service_states_is_in_the_snapshot_and_said_once(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    with open_run_session(workspace) as session, caplog.at_level(logging.INFO):
        round_ = session.rounds.start([pub([[0.0]])])
        (job,) = round_.jobs
        assert session.snapshot.expected_s is None
        for seconds in (3.0, 41.0, 42.0):
            round_.observe({"id": job.spec.id, "status": "Executing", "expectedSeconds": seconds})
        assert 41.0 <= (session.snapshot.expected_s or 0.0) < 42.0 + 60.0
        session.rounds.collect(round_)
        assert session.snapshot.expected_s is None
    assert caplog.text.count("a job is expected to take 41 s on the local service") == 1
    assert "expected to take 42" not in caplog.text


def test_an_unavailable_target_is_reported_and_a_too_small_one_refused_without_a_session(
    workspace: Workspace, emulator: Emulator
) -> None:
    with unavailable(emulator, "ionq.qpu.aria-1"):
        assert not check_offered(workspace, find_target("ionq.qpu.aria-1"), 2)
    assert check_offered(workspace, find_target("ionq.qpu.aria-1"), 2)
    with pytest.raises(InputError, match=r"40 qubits.*30"):
        check_offered(workspace, find_target("rigetti.sim.qvm"), 40)
    assert check_offered(workspace, find_target("rigetti.sim.qvm"), 20)
    assert list_sessions(workspace, 5) == []
