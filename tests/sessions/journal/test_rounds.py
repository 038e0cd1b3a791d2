"""Rounds come back as they were written, bit for bit, and what was measured is never replaced."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hybridloop.algorithms.rounds import Counts
from hybridloop.errors import JournalDamaged
from hybridloop.sessions.journal import DamagedRun, Effort, JobOutcome, Journal, PubRecord
from hybridloop.sessions.journal.encoding import decode_counts, decode_pubs, encode_counts, encode_pubs
from hybridloop.sessions.meter import meter_of
from tests.sessions.journal.examples import (
    BODY,
    PROGRAM,
    TARGET,
    claimed,
    counts,
    execute,
    image,
    intents,
    measure,
    outcomes,
    ping,
    pub,
)


def test_a_round_comes_back_as_it_was_asked_and_measured(journal: Journal) -> None:
    lease = claimed(journal)
    asked, wanted = pub(), intents()
    journal.begin_round(lease, "main", 0, TARGET, [asked], wanted, {PROGRAM: BODY})
    begun = journal.round(lease.run_uid, "main", 0)
    assert begun is not None
    assert not begun.complete
    assert [job.state for job in begun.jobs] == ["intended"] * 8
    np.testing.assert_array_equal(begun.pubs[0].points, asked.points)
    np.testing.assert_array_equal(begun.pubs[0].slots, asked.slots)
    assert begun.pubs[0].measured == asked.measured

    journal.submitted(lease, [job.id for job in wanted[:3]])
    journal.finished(lease, "main", 0, outcomes(wanted)[:2], complete=False)
    midway = journal.round(lease.run_uid, "main", 0)
    assert midway is not None
    assert [job.state for job in midway.jobs] == ["done"] * 2 + ["submitted"] + ["intended"] * 5

    journal.finished(lease, "main", 0, outcomes(wanted), complete=True)
    found = journal.round(lease.run_uid, "main", 0)
    assert found is not None
    assert found.complete
    for number, (job, intent) in enumerate(zip(found.jobs, wanted, strict=True)):
        assert (job.id, job.point, job.shots, job.reserved) == (intent.id, number, 1000, {"USD": 0.5, "HQC": 3.0})
        assert job.counts is not None
        assert job.counts.bitstrings() == counts(number).bitstrings()
        assert job.billed == {"USD": 0.25}


def test_a_round_that_was_never_begun_is_not_there(journal: Journal) -> None:
    lease = claimed(journal)
    measure(journal, lease, 0)
    assert journal.round(lease.run_uid, "main", 1) is None
    assert journal.round(lease.run_uid, "other", 0) is None


def test_all_rounds_come_stream_by_stream_in_their_order(journal: Journal) -> None:
    lease = claimed(journal)
    for sequence in range(3):
        for stream in ("b", "a"):
            measure(journal, lease, sequence, points=2, stream=stream)
    found = list(journal.rounds(lease.run_uid))
    assert [(each.stream, each.sequence) for each in found] == [(s, n) for s in "ab" for n in range(3)]
    for each in found:
        alone = journal.round(lease.run_uid, each.stream, each.sequence)
        assert alone is not None
        assert image(alone) == image(each)


def test_a_stream_is_written_without_gaps_and_without_repeats(journal: Journal) -> None:
    lease = claimed(journal)
    measure(journal, lease, 0)
    before = image(next(journal.rounds(lease.run_uid)))
    for sequence in (0, 2):
        with pytest.raises(JournalDamaged, match="number 1 is the next"):
            journal.begin_round(lease, "main", sequence, TARGET, [pub()], intents(), {})
    assert [image(each) for each in journal.rounds(lease.run_uid)] == [before]


def test_counts_that_are_there_are_never_replaced(journal: Journal) -> None:
    lease = claimed(journal)
    ids = measure(journal, lease, 0)
    before = journal.round(lease.run_uid, "main", 0)
    assert before is not None
    journal.submitted(lease, ids)
    journal.finished(lease, "main", 0, [JobOutcome(each, "done", counts(99)) for each in ids], complete=True)
    journal.finished(lease, "main", 0, [JobOutcome(each, "lost", reason="late") for each in ids], complete=False)
    after = journal.round(lease.run_uid, "main", 0)
    assert after is not None
    assert image(after) == image(before)


def test_a_bill_that_comes_late_is_added(journal: Journal) -> None:
    lease = claimed(journal)
    ids = measure(journal, lease, 0, points=2)
    journal.finished(lease, "main", 0, [JobOutcome(ids[0], "done", None, "", {"USD": 9.0})], complete=True)
    found = journal.round(lease.run_uid, "main", 0)
    assert found is not None
    assert [job.billed for job in found.jobs] == [{"USD": 9.0}, {"USD": 0.25}]
    assert all(job.counts is not None for job in found.jobs)


def test_further_attempts_stand_beside_the_first(journal: Journal) -> None:
    lease = claimed(journal)
    first, second = intents(points=2), intents(points=2, attempt=1)[:1]
    journal.begin_round(lease, "main", 0, TARGET, [pub(points=2)], first, {PROGRAM: BODY})
    lost = JobOutcome(first[0].id, "failed", None, "target unavailable \0", {})
    journal.finished(lease, "main", 0, [lost], complete=False)
    journal.add_attempts(lease, "main", 0, second, {"payload:1": b"other"})
    found = journal.round(lease.run_uid, "main", 0)
    assert found is not None
    assert [(job.point, job.attempt, job.state) for job in found.jobs] == [
        (0, 0, "failed"),
        (0, 1, "intended"),
        (1, 0, "intended"),
    ]
    assert found.jobs[0].reason == "target unavailable \ufffd"
    assert journal.program("payload:1") == b"other"


def test_attempts_of_a_round_that_is_not_there_are_refused(journal: Journal) -> None:
    lease = claimed(journal)
    with pytest.raises(JournalDamaged, match="it is missing"):
        journal.add_attempts(lease, "main", 0, intents())
    with pytest.raises(JournalDamaged, match="it is missing"):
        journal.submitted(lease, ["no-job"])


def test_the_program_that_came_first_stays(journal: Journal) -> None:
    lease = claimed(journal)
    measure(journal, lease, 0)
    journal.begin_round(lease, "main", 1, TARGET, [pub()], intents(), {PROGRAM: b"of another compiler"})
    assert journal.program(PROGRAM) == BODY
    assert journal.program("payload:unknown") is None


def test_what_was_spent_is_what_was_billed_or_else_reserved(journal: Journal) -> None:
    lease = claimed(journal)
    assert journal.charges(lease.run_uid) == []
    measure(journal, lease, 0, points=2)
    journal.begin_round(lease, "main", 1, TARGET, [pub(points=2)], intents(points=2), {})
    first, second = ping(0), ping(1)
    journal.add_ping(lease, first)
    journal.add_ping(lease, second)
    journal.end_ping(lease, first.id, "done", {"USD": 1.0})
    taken = meter_of(journal.charges(lease.run_uid), None)
    assert (taken.jobs, taken.shots) == (6, 4002)
    assert taken.amounts == {"USD": pytest.approx(2 * 0.25 + 2 * 0.5 + 1.0 + 0.01), "HQC": 6.0}
    progress = journal.progress(lease.run_uid)
    assert (progress.rounds, progress.rounds_complete, progress.pings) == (2, 1, 1)  # one stands by
    assert progress.jobs == {"done": 2, "intended": 2}
    assert overview(journal) == {"h2-night": Effort(rounds_complete=1, jobs=4, pings=1)}


def test_a_round_of_a_thousand_jobs_fits(journal: Journal) -> None:
    lease = claimed(journal)
    measure(journal, lease, 0, points=1000)
    found = journal.round(lease.run_uid, "main", 0)
    assert found is not None
    assert [job.point for job in found.jobs] == list(range(1000))


bits = st.integers(1, 40)


@given(st.data(), bits, st.booleans())
def test_counts_survive_their_encoding(data: st.DataObject, num_bits: int, exact: bool) -> None:  # noqa: FBT001 - Hypothesis's
    keys = st.integers(0, 2**num_bits - 1).map(lambda value: f"{value:0{num_bits}b}")
    told = Counts.from_bitstrings(data.draw(st.dictionaries(keys, st.integers(0, 2**62), min_size=1)), exact=exact)
    again = decode_counts(encode_counts(told))
    assert (again.num_bits, again.exact, again.bitstrings()) == (told.num_bits, exact, told.bitstrings())
    assert again.outcomes.dtype == np.uint8
    assert again.counts.dtype == np.int64


shapes = st.tuples(st.integers(0, 4), st.integers(0, 4))


@given(st.lists(st.tuples(arrays(np.float64, shapes), arrays(np.float64, shapes), st.text(max_size=5)), max_size=3))
def test_pubs_survive_their_encoding_bit_for_bit(told: list[tuple[np.ndarray, np.ndarray, str]]) -> None:
    pubs = [PubRecord(name, None, 7, points, slots, (3, 0), 4) for points, slots, name in told]
    again = decode_pubs(encode_pubs(pubs))
    assert [(p.fingerprint, p.shots, p.measured, p.num_clbits) for p in again] == [
        (p.fingerprint, p.shots, p.measured, p.num_clbits) for p in pubs
    ]
    for before, after in zip(pubs, again, strict=True):
        assert after.points.tobytes() == before.points.tobytes()
        assert after.slots.tobytes() == before.slots.tobytes()
        assert (after.points.shape, after.slots.shape) == (before.points.shape, before.slots.shape)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_counts_are_refused_with_a_value_error(stored: bytes) -> None:
    try:
        decode_counts(stored)
    except ValueError:
        return
    assert encode_counts(decode_counts(stored)) == stored


def overview(journal: Journal) -> dict[str, object]:
    """How far each run is, by key, or the table in which it is damaged."""
    return {
        each.key if isinstance(each, DamagedRun) else each[0].key: (
            each.error.table if isinstance(each, DamagedRun) else each[1]
        )
        for each in journal.overview(limit=10)
    }


def test_a_list_of_runs_verifies_what_it_tells_and_leaves_complete_rounds_unread(
    journal: Journal, new_url: str
) -> None:
    lease, other = claimed(journal), claimed(journal, "other")
    measure(journal, lease, 0)
    journal.begin_round(lease, "main", 1, TARGET, [pub()], intents(), {})
    told: dict[str, object] = {"h2-night": Effort(1, 16, 0), "other": Effort(0, 0, 0)}
    assert overview(journal) == told
    assert len(journal.overview(limit=1)) == 1
    execute(new_url, "UPDATE rounds SET target = 'damaged' WHERE sequence = 0")
    assert overview(journal) == told
    execute(new_url, "UPDATE rounds SET target = 'damaged' WHERE sequence = 1")
    assert overview(journal) == {**told, "h2-night": "rounds"}
    execute(new_url, "DELETE FROM rounds")
    execute(new_url, f"UPDATE states SET jobs = 1 WHERE run_uid = '{other.run_uid}'")
    assert overview(journal)["other"] == "states"


def test_pings_that_stand_by_or_were_never_needed_are_no_jobs_of_a_run(journal: Journal) -> None:
    lease, other = claimed(journal), claimed(journal, "other")
    for n, state in enumerate(("done", "failed", "submitted", "lost", "intended")):
        asked = ping(n)
        journal.add_ping(lease, asked)
        if state != "intended":
            journal.end_ping(lease, asked.id, state)
    assert overview(journal) == {"h2-night": Effort(0, 0, 3), "other": Effort(0, 0, 0)}
    assert [journal.progress(uid).pings for uid in (lease.run_uid, other.run_uid)] == [3, 0]
