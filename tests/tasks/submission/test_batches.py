"""Points of a round as rows of few jobs: each point once, bounds kept, counts apart; failures are of whole jobs."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from azure.quantum import Workspace
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub
from hybridloop.budget.caps import Caps
from hybridloop.compiler.programs import describe_pub
from hybridloop.compiler.quil import QuilCompiler, QuilProgram, QuilPub
from hybridloop.errors import CapReached, InputError
from hybridloop.journal import Journal, Slice
from hybridloop.journal.held_run import hold_run
from hybridloop.settings.failure_policy import FailurePolicy, OnLostJob
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Batching, find_target
from hybridloop.tasks.session import OpenSession
from hybridloop.tasks.submission.batches import (
    MAX_RESULT_BYTES,
    MAX_ROWS,
    MAX_ROWS_BYTES,
    MAX_WASTE,
    ParameterRows,
    plan_batches,
    result_bytes,
    shots_of_jobs,
)
from hybridloop.tasks.submission.job_ids import RoundKey
from hybridloop.tasks.submission.results import UnreadableResult, read_quil_results
from tests.conftest import Emulator
from tests.long_form import long_form, short_or_long
from tests.session_helpers import open_run_session
from tests.tasks.conftest import add_run

TARGET = find_target("rigetti.sim.qvm")
KEY = RoundKey("3f0d3a57-64a1-4c5f-8f6b-3a9d5a1a7a01", "main", 0)
POINTS = np.array([[0.0, 0.0], [np.pi, 0.0], [0.3, 1.1]])


def measured_in(bases: str) -> QuantumCircuit:
    theta = ParameterVector("theta", 2)
    circuit = QuantumCircuit(2, 2)
    circuit.ry(theta[0], 0)
    circuit.cx(0, 1)
    circuit.rz(theta[1], 1)
    for qubit, basis in enumerate(bases):
        if basis == "X":
            circuit.h(qubit)
    circuit.measure([0, 1], [0, 1])
    return circuit


def ask(shots: int = 200, points: np.ndarray = POINTS) -> list[SamplerPub]:
    """Return a round of the same points in three bases, each with other shots."""
    numbers = {"ZZ": shots, "XX": 2 * shots + 1, "ZX": shots}
    return [SamplerPub.coerce((measured_in(bases), points, number)) for bases, number in numbers.items()]


DESCRIPTION = describe_pub(ask()[0])


program = functools.cache(lambda text: QuilProgram(lambda: text))


def quil_pub(text: str, points: int, cells: int, bits: int) -> QuilPub:
    rng = np.random.default_rng(points)
    return QuilPub(
        DESCRIPTION, program(text), rng.uniform(-3, 3, (points, cells)), rng.uniform(-3, 3, (points, 2 * bits))
    )


pubs_with_shots = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(1, 40), st.integers(0, 30), st.integers(1, 60_000)),
    min_size=1,
    max_size=6,
)


@long_form
@settings(max_examples=short_or_long(10, 300))
@given(pubs_with_shots, st.sampled_from([1, 8, 40]), st.sampled_from([7, 1000, 10_000]))
def test_each_point_is_measured_once_with_all_its_shots_within_the_bounds_of_a_job(
    drawn: list[tuple[str, int, int, int]], bits: int, max_shots: int
) -> None:
    shots = [min(number, 300 * max_shots) for *_, number in drawn]
    pubs = {i: quil_pub(f"{text}{cells}", points, cells, bits) for i, (text, points, cells, _) in enumerate(drawn)}
    batches = plan_batches(KEY, pubs, shots, replace(TARGET, max_shots=max_shots), seed=3)
    measured: Counter[tuple[int, int]] = Counter()
    for batch in batches:
        rows = batch.rows
        assert tuple(batch.slices[0][:3]) == (batch.key.pub, batch.key.point, batch.key.part)
        assert len({pubs[part.pub].program for part in batch.slices}) == 1
        of_slice = Counter(rows.slice_of)
        for i, part in enumerate(batch.slices):
            measured[part.pub, part.point] += part.shots
            assert (of_slice[i] - 1) * rows.shots < part.shots <= of_slice[i] * rows.shots
        for place, i in enumerate(rows.slice_of):
            pub, point = batch.slices[i][:2]
            assert rows.values["basis"][place] == pubs[pub].basis[point].tolist()
            if pubs[pub].theta.size:
                assert rows.values["theta"][place] == pubs[pub].theta[point].tolist()
        taken = rows.shots * len(rows.slice_of)
        assert rows.shots <= max_shots
        assert taken <= (1 + MAX_WASTE) * sum(part.shots for part in batch.slices)
        assert taken * result_bytes(bits) <= MAX_RESULT_BYTES
        assert len(rows.slice_of) <= MAX_ROWS
        assert len(json.dumps(rows.values)) <= MAX_ROWS_BYTES + 100
        assert ParameterRows.from_bytes(rows.to_bytes()) == rows
    assert measured == {(i, point): shots[i] for i, pub in pubs.items() for point in range(len(pub.basis))}
    assert len({batch.key for batch in batches}) == len(batches)


def test_a_plan_counts_the_jobs_and_shots_that_a_round_has() -> None:
    compiler = QuilCompiler()
    pubs = [compiler.compile(describe_pub(pub)) for pub in ask(5000)]
    shots = [pub.shots or 0 for pub in ask(5000)]
    batches = plan_batches(KEY, dict(enumerate(pubs)), shots, TARGET, seed=1)
    planned = shots_of_jobs(pubs, [pub.program for pub in pubs], [len(POINTS)] * 3, shots, TARGET)
    assert planned == [batch.rows.shots * len(batch.rows.slice_of) for batch in batches]
    assert len(planned) == 1


def test_rows_are_in_random_order_that_is_fixed_by_the_seed() -> None:
    pubs = {0: quil_pub("a", 200, 1, 1)}
    orders = [plan_batches(KEY, pubs, [10], TARGET, seed)[0].rows.slice_of for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(200)) != list(orders[0])


# two slices of 3 and 2 shots in rows of 2: three rows, of which one has a shot too many
ROWS = ParameterRows(2, (1, 0, 0), {"basis": [[0.0]] * 3})
SLICES = (Slice(0, 0, 0, 3), Slice(0, 1, 0, 2))
SHOTS = [[1, 1], [1, 0], [0, 0], [1, 0], [0, 1], [1, 1]]


def test_shots_of_a_result_are_parted_by_row_and_cut_to_those_of_the_slice() -> None:
    first, second = read_quil_results(json.dumps({"ro": SHOTS}).encode(), 2, rows=ROWS, slices=SLICES)
    assert second.bitstrings() == {"01": 1, "11": 1}
    assert first.bitstrings() == {"00": 1, "01": 1, "10": 1}


@pytest.mark.parametrize("bits", [1, 8, 9, 70])
def test_any_writing_of_a_result_is_read_alike(bits: int) -> None:
    shots = np.random.default_rng(bits).integers(0, 2, (6, bits)).tolist()
    texts = [
        json.dumps({"ro": shots}),
        json.dumps({"ro": shots}, separators=(",", ":")),
        json.dumps({"ro": shots}, indent=1),
        json.dumps({"more": [], "ro": shots}),
    ]
    read = [read_quil_results(text.encode(), bits, rows=ROWS, slices=SLICES) for text in texts]
    found = [[counts.bitstrings() for counts in one] for one in read]
    assert found == [found[0]] * len(texts)
    assert found[0][1] == dict(sorted(Counter("".join(map(str, reversed(shot))) for shot in shots[:2]).items()))


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"ro": SHOTS[:5]}, "5 shots for 3 rows of 2 shots"),
        ({"ro": [*SHOTS, [0, 0]]}, "7 shots"),
        ({"ro": [[*bits, 0] for bits in SHOTS]}, "an array"),
        ({"ro": [*SHOTS[:5], [0]]}, "its fields have another form"),
        ({"ro": [*SHOTS[:5], [0, 2]]}, "neither 0 nor 1"),
        ({"ro": [*SHOTS[:5], [0, 0.5]]}, "neither 0 nor 1"),
        ({"ro": [*SHOTS[:5], [0, "1"]]}, "neither 0 nor 1"),
        ({"ro": None}, "an array"),
        ({}, "it has no field .ro."),
        ([], "its fields have another form"),
    ],
)
def test_a_result_with_other_shots_than_asked_for_is_refused(document: object, complaint: str) -> None:
    with pytest.raises(UnreadableResult, match=complaint):
        read_quil_results(json.dumps(document).encode(), 2, rows=ROWS, slices=SLICES)


@contextmanager
def session_of(journal: Journal, uid: str, workspace: Workspace, **options: Any) -> Iterator[OpenSession]:
    with (
        hold_run(journal, uid) as run,
        open_run_session(workspace, TARGET, SessionOptions(**options), run=run) as session,
    ):
        yield session


def found(answer: list[MeasuredPub]) -> list[dict[str, int]]:
    return [counts.bitstrings() for pub in answer for counts in pub if isinstance(counts, Counts)]


def fail_next_job(emulator: Emulator, uid: str, code: str) -> None:
    """Make the service fail the run's next job, which it finds by the beginning of its name."""
    rule = {"fault": "job-fails", "code": code, "job": RoundKey(uid, "main", 0).prefix, "times": 1}
    emulator.admin("faults", {"rules": [rule]})


