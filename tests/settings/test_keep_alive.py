"""Rules of keep-alive: due times, modes and costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.errors import InputError
from hybridloop.settings.keep_alive import ExclusiveAccess, IdleRule, KeepAliveMode, SessionActivity, choose, due_at
from hybridloop.targets import find_target

START = 1_800_000_000.0
moments = st.floats(0.0, 1e5).map(lambda after: START + after)
activities = st.builds(
    SessionActivity, st.just(START), st.none() | moments, st.none() | moments, st.integers(0, 3), st.integers(0, 1)
)


@given(activities)
def test_by_the_recorded_rule_idling_counts_from_opening_or_last_end_and_not_while_a_job_runs(
    activity: SessionActivity,
) -> None:
    due = due_at(IdleRule.RECORDED, activity)
    if activity.jobs_in_flight or activity.pings_in_flight:
        assert due is None
    else:
        assert due == max(START, activity.last_job_end or START) + 525.0


@given(activities)
def test_by_the_documented_rule_idling_counts_from_the_last_submission(activity: SessionActivity) -> None:
    assert due_at(IdleRule.DOCUMENTED, activity) == max(START, activity.last_submission or START) + 525.0


@pytest.mark.parametrize(
    ("price", "chosen", "because"),
    [
        ({}, KeepAliveMode.PING, "free"),
        ({"USD": 0.0}, KeepAliveMode.PING, "free"),
        ({"HQC": 5.01}, KeepAliveMode.RENEW, "5.01 HQC"),
        ({"USD": 0.0, "HQC": 5.0}, KeepAliveMode.RENEW, "5 HQC"),
        (None, KeepAliveMode.RENEW, "not known"),
    ],
)
def test_auto_pings_on_free_targets_and_states_the_reason(
    price: dict[str, float] | None, chosen: KeepAliveMode, because: str
) -> None:
    mode, why = choose(KeepAliveMode.AUTO, price)
    assert mode is chosen
    assert because in why
    assert why.endswith(".")


@pytest.mark.parametrize("mode", [KeepAliveMode.PING, KeepAliveMode.RENEW, KeepAliveMode.OFF])
@pytest.mark.parametrize("price", [None, {}, {"USD": 97.5}])
def test_a_chosen_mode_is_used_at_any_cost(mode: KeepAliveMode, price: dict[str, float] | None) -> None:
    assert choose(mode, price)[0] is mode


def test_the_reason_for_a_paid_ping_states_its_price() -> None:
    assert "97.5 USD" in choose(KeepAliveMode.PING, {"USD": 97.5})[1]


def test_a_hold_is_worth_as_many_jobs_as_its_cap_pays_for() -> None:
    assert ExclusiveAccess(100.0).pings(find_target("quantinuum.qpu.h2-1"), {"HQC": 5.02}) == 19


@pytest.mark.parametrize(
    ("hold", "target", "price"),
    [
        (ExclusiveAccess(100.0), "rigetti.sim.qvm", {"USD": 0.0}),
        (ExclusiveAccess(100.0), "quantinuum.qpu.h2-1", None),
        (ExclusiveAccess(100.0, "USD"), "quantinuum.qpu.h2-1", {"HQC": 5.02}),
        (ExclusiveAccess(0.0), "quantinuum.qpu.h2-1", {"HQC": 5.02}),
        (ExclusiveAccess(float("nan")), "quantinuum.qpu.h2-1", {"HQC": 5.02}),
    ],
)
def test_a_hold_that_is_useless_or_without_a_cap_is_refused(
    hold: ExclusiveAccess, target: str, price: dict[str, float] | None
) -> None:
    with pytest.raises(InputError, match="exclusive_access_budget"):
        hold.pings(find_target(target), price)
