"""Rounds are read back as they were written, bit for bit, and stored counts are never replaced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hybridloop.algorithms.rounds import Counts
from hybridloop.budget.cost_summary import summarize_charges
from hybridloop.errors import JournalDamaged
from hybridloop.journal import DamagedRun, Journal, PubRecord, RunTotals, Slice
from hybridloop.journal.storage.encoding import decode_counts, decode_request, encode_counts, encode_request
from tests.journal.journal_helpers import (
    BODY,
    PROGRAM,
    TARGET,
    add_claimed_run,
    counts,
    execute,
    intents,
    measure,
    outcomes,
    ping,
    pub,
    round_values,
)


def test_a_round_is_read_back_as_it_was_written(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    written, jobs = pub(), intents()
    journal.begin_round(lease, "main", 0, TARGET, [written], jobs, {PROGRAM: BODY})
    begun = journal.round(lease.run_uid, "main", 0)
    assert begun is not None
    assert not begun.complete
    assert [job.state for job in begun.jobs] == ["intended"] * 8
    np.testing.assert_array_equal(begun.pubs[0].points, written.points)
    np.testing.assert_array_equal(begun.pubs[0].slots, written.slots)
    assert begun.pubs[0].measured == written.measured

    journal.mark_submitted(lease, [job.id for job in jobs[:3]])
    journal.record_outcomes(lease, "main", 0, outcomes(jobs)[:2], complete=False)
    midway = journal.round(lease.run_uid, "main", 0)
    assert midway is not None
    assert [job.state for job in midway.jobs] == ["done"] * 2 + ["submitted"] + ["intended"] * 5

    journal.record_outcomes(lease, "main", 0, outcomes(jobs), complete=True)
    found = journal.round(lease.run_uid, "main", 0)
    assert found is not None
    assert found.complete
    for number, (job, intent) in enumerate(zip(found.jobs, jobs, strict=True)):
        assert (job.id, job.point, job.shots, job.reserved) == (intent.id, number, 1000, {"USD": 0.5, "HQC": 3.0})
        assert job.counts is not None
        assert [part.bitstrings() for part in job.counts] == [counts(number).bitstrings()]
        assert job.billed == {"USD": 0.25}


def test_a_round_that_never_began_is_none(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    measure(journal, lease, 0)
    assert journal.round(lease.run_uid, "main", 1) is None
    assert journal.round(lease.run_uid, "other", 0) is None


def test_rounds_are_read_stream_by_stream_in_order(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    for sequence in range(3):
        for stream in ("b", "a"):
            measure(journal, lease, sequence, points=2, stream=stream)
    found = list(journal.rounds(lease.run_uid))
    assert [(round_.stream, round_.sequence) for round_ in found] == [(s, n) for s in "ab" for n in range(3)]
    for round_ in found:
        alone = journal.round(lease.run_uid, round_.stream, round_.sequence)
        assert alone is not None
        assert round_values(alone) == round_values(round_)


def test_a_stream_is_written_without_gaps_and_without_repeats(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    measure(journal, lease, 0)
    before = round_values(next(journal.rounds(lease.run_uid)))
    for sequence in (0, 2):
        with pytest.raises(JournalDamaged, match="the next one of its stream is 1"):
            journal.begin_round(lease, "main", sequence, TARGET, [pub()], intents(), {})
    assert [round_values(round_) for round_ in journal.rounds(lease.run_uid)] == [before]


def test_stored_counts_are_never_replaced(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    ids = measure(journal, lease, 0)
    before = journal.round(lease.run_uid, "main", 0)
    assert before is not None
    journal.mark_submitted(lease, ids)
    again = [replace(job, counts=(counts(99),)) for job in before.jobs]
    journal.record_outcomes(lease, "main", 0, again, complete=True)
    lost = [replace(job, state="lost", counts=None, reason="late") for job in before.jobs]
    journal.record_outcomes(lease, "main", 0, lost, complete=False)
    after = journal.round(lease.run_uid, "main", 0)
    assert after is not None
    assert round_values(after) == round_values(before)


def test_a_late_bill_is_added(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    measure(journal, lease, 0, points=2)
    (stored,) = journal.rounds(lease.run_uid)
    journal.record_outcomes(lease, "main", 0, [replace(stored.jobs[0], billed={"USD": 9.0})], complete=True)
    found = journal.round(lease.run_uid, "main", 0)
    assert found is not None
    assert [job.billed for job in found.jobs] == [{"USD": 9.0}, {"USD": 0.25}]
    assert all(job.counts is not None for job in found.jobs)


def test_further_attempts_are_stored_beside_the_first(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    first, second = intents(points=2), intents(points=2, attempt=1)[:1]
    journal.begin_round(lease, "main", 0, TARGET, [pub(points=2)], first, {PROGRAM: BODY})
    lost = replace(first[0], state="failed", reason="target unavailable \0", billed={})
    journal.record_outcomes(lease, "main", 0, [lost], complete=False)
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


def test_attempts_of_a_missing_round_are_refused(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    with pytest.raises(JournalDamaged, match="it is missing"):
        journal.add_attempts(lease, "main", 0, intents())
    with pytest.raises(JournalDamaged, match="it is missing"):
        journal.mark_submitted(lease, ["no-job"])


def test_a_stored_program_is_not_replaced(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    measure(journal, lease, 0)
    journal.begin_round(lease, "main", 1, TARGET, [pub()], intents(), {PROGRAM: b"of another compiler"})
    assert journal.program(PROGRAM) == BODY
    assert journal.program("payload:unknown") is None


def test_spending_is_the_billed_amount_or_else_the_reserved_one(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    assert journal.charges(lease.run_uid) == []
    measure(journal, lease, 0, points=2)
    journal.begin_round(lease, "main", 1, TARGET, [pub(points=2)], intents(points=2), {})
    first, second = ping(0), ping(1)
    journal.add_ping(lease, first)
    journal.add_ping(lease, second)
    journal.end_ping(lease, first.id, "done", {"USD": 1.0})
    taken = summarize_charges(journal.charges(lease.run_uid), None)
    assert (taken.jobs, taken.shots) == (6, 4002)
    assert taken.amounts == {"USD": pytest.approx(2 * 0.25 + 2 * 0.5 + 1.0 + 0.01), "HQC": 6.0}
    progress = journal.progress(lease.run_uid)
    assert (progress.rounds, progress.rounds_complete, progress.pings) == (2, 1, 1)  # one was not sent
    assert progress.jobs == {"done": 2, "intended": 2}
    assert overview(journal) == {"h2-night": RunTotals(rounds_complete=1, jobs=4, pings=1)}


def test_a_round_of_a_thousand_jobs_fits(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    measure(journal, lease, 0, points=1000)
    found = journal.round(lease.run_uid, "main", 0)
    assert found is not None
    assert [job.point for job in found.jobs] == list(range(1000))


bits = st.integers(1, 40)


@given(st.data(), bits, st.booleans(), st.integers(1, 3))
def test_counts_of_slices_survive_their_encoding(data: st.DataObject, num_bits: int, exact: bool, slices: int) -> None:  # noqa: FBT001 - Hypothesis's
    keys = st.integers(0, 2**num_bits - 1).map(lambda value: f"{value:0{num_bits}b}")
    drawn = st.dictionaries(keys, st.integers(0, 2**62), min_size=1)
    written = tuple(Counts.from_bitstrings(data.draw(drawn), exact=exact) for _ in range(slices))
    for before, after in zip(written, decode_counts(encode_counts(written)), strict=True):
        assert (after.num_bits, after.exact, after.bitstrings()) == (before.num_bits, exact, before.bitstrings())
        assert after.outcomes.dtype == np.uint8
        assert after.counts.dtype == np.int64


shapes = st.tuples(st.integers(0, 4), st.integers(0, 4))


@given(st.lists(st.tuples(arrays(np.float64, shapes), arrays(np.float64, shapes), st.text(max_size=5)), max_size=3))
def test_pubs_survive_their_encoding_bit_for_bit(drawn: list[tuple[np.ndarray, np.ndarray, str]]) -> None:
    pubs = [PubRecord(name, None, 7, points, slots, (3, 0), 4) for points, slots, name in drawn]
    sliced = ((Slice(0, 0, 0, 5), Slice(1, 2, 0, 7)), (Slice(0, 1, 1, 1),))[: len(pubs)]
    again, slices, seed = decode_request(encode_request(pubs, sliced, 2**70))
    assert (slices, seed) == (sliced, 2**70)
    assert [(p.fingerprint, p.shots, p.measured, p.num_clbits) for p in again] == [
        (p.fingerprint, p.shots, p.measured, p.num_clbits) for p in pubs
    ]
    for before, after in zip(pubs, again, strict=True):
        assert after.points.tobytes() == before.points.tobytes()
        assert after.slots.tobytes() == before.slots.tobytes()
        assert (after.points.shape, after.slots.shape) == (before.points.shape, before.slots.shape)


@given(st.binary(max_size=60))
def test_bytes_that_are_not_counts_raise_a_value_error(stored: bytes) -> None:
    try:
        decode_counts(stored)
    except ValueError:
        return
    assert encode_counts(decode_counts(stored)) == stored


def overview(journal: Journal) -> dict[str, object]:
    """Return each run's totals by key, or the table with a damaged row."""
    return {
        entry.key if isinstance(entry, DamagedRun) else entry[0].key: (
            entry.error.table if isinstance(entry, DamagedRun) else entry[1]
        )
        for entry in journal.overview(limit=10)
    }