def jobs_of(emulator: Emulator, uid: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = emulator.admin(f"ledger?run={uid}")["entries"]
    return entries


def test_a_round_of_several_circuits_and_shots_is_one_job_with_the_counts_of_each_point(
    journal: Journal, emulator: Emulator
) -> None:
    uid = add_run(journal)
    with session_of(journal, uid, emulator.workspace()) as session:
        answer = session.run_round(ask(400))
        assert (session.num_jobs, session.snapshot.done) == (1, 1)
        assert session.shots <= (1 + MAX_WASTE) * 3 * 1601
    assert len(jobs_of(emulator, uid)) == 1
    assert [[counts.shots for counts in pub if isinstance(counts, Counts)] for pub in answer] == [
        [400] * 3,
        [801] * 3,
        [400] * 3,
    ]
    by_basis = found(answer)
    assert by_basis[0] == {"00": 400}  # in ZZ: the first two points are basis states
    assert by_basis[1] == {"11": 400}
    assert set(by_basis[3]) == {"00", "01", "10", "11"}  # in XX
    (round_,) = journal.rounds(uid)
    (job,) = round_.jobs
    assert [part[:2] for part in job.slices] == [(i, j) for i in range(3) for j in range(3)]


def test_repeated_rows_are_independent_draws(emulator: Emulator) -> None:
    pubs = [
        SamplerPub.coerce((measured_in("ZZ"), [[np.pi / 2, 0.0]] * 40, 50)),
        SamplerPub.coerce((measured_in("XZ"), [[np.pi / 2, 0.0]], 50 * 40)),
    ]
    with open_run_session(emulator.workspace(), TARGET) as session:
        points, (long,) = session.run_round(pubs)
        assert session.num_jobs == 1
    numbers = [counts.bitstrings().get("00", 0) for counts in points if isinstance(counts, Counts)]
    assert len(set(numbers)) > 5
    assert 12.5 / 3 < float(np.var(numbers)) < 12.5 * 3  # binomial: 50 shots at a half
    assert isinstance(long, Counts)
    assert abs(long.bitstrings()["00"] - 500) < 6 * 500**0.5


def test_a_batched_round_is_replayed_and_resumed_bit_by_bit(journal: Journal, emulator: Emulator) -> None:
    uid, workspace = add_run(journal), emulator.workspace()
    with session_of(journal, uid, workspace) as session:
        first = found(session.run_round(ask()))
    with session_of(journal, uid, workspace) as session:
        assert found(session.run_round(ask())) == first
        assert session.replayed == 1
    with session_of(journal, add_run(journal, "again"), workspace) as session:
        assert found(session.run_round(ask())) == first  # by the seed alone
    assert len(jobs_of(emulator, uid)) == 1


@pytest.mark.parametrize("fails", ["upload", "submit", "download"])
def test_a_job_of_many_points_that_a_process_left_is_completed_by_the_next_one(
    journal: Journal, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    uid, workspace = add_run(journal), emulator.workspace()

    def refuse(*_: object, **__: object) -> Any:
        raise InputError("process", "it died", "Start another one.")

    with monkeypatch.context() as dying:
        dying.setattr(f"hybridloop.azure.client.ServiceClient.{fails}", refuse)
        with pytest.raises(InputError), session_of(journal, uid, workspace) as session:
            session.run_round(ask())
    assert len(jobs_of(emulator, uid)) == (fails == "download")
    with session_of(journal, uid, workspace) as session:
        after = found(session.run_round(ask()))
        assert session.structures_compiled == 0
    assert len(jobs_of(emulator, uid)) == 1
    with session_of(journal, add_run(journal, "undisturbed"), workspace) as session:
        assert found(session.run_round(ask())) == after


def test_a_failed_job_of_many_points_is_one_retry(journal: Journal, emulator: Emulator) -> None:
    uid = add_run(journal)
    fail_next_job(emulator, uid, "TargetUnavailable")
    with session_of(journal, uid, emulator.workspace()) as session:
        answer = session.run_round(ask())
        assert (session.num_jobs, session.retried) == (1, 1)
    assert len(found(answer)) == 9
    (round_,) = journal.rounds(uid)
    assert [(job.attempt, job.state) for job in round_.jobs] == [(0, "failed"), (1, "done")]


def test_a_lost_job_loses_all_its_points_and_names_the_job(journal: Journal, emulator: Emulator) -> None:
    uid = add_run(journal)
    fail_next_job(emulator, uid, "InvalidInputData")
    with session_of(journal, uid, emulator.workspace(), failure=FailurePolicy(on_lost_job=OnLostJob.SKIP)) as session:
        answer = session.run_round(ask())
    assert all(isinstance(point, FailedPoint) and "InvalidInputData" in point.reason for pub in answer for point in pub)
    with session_of(journal, uid, emulator.workspace(), failure=FailurePolicy(on_lost_job=OnLostJob.SKIP)) as session:
        again = session.run_round(ask())
    assert all(isinstance(point, FailedPoint) for pub in again for point in pub)


def test_caps_count_jobs_and_the_shots_of_whole_rows(journal: Journal, emulator: Emulator) -> None:
    uid, workspace = add_run(journal), emulator.workspace()
    with session_of(journal, uid, workspace, caps=Caps(max_jobs=1)) as session:
        session.run_round(ask(500))
        taken = session.meter.shots
        with pytest.raises(CapReached, match="max_jobs"):
            session.run_round(ask(501))
    assert taken == session.shots >= 3 * 2001
    with (
        pytest.raises(CapReached, match="max_shots"),
        session_of(journal, add_run(journal, "fewer"), workspace, caps=Caps(max_shots=taken - 1)) as session,
    ):
        session.run_round(ask(500))


def test_circuits_that_quil_can_not_take_have_jobs_of_their_own_with_one_warning(
    journal: Journal, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    twice = QuantumCircuit(1, 2)
    twice.h(0)
    twice.measure(0, 0)
    twice.measure(0, 1)
    with session_of(journal, add_run(journal), emulator.workspace()) as session:
        *others, last = session.run_round([*ask(), SamplerPub.coerce((twice, None, 50))])
        session.run_round([SamplerPub.coerce((twice, None, 60))])
        assert session.num_jobs == 3
    assert len(found(others)) == 9
    (counts,) = last
    assert isinstance(counts, Counts)
    assert set(counts.bitstrings()) == {"00", "11"}
    assert caplog.text.count("has a job for each point") == 1


def test_a_list_while_a_round_waits_has_no_rows_of_unfinished_jobs(
    journal: Journal, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    from hybridloop.tasks.submission.round_in_flight import RoundInFlight

    observe = RoundInFlight.observe

    def spy(self: RoundInFlight, job: dict[str, Any]) -> None:
        listed.append(job["status"])
        observe(self, job)

    monkeypatch.setattr(RoundInFlight, "observe", spy)
    with session_of(journal, add_run(journal), emulator.workspace()) as session:
        session.run_round(ask())
    assert listed == ["Succeeded"]


def test_batching_is_refused_where_a_job_has_one_point(emulator: Emulator) -> None:
    with (
        pytest.raises(InputError, match="batching"),
        open_run_session(emulator.workspace(), "ionq.simulator", SessionOptions(batching=Batching.ON)),
    ):
        pass
