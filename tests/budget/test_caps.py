"""Budget: spending never exceeds a cap, in random sequences of calls and with threads; messages of caps."""

from __future__ import annotations

import math
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hybridloop.budget.caps import (
    Budget,
    Caps,
    Reservation,
    Spending,
    check_caps,
    ineffective_caps_warning,
    settled_amounts,
)
from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.errors import CapReached, InputError
from hybridloop.journal.held_run import how_to_resume, new_run
from hybridloop.runtime.run_events import RunEvent, observed_by
from hybridloop.targets import find_target, known_targets
from hybridloop.targets.prices import UNITS, Price, ping_price, price_of_job

FREE = Price("USD", 0.0, 0.0)
PRICES = st.one_of(
    st.builds(Price, st.just("USD"), st.floats(0, 1), st.floats(1, 3)),
    st.builds(Price, st.just("HQC"), st.floats(0, 1), st.floats(1, 20)),
    st.builds(Price, st.just("eHQC"), st.floats(0, 1), st.none()),  # at most 5 by the caps below
)


class BudgetMachine(RuleBasedStateMachine):
    """A run that reserves, settles, releases and is resumed; the model counts what the jobs really cost."""

    @initialize(jobs=st.integers(1, 40), usd=st.floats(0, 30), hqc=st.floats(0, 60))
    def begin(self, jobs: int, usd: float, hqc: float) -> None:
        self.caps = Caps(
            max_jobs=jobs,
            max_shots=50 * jobs,
            max_cost={"USD": usd, "HQC": hqc, "eHQC": 25.0},
            max_cost_per_job={"eHQC": 5.0},
        )
        self.budget = Budget(self.caps)
        self.reservations: list[Reservation] = []
        self.spent = Spending()

    @rule(jobs=st.lists(st.tuples(st.integers(1, 100), PRICES), min_size=1, max_size=5))
    def reserve(self, jobs: list[tuple[int, Price]]) -> None:
        shots, prices = zip(*jobs, strict=True)
        before = (self.budget.spent, self.budget.reserved)
        try:
            self.reservations += self.budget.reserve(shots, prices, now=0.0)
        except CapReached:
            assert (self.budget.spent, self.budget.reserved) == before

    @precondition(lambda self: self.reservations)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        reservation = self.reservations.pop(data.draw(st.integers(0, len(self.reservations) - 1)))
        shares = st.one_of(st.none(), st.floats(0, 1))
        share, reserved = data.draw(shares), reservation.amounts
        bill = None if share is None else {unit: share * most for unit, most in reserved.items()}
        self.budget.settle(reservation, bill)
        self.spent += Spending(1, reservation.shots, reserved if bill is None else bill)

    @precondition(lambda self: self.reservations)
    @rule()
    def release(self) -> None:
        self.budget.release(self.reservations.pop())

    def in_flight(self) -> Spending:
        return sum((Spending(1, job.shots, job.amounts) for job in self.reservations), Spending())

    @rule()
    def resume(self) -> None:
        in_journal = self.spent + self.in_flight()
        self.budget = Budget(self.caps, in_journal)
        self.reservations = [self.budget.adopt(item.shots, item.amounts, FREE) for item in self.reservations]

    @invariant()
    def no_cap_is_exceeded_even_if_all_jobs_in_flight_cost_their_maximum(self) -> None:
        worst = self.spent + self.in_flight()
        assert worst.jobs <= (self.caps.max_jobs or 0)
        assert worst.shots <= (self.caps.max_shots or 0)
        for unit, cap in self.caps.max_cost.items():
            assert worst.amounts.get(unit, 0.0) <= cap + 1e-7

    @invariant()
    def the_budget_agrees_with_the_model(self) -> None:
        assert is_same(self.budget.spent, self.spent)
        assert is_same(self.budget.reserved, self.in_flight())


def is_same(one: Spending, other: Spending) -> bool:
    units = {*one.amounts, *other.amounts}
    return (one.jobs, one.shots) == (other.jobs, other.shots) and all(
        math.isclose(one.amounts.get(unit, 0.0), other.amounts.get(unit, 0.0), abs_tol=1e-9) for unit in units
    )


TestBudgetMachine = BudgetMachine.TestCase
TestBudgetMachine.settings = settings(max_examples=60, stateful_step_count=30)