def test_a_list_of_runs_verifies_what_it_shows_and_does_not_read_complete_rounds(
    journal: Journal, new_url: str
) -> None:
    lease, other = add_claimed_run(journal), add_claimed_run(journal, "other")
    measure(journal, lease, 0)
    journal.begin_round(lease, "main", 1, TARGET, [pub()], intents(), {})
    totals: dict[str, object] = {"h2-night": RunTotals(1, 16, 0), "other": RunTotals(0, 0, 0)}
    assert overview(journal) == totals
    assert len(journal.overview(limit=1)) == 1
    execute(new_url, "UPDATE rounds SET target = 'damaged' WHERE sequence = 0")
    assert overview(journal) == totals
    execute(new_url, "UPDATE rounds SET target = 'damaged' WHERE sequence = 1")
    assert overview(journal) == {**totals, "h2-night": "rounds"}
    execute(new_url, "DELETE FROM rounds")
    execute(new_url, f"UPDATE states SET jobs = 1 WHERE run_uid = '{other.run_uid}'")
    assert overview(journal)["other"] == "states"


def test_pings_that_were_not_sent_do_not_count(journal: Journal) -> None:
    lease, other = add_claimed_run(journal), add_claimed_run(journal, "other")
    for n, state in enumerate(("done", "failed", "submitted", "lost", "intended")):
        prepared = ping(n)
        journal.add_ping(lease, prepared)
        if state != "intended":
            journal.end_ping(lease, prepared.id, state)
    assert overview(journal) == {"h2-night": RunTotals(0, 0, 3), "other": RunTotals(0, 0, 0)}
    assert [journal.progress(uid).pings for uid in (lease.run_uid, other.run_uid)] == [3, 0]
