"""The table of a run's states: no state is a dead end, the document shows it, and no other move is written."""

from __future__ import annotations

import uuid
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.data.states import TRANSITIONS, Move, State, Who, after, diagram, end_of, state_of
from hybridloop.data.statuses import STATUSES
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.journal import Journal
from hybridloop.journal.held_run import hold_run, new_run
from hybridloop.runs.changes import judge
from hybridloop.runs.hold import write_end
from hybridloop.runs.order import algorithm_order
from hybridloop.settings import ProblemText
from tests.paths import ROOT
from tests.runs.holding_helpers import hold

H2 = ProblemText(name="h2")
HERE = {"name": "here"}


def test_the_document_shows_the_table() -> None:
    assert diagram() in (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_every_state_is_reached_from_new_and_leads_to_an_end() -> None:
    reached = {State.NEW}
    for _ in State:
        reached |= {row.after for row in TRANSITIONS if row.before in reached}
    assert reached == {*State}
    ending = {State.ENDED, State.REFUSED}
    for _ in State:
        ending |= {row.before for row in TRANSITIONS if row.after in ending}
    assert ending == {*State}


def test_every_status_is_a_state_and_every_end_a_move_from_running() -> None:
    assert after(State.NEW, Move.REFUSE) is state_of("refused")
    for status in STATUSES.keys() - {"refused"}:
        assert after(State.RUNNING, end_of(status)) is state_of(status)


@given(st.lists(st.sampled_from(Move), max_size=12))
def test_a_walk_by_the_table_has_an_owner_only_while_it_runs(moves: list[Move]) -> None:
    known = {(row.before, row.move): row for row in TRANSITIONS}
    state = State.NEW
    for move in moves:
        if (state, move) not in known:
            with pytest.raises(ValueError, match=f"a run that is {state} has no move {move}"):
                after(state, move)
            continue
        assert (Who.HOLDER in known[state, move].who) == (state is State.RUNNING and move is not Move.HOLD)
        state = after(state, move)


@pytest.mark.parametrize(("status", "other"), product(("converged", "stopped"), repeat=2))
def test_an_end_is_written_once(journal: Journal, status: str, other: str) -> None:
    uid = str(uuid.uuid4())
    journal.add_run(new_run(uid, key="k", algorithm="vqe", problem="h2", target="rigetti.sim.qvm", seed=1))
    with hold_run(journal, uid) as run:
        with pytest.raises(ValueError, match="a run that is new has no move"):
            write_end(run, status, "")
        run.state = after(run.state, Move.HOLD)
        write_end(run, status, "")
        with pytest.raises(ValueError, match="has no move"):
            write_end(run, other, "")
        assert journal.run(uid).status == status


SETTINGS = VqeSettings(seed=7, max_jobs=10, precision=0.01)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, {}),
        ({"max_jobs": 20}, {Who.PERSON: "extended"}),
        ({"max_jobs": 5}, {Who.PERSON: "max_jobs"}),
        ({"precision": 0.001}, dict.fromkeys((Who.CALLER, Who.HOUSEKEEPING), "precision") | {Who.PERSON: "extended"}),
        ({"precision": 0.1}, dict.fromkeys((Who.CALLER, Who.HOUSEKEEPING, Who.PERSON), "precision")),
        ({"shots": 17}, dict.fromkeys((Who.CALLER, Who.HOUSEKEEPING, Who.PERSON), "shots")),
        ({"seed": 8}, dict.fromkeys((Who.CALLER, Who.HOUSEKEEPING), "seed")),
    ],
)
def test_what_may_change_of_an_ended_run_depends_on_who_asks(
    journal: Journal, changes: dict[str, object], field: dict[Who, str]
) -> None:
    with hold(journal, algorithm_order("vqe", H2, SETTINGS, "k", workspace=HERE)) as run:
        write_end(run, "converged", "")
    record, events = journal.run("k"), journal.events(run.uid)
    for who in (Who.CALLER, Who.PERSON, Who.PREFECT, Who.HOUSEKEEPING):
        order = algorithm_order("vqe", H2, SETTINGS.model_copy(update=changes), "k", workspace=HERE)
        expected = field.get(who)
        if expected in (None, "extended"):
            assert (judge(record, events, order, who) is not None) == (expected == "extended")
        else:
            with pytest.raises(InputError) as refused:
                judge(record, events, order, who)
            assert refused.value.field == expected
