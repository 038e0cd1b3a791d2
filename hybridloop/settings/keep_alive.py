"""Idle rules, as pure functions: the moment when a session idles out, and the choice between pings and renewal.

The service ends a session that is idle for ten minutes. There are two rules for their start: recorded traffic shows
them counted from the end of the last job, the documentation says from the last submission. Only a new job is activity,
reading is not. So a ping is a job, the smallest that the target takes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from hybridloop.errors import NOTHING_SUBMITTED, InputError
from hybridloop.targets import Target

IDLE_LIMIT_S = 600.0
MARGIN_S = 75.0  # for a ping over a slow network, its repeats, and a thread that wakes late
PING_AFTER_S = IDLE_LIMIT_S - MARGIN_S
HOLD_LIMIT_S = 60.0  # between two submissions, after which others may take the machine
HOLD_AFTER_S = HOLD_LIMIT_S - 10.0
_WEEK_S = 604_800.0  # of free jobs


class IdleRule(enum.StrEnum):
    """Start of a session's ten idle minutes."""

    RECORDED = "recorded"  # the later of its opening and its last job's end; never while a job is queued or running
    DOCUMENTED = "documented"  # the last submission, whatever is queued


class KeepAliveMode(enum.StrEnum):
    """Keep-alive mode: the treatment of an idle session."""

    AUTO = "auto"  # ping where that is free, else renew
    PING = "ping"  # submit a tiny job in time
    RENEW = "renew"  # let it lapse, and open the next one when it is needed
    OFF = "off"  # nothing: a session that lapses has ended


@dataclass(frozen=True, slots=True)
class SessionActivity:
    """Last known activity of a session, jobs and pings; moments in seconds since the epoch."""

    opened_at: float
    last_submission: float | None = None
    last_job_end: float | None = None
    jobs_in_flight: int = 0
    pings_in_flight: int = 0

    def after(self, submitted: float | None, ended: float | None, jobs: int, pings: int) -> SessionActivity:
        """Return the activity after a submission or an end, with so many more jobs and pings in flight."""
        return SessionActivity(
            self.opened_at,
            self.last_submission if submitted is None else max(submitted, self.last_submission or submitted),
            self.last_job_end if ended is None else max(ended, self.last_job_end or ended),
            max(0, self.jobs_in_flight + jobs),
            self.pings_in_flight + pings,
        )


def idle_since(rule: IdleRule, activity: SessionActivity) -> float | None:
    """Return the moment from which the session's ten minutes count; None while they do not."""
    if rule is IdleRule.RECORDED:
        in_flight = activity.jobs_in_flight + activity.pings_in_flight
        return None if in_flight else max(activity.opened_at, activity.last_job_end or activity.opened_at)
    return max(activity.opened_at, activity.last_submission or activity.opened_at)


def known_opening(opened_at: float, now: float) -> float:
    """Return the moment from which an adopted session's idle time counts at the latest.

    An earlier process recorded its opening, by a clock that may have been set back since: an opening in the future can
    have been long ago, so the session counts as about to idle out.

    >>> known_opening(1000.0, now=1600.0), known_opening(8200.0, now=1600.0)
    (1000.0, 1000.0)
    """
    return opened_at if opened_at <= now else now - IDLE_LIMIT_S


def due_at(rule: IdleRule, activity: SessionActivity, ping_after_s: float = PING_AFTER_S) -> float | None:
    """Return the moment when the session needs another job, 75 s before its ten minutes are over; None for no moment.

    >>> due_at(IdleRule.RECORDED, SessionActivity(opened_at=1000.0))
    1525.0
    """
    since = idle_since(rule, activity)
    return None if since is None else since + ping_after_s


def choose(mode: KeepAliveMode, ping_price: Mapping[str, float] | None) -> tuple[KeepAliveMode, str]:
    """Resolve AUTO and return the mode with its reason; `ping_price`: upper bound by unit, None if unknown."""
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
    """Exclusive access to a Quantinuum machine between rounds: a job within every 60 s, for at most `max_amount`.

    It lasts from the first job until the amount (in `unit`) is spent. Its jobs cost hundreds of HQC an hour, so it is
    never on by default.
    """

    max_amount: float
    unit: str = "HQC"

    def pings(self, target: Target, ping_price: Mapping[str, float] | None) -> int:
        """Return the number of jobs that the cap pays for. Raises InputError if the target or the cap is unsuitable."""
        if target.provider != "quantinuum":
            raise _unsuitable(f"{target.name} has no exclusive access", "Leave it out, or choose a Quantinuum target.")
        if not self.max_amount > 0.0:
            problem = f"a cap of {self.max_amount} {self.unit} allows no job"
            raise _unsuitable(problem, "State what exclusive access may cost in all.")
        if ping_price is None:
            raise _unsuitable(
                f"the cost of a job on {target.name} is not known, so no cap can be kept", "Leave it out."
            )
        charges = {unit: amount for unit, amount in ping_price.items() if amount}
        if not charges.keys() <= {self.unit}:
            problem = f"the cap is in {self.unit}, jobs on {target.name} cost {' and '.join(sorted(charges))}"
            raise _unsuitable(problem, "State the cap in that unit.")
        return int((self.max_amount / charges[self.unit]) if charges else _WEEK_S / HOLD_AFTER_S)


def _unsuitable(problem: str, remedy: str) -> InputError:
    return InputError("exclusive_access_budget", problem, remedy, NOTHING_SUBMITTED)


@dataclass(frozen=True, slots=True)
class KeepAliveSettings:
    """Keep-alive of a run: `mode` for idle times, `hold` for exclusive access to a Quantinuum machine."""

    mode: KeepAliveMode = KeepAliveMode.AUTO
    rule: IdleRule = IdleRule.RECORDED
    hold: ExclusiveAccess | None = None
