"""Resume from the journal: recorded rounds are replayed, missing ones are measured, and no job is sent twice."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from azure.quantum import Workspace
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import SAME_RAD, Counts, MeasuredPub
from hybridloop.azure.listing import list_sessions
from hybridloop.budget.caps import Caps
from hybridloop.compiler.programs import describe_pub
from hybridloop.errors import CapReached, HybridloopError, ReplayDiverged, RunBusy, ServiceRefused
from hybridloop.journal import Journal, PubRecord, RoundRecord
from hybridloop.journal.held_run import hold_run, new_run
from hybridloop.journal.provenance import ARITHMETIC
from hybridloop.settings.session_options import SessionOptions
from hybridloop.tasks.replay.same_round import check_same
from hybridloop.tasks.session import OpenSession
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey
from hybridloop.tasks.submission.round_in_flight import RoundInFlight
from tests.conftest import Died, Emulator
from tests.session_helpers import open_run_session
from tests.tasks.conftest import die
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.usefixtures("job_per_point")

TARGET = "rigetti.sim.qvm"


@contextmanager
def session_of(journal: Journal, uid: str, workspace: Workspace, target: str = TARGET) -> Iterator[OpenSession]:
    with hold_run(journal, uid) as run, open_run_session(workspace, target, run=run) as session:
        yield session


def ansatz() -> QuantumCircuit:
    circuit = efficient_su2(2, reps=1)
    circuit.measure_all()
    return circuit


def ask(k: int, *, shots: int = 100, shift: float = 0.0) -> SamplerPub:
    """Return round k of a fixed sequence: three points of eight angles."""
    points = np.random.default_rng(k).uniform(-3, 3, (3, 8)) + shift
    return SamplerPub.coerce((ansatz(), points, shots))


def found(answer: list[MeasuredPub]) -> list[dict[str, int]]:
    return [counts.bitstrings() for counts in answer[0] if isinstance(counts, Counts)]


def test_recorded_rounds_are_replayed_without_a_request_or_a_compilation(
    journal: Journal, uid: str, start_emulator: Callable[..., Emulator]
) -> None:
    service = start_emulator()
    workspace = service.workspace("replayed")
    with session_of(journal, uid, workspace) as session:
        first = [found(session.run_round([ask(k)])) for k in range(3)]
    service.stop()  # a request would fail: no service runs there
    with session_of(journal, uid, workspace) as session:
        again = [session.run_round([ask(k)]) for k in range(3)]
    assert [found(answer) for answer in again] == first
    assert (session.replayed, session.num_jobs, session.shots, session.structures_compiled) == (3, 9, 900, 0)


def test_a_replayed_round_has_its_recorded_points(journal: Journal, uid: str, workspace: Workspace) -> None:
    def points(shift: float) -> NDArray[np.float64]:
        with session_of(journal, uid, workspace) as session:
            return session.run_round([ask(0, shift=shift)])[0].points

    first = points(0.0)
    assert np.array_equal(points(1e-9), first)


def test_journaled_jobs_that_were_not_sent_count_towards_the_caps_of_the_resume(
    journal: Journal, uid: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise ServiceRefused("no room", "Nothing was submitted.", "Go on later.")

    with monkeypatch.context() as dying:
        dying.setattr("hybridloop.azure.client.ServiceClient.upload", refuse)
        with pytest.raises(ServiceRefused), session_of(journal, uid, workspace) as session:
            session.run_round([ask(0)])
    with (
        pytest.raises(CapReached, match="max_jobs"),
        hold_run(journal, uid) as run,
        open_run_session(workspace, TARGET, SessionOptions(caps=Caps(max_jobs=2)), run=run) as session,
    ):
        session.run_round([ask(0)])
    assert emulator.admin(f"ledger?run={uid}")["entries"] == []
    with session_of(journal, uid, workspace) as session:
        assert len(found(session.run_round([ask(0)]))) == 3
    assert len(emulator.admin(f"ledger?run={uid}")["entries"]) == 3


@pytest.mark.claim("`kill -9`, power failure")
def test_jobs_in_flight_of_a_dead_process_are_adopted_in_the_same_session(
    journal: Journal, uid: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(RoundInFlight, "result", die)
        dying.setattr("hybridloop.tasks.session_renewal.SessionRenewal.close", die)  # a dead process closes nothing
        with pytest.raises(Died), session_of(journal, uid, workspace) as session:
            session.run_round([ask(0)])
    (left_open,) = list_sessions(workspace, 5)
    assert left_open["status"] == "Executing"
    with session_of(journal, uid, workspace) as session:
        answer = session.run_round([ask(0)])
        assert session.id == left_open["id"]
    assert len(found(answer)) == 3
    books = emulator.admin(f"ledger?run={uid}")
    assert (len(books["entries"]), books["duplicates"]["count"]) == (3, 0)
    assert [row["status"] for row in list_sessions(workspace, 5)] == ["Succeeded"]


def test_a_failed_job_is_submitted_again_while_others_of_its_round_are_adopted(
    journal: Journal, uid: str, start_emulator: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die_when_all_is_over(session: OpenSession) -> None:
        session.rounds.start([ask(0)])
        eventually(lambda: is_over(workspace))
        die()

    service = start_emulator()
    workspace = service.workspace("resumed")
    place = RoundKey(uid, "main", 0)
    fails, is_late = (JobKey(place, 0, point, 0).name(0) for point in (0, 1))
    asked_again = JobKey(place, 0, 0, 0).name(1)  # accepted last, even after a short wait
    service.admin(
        "faults",
        {
            "rules": [
                {"fault": "job-fails", "code": "ProviderTimeout", "operation": "submit", "job": fails},
                {"fault": "slow-answer", "seconds": 0.5, "operation": "get-job", "job": is_late},
                {"fault": "slow-answer", "seconds": 1.5, "operation": "submit", "job": asked_again},
            ]
        },
    )
    with monkeypatch.context() as dying:
        dying.setattr(RoundInFlight, "observe", lambda *_: None)
        dying.setattr(OpenSession, "leave", die)  # a process that is dead waits for nothing and closes nothing
        with pytest.raises(Died), session_of(journal, uid, workspace) as session:
            die_when_all_is_over(session)
    with session_of(journal, uid, workspace) as session:
        too_long = threading.Timer(PATIENCE_S, session.rounds.stop)  # which fails the test: a bound for broken code
        too_long.daemon = True
        too_long.start()
        assert len(found(session.run_round([ask(0)]))) == 3
        too_long.cancel()
    books = service.admin(f"ledger?run={uid}")
    assert (len(books["entries"]), books["duplicates"]["count"]) == (4, 0)


def is_over(workspace: Workspace) -> bool:
    jobs = list(workspace.list_jobs())
    return len(jobs) == 3 and all(job.has_completed() for job in jobs)


def test_a_resumed_run_without_missing_rounds_closes_the_session_left_open(
    journal: Journal, uid: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr("hybridloop.tasks.session_renewal.SessionRenewal.close", die)
        with pytest.raises(Died), session_of(journal, uid, workspace) as session:
            session.run_round([ask(0)])
    with session_of(journal, uid, workspace) as session:
        session.run_round([ask(0)])
    assert [row["status"] for row in list_sessions(workspace, 5)] == ["Succeeded"]


def test_a_closed_session_is_followed_by_the_next_one(journal: Journal, uid: str, workspace: Workspace) -> None:
    for k in range(3):
        with session_of(journal, uid, workspace) as session:
            for earlier in range(k + 1):
                session.run_round([ask(earlier)])
    assert [(row.ordinal, row.reason) for row in session.sessions.rows] == [(0, ""), (1, "resumed"), (2, "resumed")]
    assert {row["status"] for row in list_sessions(workspace, 5)} == {"Succeeded"}


def fewer_points() -> SamplerPub:
    return SamplerPub.coerce((ansatz(), np.zeros((1, 8)), 100))


def other_gates() -> SamplerPub:
    circuit = ansatz().copy_empty_like()
    angles = [Parameter(f"a{k}") for k in range(8)]
    for k, angle in enumerate(angles):
        circuit.rz(angle, k % 2)
    circuit.measure_all(add_bits=False)
    return SamplerPub.coerce((circuit, ask(0).parameter_values.as_array(list(ansatz().parameters)), 100))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ([ask(0, shots=101)], "asks for 101 shots, and was recorded with 100"),
        ([ask(0, shift=1e-3)], r"at point \d, angle \d+, .* rad, and was recorded with"),
        ([ask(1)], "rad, and was recorded with"),
        ([ask(0), ask(0)], r"has 2 circuit\(s\), and was recorded with 1"),
        ([fewer_points()], r"has 1 point\(s\) of 8 parameter\(s\), and was recorded with 3 point"),
        ([other_gates()], "other gates"),
    ],
    ids=["shots", "point", "order", "circuits", "points", "ansatz"],
)
def test_a_different_round_is_refused_and_the_difference_named(
    journal: Journal, uid: str, workspace: Workspace, emulator: Emulator, changed: list[SamplerPub], said: str
) -> None:
    with session_of(journal, uid, workspace) as session:
        session.run_round([ask(0)])
    with session_of(journal, uid, workspace) as session, pytest.raises(ReplayDiverged, match=said):
        session.run_round(changed)
    assert len(emulator.admin(f"ledger?run={uid}")["entries"]) == 3
    assert len(list_sessions(workspace, 5)) == 1


@pytest.mark.parametrize(
    "other", [{ARITHMETIC: "openblas Elsewhere"}, {"scipy": "0.1"}], ids=["processor", "version of SciPy"]
)
def test_an_algorithm_that_another_processor_leads_elsewhere_goes_on_with_new_jobs(
    journal: Journal,
    workspace: Workspace,
    emulator: Emulator,
    other: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    new = new_run(str(uuid.uuid4()), key="k", algorithm="vqe", problem="h2", target=TARGET, seed=0)
    journal.add_run(replace(new, versions={**new.versions, **other}))

    def answers(*pubs: SamplerPub) -> tuple[list[list[dict[str, int]]], int, int]:
        with session_of(journal, new.uid, workspace) as session:
            measured = [found(session.run_round([pub])) for pub in pubs]
            return measured, session.num_jobs, len(emulator.admin(f"ledger?run={new.uid}")["entries"])

    begun = (ask(0), ask(1), ask(2))
    first, _, _ = answers(*begun)
    led = (ask(0, shift=1e-9), ask(1, shift=1e-3), ask(3))
    elsewhere, jobs, sent = answers(*led)
    assert elsewhere[0] == first[0]
    assert elsewhere[1] != first[1]
    assert (jobs, sent) == (15, 15)  # with those of the two rounds that were left
    assert "2 recorded round(s) count in its cost alone" in caplog.text
    assert answers(*led) == (elsewhere, 15, 15)
    assert answers(*begun) == (first, 9, 15)
    third = (ask(0), ask(1, shift=1e-3), ask(4))  # a third processor leaves the branch as well
    assert answers(*third)[0][:2] == elsewhere[:2]
    assert emulator.admin(f"ledger?run={new.uid}")["duplicates"]["count"] == 0


@pytest.mark.parametrize("where", [np.s_[1, 2], np.s_[:]], ids=["one", "all"])
def test_a_recorded_angle_that_is_no_number_differs_from_all_numbers(where: Any) -> None:
    pub = describe_pub(ask(0))
    slots = pub.slots.copy()
    slots[where] = np.nan
    recorded = PubRecord(pub.fingerprint, None, 100, pub.points, slots, pub.measured, pub.num_clbits)
    place = np.argwhere(np.isnan(slots))[0]
    with pytest.raises(ReplayDiverged, match=rf"point {place[0]}, angle {place[1]}, .* was recorded with nan"):
        check_same(RoundRecord("main", 0, TARGET, (recorded,), (), complete=True), [pub], [100], TARGET, SAME_RAD)


def test_an_algorithm_that_does_not_get_the_recorded_points_must_repeat_them_to_rounding(
    journal: Journal, uid: str, workspace: Workspace
) -> None:
    for shift in (0.0, 1e-10):
        with session_of(journal, uid, workspace) as session:
            session.sampler().run([ask(0, shift=shift)]).result()
    with session_of(journal, uid, workspace) as session, pytest.raises(ReplayDiverged, match="angle"):
        session.sampler().run([ask(0, shift=1e-8)])


def test_another_target_is_refused_before_anything_is_submitted(
    journal: Journal, uid: str, workspace: Workspace, emulator: Emulator
) -> None:
    with session_of(journal, uid, workspace) as session:
        session.run_round([ask(0)])
    with (
        session_of(journal, uid, workspace, "ionq.simulator") as session,
        pytest.raises(ReplayDiverged, match=r"for target ionq\.simulator, and was recorded on rigetti"),
    ):
        session.run_round([ask(0)])
    assert len(emulator.admin(f"ledger?run={uid}")["entries"]) == 3


def test_a_run_with_an_owner_is_not_claimed(journal: Journal, uid: str, workspace: Workspace) -> None:
    with session_of(journal, uid, workspace), pytest.raises(RunBusy, match="night"), hold_run(journal, uid):
        pass


def test_a_request_to_stop_ends_the_waits_and_the_error_says_how_to_resume(
    journal: Journal, uid: str, workspace: Workspace
) -> None:
    with hold_run(journal, uid) as run, open_run_session(workspace, run=run) as session:
        journal.request_stop(uid)
        run.renew_lease()
        with pytest.raises(HybridloopError, match="runs resume"):
            session.run_round([ask(0)])
    assert {row["status"] for row in list_sessions(workspace, 5)} == {"Succeeded"}
