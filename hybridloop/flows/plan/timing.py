"""How long a run may take, and how far its caps would let it go: estimates from what the target says of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hybridloop.errors import CapReached
from hybridloop.flows.plan.figures import Allowed, Duration, KeepAlive
from hybridloop.flows.plan.pricing import Tariff
from hybridloop.flows.plan.rehearsal import Round
from hybridloop.flows.settings import RunSettings
from hybridloop.sessions.budget import Budget
from hybridloop.sessions.idle import PING_AFTER_S, IdleRule, KeepAliveMode, choose
from hybridloop.sessions.prices import ping_price
from hybridloop.sessions.targets import Target
from hybridloop.sessions.workers import THREADS

SUBMISSION_S = 2.0  # of a job over a public network, as recorded: three calls in 1.5 to 3 s
ASSUMED_TURNAROUND_S = 5.0  # where none is on record: as those that are


def duration_of(
    rounds: Sequence[Round], tariff: Tariff, status: Mapping[str, Any] | None, *, is_local: bool
) -> Duration:
    """The time of these rounds. The jobs of a round queue side by side, and are submitted `THREADS` at a time."""
    target = tariff.target
    queue_s = None if status is None else status.get("averageQueueTime")
    turnaround_s = ASSUMED_TURNAROUND_S if target.turnaround_s is None else target.turnaround_s
    submission_s = math.fsum(SUBMISSION_S * math.ceil(tariff.took(each.asked).jobs / THREADS) for each in rounds)
    return Duration(
        expected_s=len(rounds) * ((queue_s or 0.0) + turnaround_s) + submission_s,
        queue_s=None if queue_s is None else float(queue_s),
        turnaround_s=turnaround_s,
        turnaround_recorded=target.turnaround_s is not None,
        submission_s=submission_s,
        is_local=is_local,
    )


def keep_alive_of(settings: RunSettings, target: Target, rounds: int, queue_s: float | None) -> KeepAlive:
    """What `keep_alive` comes to on the target. Pings are due in a queue only where idle minutes count there.

    Between rounds there are none: the steps there take seconds.
    """
    price = ping_price(target)
    mode, why = choose(settings.keep_alive, price.bound)
    counts_in_queues = mode is KeepAliveMode.PING and settings.idle_rule is IdleRule.DOCUMENTED
    pings = rounds * int((queue_s or 0.0) // PING_AFTER_S) if counts_in_queues else 0
    hold = None if settings.hold is None else settings.hold.max_amount
    return KeepAlive(mode.value, why, pings, pings * price.expected, hold)


def allowed(rounds: Sequence[Round], tariff: Tariff, duration: Duration) -> Allowed:
    """The rounds that the run's own account would let begin, if each job is billed as expected."""
    budget, began = Budget(tariff.caps), 0.0
    each_s = duration.expected_s / len(rounds) if rounds else 0.0
    stop: CapReached | None = None
    done = 0
    for each in rounds:
        jobs = [job for asked in each.asked for job in tariff.jobs(asked)]
        prices = [price for _, price in jobs]
        try:
            reserved = budget.reserve([shots for shots, _ in jobs], prices, now=began)
        except CapReached as reason:
            stop = reason
            break
        budget.settle(reserved, [{price.unit: price.expected} for price in prices])
        began += each_s
        done += 1
    spent = budget.spent
    return Allowed(
        given=tuple(name for name, value in tariff.caps if value not in (None, {})),
        rounds=done,
        of=len(rounds),
        jobs=spent.jobs,
        shots=spent.shots,
        cost=math.fsum(spent.amounts.values()),
        stopped_by=None if stop is None else stop.cap,
        how=None if stop is None else stop.state,
    )
