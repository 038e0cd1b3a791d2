"""When a session idles out, and what is done about it: pure rules.

The service ends a session that is idle for ten minutes. From when they count is known in two ways: recorded traffic
shows them counted from the end of the last job, the documentation says from the last submission. Only a new job is
activity; reading is none. So a ping is a job, the smallest that the target takes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from hybridloop.azure.targets import Target
from hybridloop.errors import InputError

IDLE_LIMIT_S = 600.0
MARGIN_S = 75.0  # for a ping over a slow network, its repeats, and a thread that wakes late
PING_AFTER_S = IDLE_LIMIT_S - MARGIN_S
HOLD_LIMIT_S = 60.0  # between two submissions, after which others may take the machine
HOLD_AFTER_S = HOLD_LIMIT_S - 10.0
_WEEK_S = 604800.0


class IdleRule(enum.StrEnum):
    """From when a session's ten idle minutes count."""

    RECORDED = "recorded"  # the later of its opening and its last job's end; never while a job is queued or running
    DOCUMENTED = "documented"  # the last submission, whatever is queued


class KeepAliveMode(enum.StrEnum):
    """What is done for a session that is left alone."""

    AUTO = "auto"  # ping where that is free, else renew
    PING = "ping"  # submit a tiny job in time
    RENEW = "renew"  # let it lapse, and open the next one when it is needed
    OFF = "off"  # nothing: a session that lapses has ended


@dataclass(frozen=True, slots=True)
class Activity:
    """What is known of a session's jobs, pings included; moments in seconds since the epoch."""

    opened_at: float
    last_submission: float | None = None
    last_job_end: float | None = None
    in_flight: int = 0


def idle_since(rule: IdleRule, activity: Activity) -> float | None:
    """Since when the session's ten minutes run; None while they don't."""
    if rule is IdleRule.RECORDED:
        return None if activity.in_flight else max(activity.opened_at, activity.last_job_end or activity.opened_at)
    return max(activity.opened_at, activity.last_submission or activity.opened_at)


def due_at(rule: IdleRule, activity: Activity, ping_after_s: float = PING_AFTER_S) -> float | None:
    """When the session must see another job: 75 s before its ten minutes are over; None while nothing is due.

    >>> due_at(IdleRule.RECORDED, Activity(opened_at=1000.0))
    1525.0
    """
    since = idle_since(rule, activity)
    return None if since is None else since + ping_after_s


def choose(mode: KeepAliveMode, ping_price: Mapping[str, float] | None) -> tuple[KeepAliveMode, str]:
    """PING, RENEW or OFF, and why, as a sentence. `ping_price`: one ping's upper bound by unit; None: not known."""
    price = _price_text(ping_price)
    match mode:
        case KeepAliveMode.OFF:
            return mode, "The session is left to itself: it ends after ten idle minutes."
        case KeepAliveMode.RENEW:
            return mode, "After ten idle minutes the session ends, and the next one is opened when it is needed."
        case KeepAliveMode.PING:
            return mode, f"A session that is idle is kept alive by one small job every {PING_AFTER_S:.0f} s ({price})."
    if ping_price is not None and not any(ping_price.values()):
        return KeepAliveMode.PING, f"An idle session is kept alive by small jobs, because they are {price} here."
    return (
        KeepAliveMode.RENEW,
        f"An idle session is left to end and the next one opened when it is needed, because a job that only kept it "
        f"alive would be {price}.",
    )


def _price_text(price: Mapping[str, float] | None) -> str:
    if price is None:
        return "at a price that is not known"
    charges = [f"{amount:.4g} {unit}" for unit, amount in sorted(price.items()) if amount]
    return f"up to {' and '.join(charges)} each" if charges else "free"


@dataclass(frozen=True, slots=True)
class ExclusiveAccess:
    """Hold a Quantinuum machine between rounds, by a job within every 60 s, for at most `max_amount` of `unit`.

    From the first job on, until the cap is reached. Its jobs cost hundreds of HQC an hour, so nothing turns it on
    by itself.
    """

    max_amount: float
    unit: str = "HQC"

    def pings(self, target: Target, ping_price: Mapping[str, float] | None) -> int:
        """How many jobs the cap allows. Raises InputError where nothing can be held, or no cap can be kept."""
        if target.provider != "quantinuum":
            problem = f"{target.name} knows no exclusive access"
            raise InputError("exclusive_access_budget", problem, "Leave it out, or choose a Quantinuum target.")
        if not self.max_amount > 0.0:
            problem = f"a cap of {self.max_amount} {self.unit} allows no job"
            raise InputError("exclusive_access_budget", problem, "State what holding the machine may cost in all.")
        if ping_price is None:
            problem = f"what a job costs on {target.name} is not known, so no cap can be kept"
            raise InputError("exclusive_access_budget", problem, "Leave it out.")
        charges = {unit: amount for unit, amount in ping_price.items() if amount}
        if not charges.keys() <= {self.unit}:
            problem = f"the cap is in {self.unit}, jobs on {target.name} cost {' and '.join(sorted(charges))}"
            raise InputError("exclusive_access_budget", problem, "State the cap in that unit.")
        return int((self.max_amount / charges[self.unit]) if charges else _WEEK_S / HOLD_AFTER_S)
