"""What whoever reads a plan should mind before the run is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hybridloop.azure.listing import UNAVAILABLE
from hybridloop.azure.targets import find_target
from hybridloop.budget.caps import ineffective_caps_warning
from hybridloop.estimate.plan import Plan
from hybridloop.settings import RunSettings
from hybridloop.tasks.failure_policy import cautions, while_away

_LONG_QUEUE_S = 1800.0


def warnings_of(plan: Plan, settings: RunSettings, refusals: Sequence[str]) -> tuple[str, ...]:
    """One sentence each; `refusals` say why such a run would be refused."""
    return tuple(_warnings(plan, settings, refusals))


def _warnings(plan: Plan, settings: RunSettings, refusals: Sequence[str]) -> Iterator[str]:
    for each in refusals:
        yield f"such a run would be refused: {each}"
    if plan.state is not None and plan.state != "Available":
        wait_s = settings.failure.target_down_wait_s
        and_so = f". {while_away(settings.failure, wait_s)}" if plan.state == UNAVAILABLE else ""
        yield f"{plan.target} is {plan.state.lower()} at the moment{and_so}"
    yield from cautions(settings.failure)
    if (idle := ineffective_caps_warning(settings.caps, find_target(plan.target))) is not None:
        yield idle
    allowed, cost = plan.allowed, plan.cost
    if allowed.stopped_by is not None:
        yield (
            f"{allowed.stopped_by} ends the run after {allowed.rounds} of {allowed.of} rounds ({allowed.how}); "
            "it can be gone on with, with a larger one"
        )
    if cost.expected > 0 and cost.upper is None:
        yield (
            f"nobody can say what a job on {plan.target} costs at most; "
            "max_cost_per_job states what is taken for the most"
        )
    if cost.expected > 0 and cost.unit not in (settings.max_cost or {}):
        yield f"no cap bounds its price: max_cost, such as {_enough(cost.most)}{cost.unit}, would"
    if plan.unmitigated is not None and settings.debias:
        yield (
            f"IonQ's error mitigation is on, as it is by default: without it (debias off) some "
            f"{plan.unmitigated.expected:,.2f} {cost.unit} are expected in place of {cost.expected:,.2f}"
        )
    queue_s = plan.duration.queue_s or 0.0
    if queue_s >= _LONG_QUEUE_S and settings.detach_after is None:
        yield f"each round waits some {queue_s / 60.0:,.0f} minutes in the queue; detach_after parks the run meanwhile"


def _enough(amount: float) -> int:
    """A round figure above it, by a tenth."""
    return int(1.1 * amount) + 1
