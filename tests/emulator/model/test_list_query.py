"""Parser of list queries: filters, orders and page bounds."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.model.errors import ApiError
from hybridloop.emulator.model.list_query import (
    CreationTime,
    FilterTerm,
    IsOneOf,
    ListProperty,
    NameStartsWith,
    parse_query,
)

DAY = datetime(2026, 3, 9, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("startswith(Name, 'vqe')", (NameStartsWith("vqe"),)),
        ("startswith(Name,'it''s')", (NameStartsWith("it's"),)),
        ("(ItemType eq 'job')", (IsOneOf(ListProperty.ITEM_TYPE, ("job",)),)),
        ("State eq 'Failure(s)'", (IsOneOf(ListProperty.STATE, ("Failure(s)",)),)),
        (
            "(Target eq 'ionq.simulator' or Target eq 'rigetti.sim.qvm')",
            (IsOneOf(ListProperty.TARGET, ("ionq.simulator", "rigetti.sim.qvm")),),
        ),
        ("CreationTime ge 2026-03-09", (CreationTime(">=", DAY),)),
        ("CreationTime le 2026-03-09", (CreationTime("<", DAY + 86_400),)),
        (
            "startswith(Name, 'a') and (ProviderId eq 'ionq') and CreationTime ge 2026-03-09",
            (NameStartsWith("a"), IsOneOf(ListProperty.PROVIDER_ID, ("ionq",)), CreationTime(">=", DAY)),
        ),
    ],
)
def test_filters_are_parsed(text: str, terms: tuple[FilterTerm, ...]) -> None:
    assert parse_query(text, None, None, None).terms == terms


@pytest.mark.parametrize(
    "text",
    [
        "startswith(Name, 'it's')",
        "startswith(Target, 'a')",
        "Name eq 'a'",
        "status eq 'a'",
        "State eq 'a' or Target eq 'b'",
        "State eq 'a' and",
        "State eq 'a') or (1 eq 1",
        "State eq 'a'; DROP TABLE jobs",
        "State ne 'a'",
        "CreationTime ge 2026-13-09",
        "CreationTime eq 2026-03-09",
        "(State eq 'a'",
        "and",
        "'a' eq State",
        "State eq 'a' -- ",
        "State eq 'a" + "x" * 9000,
    ],
)
def test_a_filter_outside_the_grammar_is_refused_with_400(text: str) -> None:
    with pytest.raises(ApiError) as refusal:
        parse_query(text, None, None, None)
    assert refusal.value.status == 400


@given(st.text(alphabet="()'; ,abNameStartswithqorndCgeTl2026-039\x00é", max_size=60))
def test_any_filter_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(ApiError):  # any other exception would be a 500 response
        assert parse_query(text, None, None, None).top == 100


def test_orders_and_page_bounds_are_parsed() -> None:
    query = parse_query(None, "CreationTime desc", "200", "1000")
    assert (query.order, query.descending, query.skip, query.top) == (ListProperty.CREATION_TIME, True, 200, 100)
    query = parse_query(None, "Name", None, "7")
    assert (query.order, query.descending, query.skip, query.top) == (ListProperty.NAME, False, 0, 7)


@pytest.mark.parametrize(
    ("orderby", "skip", "top"),
    [
        ("Name; DROP TABLE jobs", None, None),
        ("Name up", None, None),
        ("id asc", None, None),
        (None, "-1", None),
        (None, "1e3", None),
        (None, None, "²"),
        (None, "9" * 30, None),
    ],
)
def test_bad_orders_and_bounds_are_refused_with_400(orderby: str | None, skip: str | None, top: str | None) -> None:
    with pytest.raises(ApiError) as refusal:
        parse_query(None, orderby, skip, top)
    assert refusal.value.status == 400