@pytest.fixture
def threads_that_switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.claim("maximum cost is reserved before it is sent", "spends never exceeds its cap")
@pytest.mark.usefixtures("threads_that_switch_often")
def test_concurrent_threads_reserve_up_to_the_cap_and_no_more() -> None:
    races, threads = 200, 4
    budgets = [Budget(Caps(max_cost={"USD": 12.0})) for _ in range(races)]
    start = threading.Barrier(threads)

    def spend() -> None:
        for budget in budgets:
            start.wait()
            for _ in range(5):
                with suppress(CapReached):
                    budget.settle(budget.reserve([1], [Price("USD", 0.5, 1.0)], now=0.0)[0], None)

    running = [threading.Thread(target=spend) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert [budget.spent for budget in budgets] == [Spending(12, 12, {"USD": 12.0})] * races
    assert all(budget.reserved.jobs == 0 for budget in budgets)


def test_cap_reached_states_the_spent_reserved_and_needed_amounts_and_how_to_resume() -> None:
    caps, spent = Caps(max_cost={"USD": 50.0}), Spending(3, 30, {"USD": 41.2})
    budget = Budget(caps, spent, resume="hybridloop runs resume h2-scan")
    budget.reserve([10], [Price("USD", 4.0, 5.0)], now=0.0)
    with pytest.raises(CapReached) as caught:
        budget.reserve([10, 10], [Price("USD", 1.0, 2.0)] * 2, now=0.0)
    message = str(caught.value)
    assert "max_cost is reached: 50 USD is the cap, 41.20 USD spent, 5 USD reserved" in message
    assert "may take 4 USD" in message
    assert "hybridloop runs resume h2-scan --max-cost 50.20USD" in message
    assert (caught.value.larger_cap, caught.value.exit_code) == ("--max-cost 50.20USD", 3)
    budget.reserve([10], [Price("USD", 1.0, 3.8)], now=0.0)  # to the last cent


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "To resume it, start the script again with run_key='rk', with a larger cap: max_jobs=2 (or more)"),
        ({"problem": "half"}, "call the flow again with run_key='rk', with a larger cap: max_jobs=2"),
        ({"algorithm": "vqe"}, "hybridloop runs resume rk --max-jobs 2"),
    ],
)
def test_the_cap_of_a_run_without_a_command_says_what_resumes_it(changes: dict[str, str], message: str) -> None:
    facts = {"key": "rk", "algorithm": "session", "problem": "", **changes}
    resume = how_to_resume(new_run("uid", target="ionq.simulator", seed=0, **facts))  # type: ignore[arg-type]
    with pytest.raises(CapReached, match=re.escape(message)):
        Budget(Caps(max_jobs=1), resume=resume).reserve([1, 1], [Price("USD", 0.5, 1.0)] * 2, now=0.0)


@pytest.mark.parametrize(
    ("resume", "advice"),
    [
        ("hybridloop runs resume rk", "as much time again: hybridloop runs resume rk (another time: --deadline)"),
        ("call the flow again", "For as much time again, call the flow again (another time: deadline=)"),
        (None, "Give more time as deadline."),
    ],
)
def test_at_the_deadline_the_message_says_that_a_resume_has_the_time_again(resume: str | None, advice: str) -> None:
    with pytest.raises(CapReached, match=r"0\.2 s is the deadline, and 0\.3 s have passed") as caught:
        Budget(Caps(deadline_s=0.2), resume=resume).check_deadline(0.3)
    assert str(caught.value).endswith(advice)


def test_the_cap_proposed_by_the_message_is_sufficient() -> None:
    spent, price = Spending(3, 30, {"USD": 41.2}), Price("USD", 1.0, 9.123)
    with pytest.raises(CapReached, match=r"--max-cost 50\.33USD"):
        Budget(Caps(max_cost={"USD": 50.0}), spent, resume="hybridloop runs resume a").reserve([1], [price], now=0.0)
    assert len(Budget(Caps(max_cost={"USD": 50.33}), spent).reserve([1], [price], now=0.0)) == 1


@pytest.mark.parametrize(
    ("caps", "name", "option"),
    [
        (Caps(max_jobs=3), "max_jobs", "--max-jobs 4"),
        (Caps(max_shots=399), "max_shots", "--max-shots 400"),
        (Caps(deadline_s=60), "deadline", "--deadline"),
    ],
)
def test_caps_bound_jobs_shots_and_time(caps: Caps, name: str, option: str) -> None:
    budget = Budget(caps, started_at=1000.0, resume="hybridloop runs resume key")
    budget.reserve([100, 100], [FREE, FREE], now=1059.0)
    with pytest.raises(CapReached, match=option) as caught:
        budget.reserve([100, 100], [FREE, FREE], now=1060.0)
    assert caught.value.cap == name


