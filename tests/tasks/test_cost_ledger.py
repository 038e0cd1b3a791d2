"""Cost ledger of a resumed run: its recorded jobs under the caps of now."""

from __future__ import annotations

import pytest

from hybridloop.budget.caps import Budget, Caps, Spending
from hybridloop.errors import CapReached
from hybridloop.journal import Job, RoundRecord
from hybridloop.runtime.clock import RealClock
from hybridloop.targets import find_target
from hybridloop.tasks.cost_ledger import CostLedger
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey
from hybridloop.tasks.submission.jobs import JobSpec

KEY = RoundKey("5c3d9a35-6f5c-4f7e-8c1c-0d5b6f1a2e11", "main", 0)
SHOTS = 100


def resumed(caps: Caps, target: str, reserved: dict[str, float], *states: str) -> tuple[CostLedger, list[JobSpec]]:
    """Return a ledger that has adopted a recorded round, and the round's jobs: one in each state."""
    specs = [JobSpec(JobKey(KEY, 0, n, 0), 0, SHOTS, 1, b"", "", None, reserved) for n in range(len(states))]
    jobs = tuple(
        Job(spec.id, 0, n, 0, 0, SHOTS, None, 0, reserved, state, None, "", None)
        for n, (spec, state) in enumerate(zip(specs, states, strict=True))
    )
    in_journal = Spending(len(jobs), SHOTS * len(jobs), {unit: len(jobs) * most for unit, most in reserved.items()})
    ledger = CostLedger(Budget(caps, in_journal), find_target(target), RealClock())
    ledger.adopt(RoundRecord("main", 0, target, (), jobs, complete=False))
    return ledger, specs


def test_caps_that_come_with_a_resume_count_jobs_that_were_recorded_without_them() -> None:
    caps = Caps(max_cost={"HQC": 50.0}, max_cost_per_job={"HQC": 20.0})
    ledger, (unsent, failed) = resumed(caps, "quantinuum.qpu.helios-1", {}, "intended", "failed")
    ledger.check_unsent(unsent)
    assert ledger.budget.reserved.amounts == {"HQC": 20.0}
    assert ledger.reserve_retry(failed).reserved == {"HQC": 20.0}
    with pytest.raises(CapReached, match="50 HQC is the cap"):
        ledger.reserve_retry(failed.next_attempt())


def test_a_smaller_cap_per_job_stops_recorded_jobs_that_were_not_sent_and_keeps_those_in_flight() -> None:
    caps = Caps(max_cost_per_job={"eHQC": 5.0})
    ledger, (unsent, sent) = resumed(caps, "quantinuum.sim.h2-1e", {"eHQC": 5.62}, "intended", "submitted")
    refusal = r"max_cost_per_job is reached: 5 eHQC .* may cost 5\.62 eHQC"
    with pytest.raises(CapReached, match=refusal):
        ledger.check_unsent(unsent)
    with pytest.raises(CapReached, match=refusal):
        ledger.reserve_retry(sent.next_attempt())
    assert ledger.budget.reserved == Spending(2, 2 * SHOTS, {"eHQC": 11.24})
    ledger.settle(sent.id, {"eHQC": 5.6})
    assert ledger.budget.spent.amounts == {"eHQC": pytest.approx(5.6)}


def test_a_job_that_a_smaller_cap_refuses_stays_reserved() -> None:
    caps = Caps(max_cost={"eHQC": 10.0})
    ledger, (unsent, _) = resumed(caps, "quantinuum.sim.h2-1e", {"eHQC": 5.62}, "intended", "submitted")
    for _ in range(2):
        with pytest.raises(CapReached, match=r"5\.62 eHQC reserved for jobs in flight"):
            ledger.check_unsent(unsent)
    assert ledger.budget.reserved == Spending(2, 2 * SHOTS, {"eHQC": 11.24})


def test_without_a_bound_jobs_count_as_the_cap_of_then_until_billed_and_retries_as_that_of_now() -> None:
    caps = Caps(max_cost={"USD": 15.0}, max_cost_per_job={"USD": 1.0})
    states = ("intended", "submitted", "failed")
    ledger, (unsent, sent, failed) = resumed(caps, "rigetti.qpu.cepheus-1-108q", {"USD": 5.0}, *states)
    assert ledger.budget.reserved == Spending(2, 2 * SHOTS, {"USD": 10.0})
    ledger.check_unsent(unsent)
    ledger.settle(sent.id, {"USD": 0.04})
    assert ledger.reserve_retry(failed.next_attempt()).reserved == {"USD": 1.0}
    assert ledger.budget.reserved == Spending(2, 2 * SHOTS, {"USD": 6.0})
