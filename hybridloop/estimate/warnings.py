"""Warnings of a plan: refusals, target down, caps, error mitigation, long queues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from hybridloop.algorithms.doubt import Doubt
from hybridloop.azure.listing import UNAVAILABLE
from hybridloop.budget.caps import ineffective_caps_warning
from hybridloop.budget.unknown_facts import unknown_facts_warning
from hybridloop.errors import InputError
from hybridloop.estimate.plan import Plan
from hybridloop.estimate.statuses import TargetStatuses
from hybridloop.journal.limits import LimitState
from hybridloop.preparation.checks import check_limits, check_measures
from hybridloop.settings import RunSettings
from hybridloop.settings.failure_policy import policy_warnings, target_down_text
from hybridloop.targets import Target
from hybridloop.targets.provider_options import stated_qubits

_LONG_QUEUE_S = 1800.0
_DEARER = 1.5  # times the price of the other search


def plan_warnings(plan: Plan, target: Target, settings: RunSettings, noise: Doubt | None) -> Iterator[str]:
    """Yield one sentence per warning of a plan on its target."""
    for refusal in plan.refusals:
        yield f"such a run would be refused: {refusal}"
    if (unknown := unknown_facts_warning(target)) is not None:
        yield unknown
    if plan.state is not None and plan.state != "Available":
        wait_s = settings.failure.target_down_wait_s
        policy = f". {target_down_text(settings.failure, wait_s)}" if plan.state == UNAVAILABLE else ""
        yield f"{plan.target} is {plan.state.lower()} at the moment{policy}"
    yield from policy_warnings(settings.failure)
    if plan.rounds.expected and noise is not None:
        yield str(noise)
    if (ineffective := ineffective_caps_warning(settings.caps, target)) is not None:
        yield ineffective
    allowed, cost = plan.allowed, plan.cost
    bought = plan.bought
    if allowed.stopped_by is not None and bought is not None and bought.standard_error is not None:
        yield f"{allowed.stopped_by} is reached: the run ends with a standard error of {bought.standard_error:.2g}"
    elif allowed.stopped_by is not None and bought is None and plan.assumed is not None:
        yield (
            f"{allowed.stopped_by} is reached after {allowed.rounds} of {allowed.of} assumed rounds: what the run has "
            "then is not known, as its standard error was not simulated"
        )
    elif allowed.stopped_by is not None:
        after = f"{allowed.stopped_by} is reached after {allowed.rounds} of {allowed.of} rounds"
        yield f"{after}, before the run has a value; it can be resumed with a larger one"
    if not cost.is_free and cost.upper is None:
        yield f"the maximum cost of a job on {plan.target} is unknown; state it with max_cost_per_job"
    if not cost.is_free and cost.unit not in (settings.max_cost or {}):
        such = f", such as {_suggested_cap(cost.most)}{cost.unit}," if cost.most else ""
        yield f"no cap bounds its price: max_cost{such} would"
    without, expected = None if plan.unmitigated is None else plan.unmitigated.expected, cost.expected or 0.0
    if without is not None and without < expected:
        yield (
            f"IonQ's error mitigation is on, as it is by default: without it (debias off) about {without:,.2f} "
            f"{cost.unit} are expected instead of {expected:,.2f}"
        )
    queue_s = plan.duration.queue_s or 0.0
    if queue_s >= _LONG_QUEUE_S and settings.detach_after is None:
        yield (
            f"each round waits about {queue_s / 60.0:,.0f} minutes in the queue; detach_after parks the run meanwhile"
        )


def limit_warnings(plan: Plan, states: Iterable[LimitState]) -> Iterator[str]:
    """Yield a sentence for each limit over runs that leaves less than the plan's price, or can't bound it."""
    for state in states:
        if plan.cost.most is not None and plan.cost.most > state.left:
            yield f"limit {state.limit.name} may end the run early: {state.left:,.2f} {plan.cost.unit} of it are left"
        if not plan.cost.is_free and plan.cost.upper is None:
            yield f"such a run would be refused: limit {state.limit.name} needs max_cost_per_job"


def dearer_search_warnings(plan: Plan) -> Iterator[str]:
    """Yield a sentence where the other search is planned much cheaper than the plan's."""
    for name, effort in plan.searches.items():
        expected, cheaper = plan.cost.expected or 0.0, effort.cost.expected
        if cheaper is not None and expected > _DEARER * cheaper:
            yield f"search={name} is planned at {cheaper:,.2f} in place of {expected:,.2f} {plan.cost.unit}"


def _suggested_cap(amount: float) -> int:
    """Return a whole number that leaves a tenth of the amount in reserve."""
    return int(1.1 * amount) + 1


def refusals_of(settings: RunSettings, target: Target, qubits: int, statuses: TargetStatuses) -> list[str]:
    """Return reasons to refuse the run: its caps, settings that the provider lacks, or the workspace's targets."""
    reasons = []
    for check in (partial(check_measures, target), partial(check_limits, target, settings)):
        try:
            check()
        except InputError as error:
            reasons.append(f"{error.happened}. {error.remedy}")
    status = statuses.by_name.get(target.name)
    if statuses.by_name and status is None:
        reasons.append(f"this workspace does not offer {target.name}")
    limit = None if status is None else stated_qubits(target, status.get("numQubits"))
    if limit is not None and limit < qubits:
        reasons.append(f"the circuit has {qubits} qubits, {target.name} has {limit}")
    return reasons