def test_each_cap_is_reported_once_from_80_percent_of_it_spent_or_reserved() -> None:
    seen: list[RunEvent] = []
    caps = Caps(max_jobs=10, max_shots=100, max_cost={"USD": 10.0, "HQC": 5.0}, deadline_s=50)
    budget = Budget(caps, Spending(7, 70, {"USD": 7.0}), started_at=1000.0)
    with observed_by(seen.append):
        for shots, most, now in ((9, 0.9, 1039.0), (1, 0.1, 1040.0), (9, 0.1, 1041.0)):
            budget.reserve([shots], [Price("USD", 0.1, most)], now=now)
    assert {event.kind for event in seen} == {"cap.near"}
    assert [event.facts for event in seen] == [
        {"cap": "max_jobs", "unit": "jobs", "taken": 8, "limit": 10},
        {"cap": "max_shots", "unit": "shots", "taken": 80, "limit": 100},
        {"cap": "deadline", "unit": "s", "taken": 40.0, "limit": 50.0},
        {"cap": "max_cost", "unit": "USD", "taken": 8.0, "limit": 10.0},
    ]
    assert seen[-1].message == "the run's own max_cost is near: 8 USD of 10 USD are spent or reserved"


def test_free_jobs_are_allowed_after_a_cap_on_cost_is_reached() -> None:
    budget = Budget(Caps(max_cost={"USD": 1.0}), Spending(1, 1, {"USD": 7.0}))
    assert [job.shots for job in budget.reserve([5], [FREE], now=0.0)] == [5]
    with pytest.raises(CapReached):
        budget.reserve([5], [Price("USD", 0.01, 0.01)], now=0.0)


def test_a_sum_above_its_cap_by_rounding_alone_is_allowed() -> None:
    budget = Budget(Caps(max_cost={"USD": 0.3}))
    for _ in range(3):
        budget.reserve([1], [Price("USD", 0.1, 0.1)], now=0.0)
    with pytest.raises(CapReached):
        budget.reserve([1], [Price("USD", 0.001, 0.001)], now=0.0)


def test_a_bill_replaces_the_reserved_amount_and_a_missing_bill_keeps_it() -> None:
    budget = Budget(Caps())
    reservations = budget.reserve([10, 20, 30], [Price("eHQC", 4.0, 5.0)] * 3, now=0.0)
    for reservation, bill in zip(reservations, [{"eHQC": 4.5}, None, {"USD": 0.0}], strict=True):
        budget.settle(reservation, bill)
    assert budget.spent == Spending(3, 60, {"eHQC": 14.5, "USD": 0.0})
    assert settled_amounts({"USD": 2.0}, {}) == {"USD": 2.0}


def test_a_reservation_is_settled_once() -> None:
    budget = Budget(Caps())
    reservation, other = budget.reserve([10, 20], [FREE, FREE], now=0.0)
    budget.settle(reservation, None)
    assert (budget.spent.shots, budget.reserved.shots) == (10, 20)
    with pytest.raises(ValueError, match="settled or released before"):
        budget.settle(reservation, None)
    budget.release(other)
    with pytest.raises(ValueError, match="settled or released before"):
        budget.release(reservation)


def test_a_job_above_the_cap_per_job_is_refused() -> None:
    budget = Budget(Caps(max_cost_per_job={"USD": 5.0}), resume="hybridloop runs resume key")
    budget.reserve([1], [Price("USD", 4.0, 5.0)], now=0.0)
    with pytest.raises(CapReached, match=r"--max-cost-per-job 5\.01USD"):
        budget.reserve([1], [Price("USD", 4.0, 5.005)], now=0.0)
    with pytest.raises(CapReached):
        budget.reserve([1], [Price("USD", 6.0, None)], now=0.0)
    (reservation,) = budget.reserve([1], [Price("USD", 4.0, None)], now=0.0)
    assert reservation.amounts == {"USD": 5.0}


