"""Rounds of earlier revisions: each is taken once, by what it measured, and what is left is pooled once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import Counts, FailedPoint
from hybridloop.compiler.programs import describe_pub
from hybridloop.journal import Job, PubRecord, RoundRecord
from hybridloop.tasks.replay.earlier_rounds import NO_EARLIER, EarlierRounds
from tests.long_form import long_form, short_or_long

ANGLE = Parameter("a")


def circuit(flips: int) -> QuantumCircuit:
    made = QuantumCircuit(2, 2)
    made.ry(ANGLE, 0)
    for _ in range(flips):
        made.x(1)
    made.measure([0, 1], [0, 1])
    return made


CIRCUITS = [circuit(0), circuit(1)]


def pub(kind: int, points: Sequence[float], shots: int) -> SamplerPub:
    return SamplerPub.coerce((CIRCUITS[kind], np.array(points)[:, None], shots))


def record(number: int, pubs: Sequence[SamplerPub], *, lost: bool = False) -> RoundRecord:
    """Return a complete round in which each shot of a point gave the same outcome."""
    records, jobs = [], []
    for place, each in enumerate(pubs):
        found, shots = describe_pub(each), int(each.shots or 0)
        records.append(
            PubRecord(found.fingerprint, None, shots, found.points, found.slots, found.measured, found.num_clbits)
        )
        for point in range(len(found.points)):
            counts = None if lost else (Counts.from_bitstrings({"01": shots}),)
            state = "lost" if lost else "done"
            name = f"{number}.{place}.{point}"
            jobs.append(Job(name, place, point, 0, 0, shots, "p", 0, {}, state, counts, "lost" if lost else ""))
    return RoundRecord("main", number, "t", tuple(records), tuple(jobs), complete=True)


def shots_of(stages: Sequence[Sequence[Sequence[Counts | FailedPoint]]]) -> list[list[list[int]]]:
    return [
        [[each.shots if isinstance(each, Counts) else 0 for each in result] for result in stage] for stage in stages
    ]


def test_without_an_extension_there_is_nothing_to_take_and_nothing_left() -> None:
    assert NO_EARLIER.take([pub(0, [0.1], 5)]) is None
    assert NO_EARLIER.left([pub(0, [0.1], 5)]) == []


def test_a_round_is_taken_once_and_only_whole() -> None:
    asked = [pub(0, [0.1, 0.2], 5), pub(1, [0.3], 7)]
    earlier = EarlierRounds([[record(0, asked), record(1, asked)]])
    assert earlier.take([pub(0, [0.1, 0.2], 5)]) is None
    assert earlier.take([pub(0, [0.1, 0.2], 6), pub(1, [0.3], 7)]) is None
    assert earlier.take([pub(0, [0.1, 0.2], 5), pub(1, [0.31], 7)]) is None
    taken = [earlier.take(asked), earlier.take(asked), earlier.take(asked)]
    assert [None if each is None else each.sequence for each in taken] == [0, 1, None]
    assert earlier.left(asked) == []


def test_what_is_left_is_pooled_by_revision_and_given_once() -> None:
    first = [record(0, [pub(0, [0.1, 0.2], 5), pub(1, [0.1], 7)]), record(1, [pub(0, [0.2], 11)])]
    earlier = EarlierRounds([first, [record(0, [pub(0, [0.2], 100)])]])
    asked = [pub(0, [0.2], 1), pub(1, [0.2], 1)]
    assert shots_of(earlier.left(asked)) == [[[16], [0]], [[100], [0]]]
    assert earlier.left(asked) == []
    assert earlier.take([pub(0, [0.2], 11)]) is None  # its counts are in use


def test_lost_points_and_rounds_that_are_not_complete_are_not_left() -> None:
    asked = [pub(0, [0.2], 5)]
    whole = record(0, asked)
    unfinished = RoundRecord(*("main", 1, "t", whole.pubs, whole.jobs), complete=False)
    earlier = EarlierRounds([[record(0, asked, lost=True), unfinished]])
    assert earlier.left(asked) == []


def test_a_circuit_that_is_asked_for_twice_gets_the_counts_of_two_pubs_of_a_round() -> None:
    earlier = EarlierRounds([[record(0, [pub(0, [0.2], 5), pub(0, [0.2], 9)]), record(1, [pub(0, [0.2], 100)])]])
    assert shots_of(earlier.left([pub(0, [0.2], 1), pub(0, [0.2], 1)])) == [[[105], [9]]]


@long_form
@settings(max_examples=short_or_long(100, 300))
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.2]), st.integers(1, 9)), min_size=1)),
    st.data(),
)
def test_no_shot_is_given_twice(rounds: list[list[tuple[int, float, int]]], data: Any) -> None:
    pubs = [[pub(kind, [angle], shots) for kind, angle, shots in each] for each in rounds]
    earlier = EarlierRounds([[record(number, each) for number, each in enumerate(pubs)]])
    given_out = 0
    for _ in range(2 * len(pubs)):
        if pubs and data.draw(st.booleans()):
            taken = earlier.take(data.draw(st.sampled_from(pubs)))
            given_out += 0 if taken is None else sum(job.shots for job in taken.jobs)
        else:
            left = earlier.left([pub(kind, [angle], 1) for kind in (0, 1) for angle in (0.1, 0.2)])
            given_out += sum(number for stage in shots_of(left) for result in stage for number in result)
    assert given_out <= sum(shots for each in rounds for _, _, shots in each)
    left = earlier.left([pub(kind, [angle], 1) for kind in (0, 1) for angle in (0.1, 0.2)])
    given_out += sum(number for stage in shots_of(left) for result in stage for number in result)
    assert given_out == sum(shots for each in rounds for _, _, shots in each)