def test_a_cap_on_cost_is_refused_if_the_maximum_price_of_a_job_is_unknown() -> None:
    rigetti = find_target("rigetti.qpu.cepheus-1-108q")
    with pytest.raises(InputError, match="max_cost_per_job") as caught:
        check_caps(Caps(max_cost={"USD": 50.0}), rigetti)
    assert caught.value.field == "max_cost_per_job"
    check_caps(Caps(max_cost={"USD": 50.0}, max_cost_per_job={"USD": 5.0}), rigetti)
    check_caps(Caps(max_jobs=5), rigetti)


def test_a_price_without_a_bound_takes_a_cap_for_each_job_and_else_reserves_its_estimate() -> None:
    helios = find_target("quantinuum.qpu.helios-1")
    with pytest.raises(InputError, match=r"maximum price .* unknown.*one job may cost, for example 5HQC"):
        check_caps(Caps(max_cost={"HQC": 50.0}), helios)
    with pytest.raises(InputError, match="billed in HQC"):
        check_caps(Caps(max_cost={"USD": 50.0}), helios)
    capped = Caps(max_cost={"HQC": 50.0}, max_cost_per_job={"HQC": 20.0})
    check_caps(capped, helios)
    assert ineffective_caps_warning(capped, helios) is None
    budget, price = Budget(capped), price_of_job(helios, GateCounts(4, 20, 10, 4), 100)
    with pytest.raises(CapReached, match="50 HQC is the cap"):
        budget.reserve([1, 1, 1], [price] * 3, now=0.0)
    assert [job.amounts for job in budget.reserve([1, 1], [price] * 2, now=0.0)] == [{"HQC": 20.0}] * 2
    checks = price_of_job(find_target("quantinuum.sim.helios-1sc"), GateCounts(4, 20, 10, 4), 100)
    uncapped = Budget(Caps(max_jobs=5)).reserve([1, 1], [price, checks], now=0.0)
    assert [job.amounts for job in uncapped] == [{"HQC": price.expected}, {}]  # an estimate, and none


def test_a_cap_in_another_unit_than_the_targets_is_refused_unless_jobs_are_free() -> None:
    with pytest.raises(InputError, match="billed in HQC"):
        check_caps(Caps(max_cost={"USD": 50.0}), find_target("quantinuum.qpu.h2-1"))
    with pytest.raises(InputError, match=r"5 USD does not bound a job on .* billed in HQC") as caught:
        check_caps(Caps(max_cost={"HQC": 50.0}, max_cost_per_job={"USD": 5.0}), find_target("quantinuum.qpu.h2-1"))
    assert caught.value.field == "max_cost_per_job"
    check_caps(Caps(max_cost={"USD": 50.0, "HQC": 10.0}), find_target("quantinuum.qpu.h2-1"))
    check_caps(Caps(max_cost={"HQC": 50.0}), find_target("rigetti.sim.qvm"))


def test_a_cap_on_cost_gives_a_warning_on_free_targets_only() -> None:
    free, paid = find_target("ionq.simulator"), find_target("ionq.qpu.forte-1")
    warning = ineffective_caps_warning(Caps(max_cost={"HQC": 50.0}), free) or ""
    assert "ionq.simulator are free: the cap of 50 HQC has no effect" in warning
    assert "5 USD" in (ineffective_caps_warning(Caps(max_cost_per_job={"USD": 5.0}), free) or "")
    assert ineffective_caps_warning(Caps(max_jobs=5, deadline_s=60), free) is None
    assert ineffective_caps_warning(Caps(max_cost={"USD": 50.0}), paid) is None


def test_the_units_of_caps_are_those_in_which_targets_bill() -> None:
    assert set(UNITS) == {price_of_job(target, GateCounts(1, 1, 0, 1), 1).unit for target in known_targets().values()}


@pytest.mark.parametrize("name", sorted(known_targets()))
def test_accepted_caps_bound_the_cost_on_every_target(name: str) -> None:
    target = find_target(name)
    unit = ping_price(target).unit
    caps = Caps(max_cost={unit: 300.0}, max_cost_per_job={unit: 250.0})
    check_caps(caps, target)
    budget, billed, refused = Budget(caps), 0.0, False
    price = price_of_job(target, GateCounts(4, 20, 10, 4), 1000)
    for _ in range(200):
        try:
            (reservation,) = budget.reserve([1000], [price], now=0.0)
        except CapReached:
            refused = True
            break
        amount = 200.0 if price.expected is None else price.expected
        budget.settle(reservation, {unit: amount})
        billed += amount
    assert refused != price.is_free
    assert billed <= 300.0
