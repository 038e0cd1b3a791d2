"""Budget of a run: caps on cost, jobs, shots and time, and reservations that keep the run within them.

Before a job is submitted, the most that it can cost is reserved; when its bill is known, the reservation is settled.
Keep-alive pings are counted like other jobs. So the spending never exceeds a cap, with any number of threads.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from hybridloop.errors import NOTHING_SUBMITTED, CapReached, InputError
from hybridloop.runtime.durations import format_duration
from hybridloop.runtime.run_events import EventValue, report
from hybridloop.targets import Target
from hybridloop.targets.prices import ONE_GATE, UNITS, Price, Unit, is_free, price_of_job

NEAR = 0.8  # of a cap, from which it is reported
_SLACK = 1e-9  # relative: a sum of floats must not be refused for its last digit


@dataclass(frozen=True, slots=True)
class Caps:
    """Caps on what a run may spend in all, which `hybridloop.RunSettings` describes; None or empty: no bound."""

    max_jobs: int | None = None
    max_shots: int | None = None
    max_cost: Mapping[Unit, float] = field(default_factory=dict)
    max_cost_per_job: Mapping[Unit, float] = field(default_factory=dict)
    deadline_s: float | None = None

    @property
    def count(self) -> bool:
        """True if there are caps on jobs, shots or cost."""
        return bool(self.max_jobs or self.max_shots or self.max_cost)


@dataclass(frozen=True, slots=True)
class Spending:
    """Number of jobs and shots, and amounts of money by unit."""

    jobs: int = 0
    shots: int = 0
    amounts: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: Spending) -> Spending:
        amounts = {
            unit: self.amounts.get(unit, 0.0) + other.amounts.get(unit, 0.0)
            for unit in {**self.amounts, **other.amounts}
        }
        return Spending(self.jobs + other.jobs, self.shots + other.shots, amounts)

    def __neg__(self) -> Spending:
        return Spending(-self.jobs, -self.shots, {unit: -amount for unit, amount in self.amounts.items()})


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """A reserved job: its shots, and the most that it can cost, by unit."""

    shots: int
    amounts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A round that does not fit into the caps: the most that it can take, and the whole and least share beside it."""

    needed: Spending
    whole: Spending = Spending()
    least: Spending = Spending()


def check_caps(caps: Caps, target: Target) -> None:
    """Raise InputError, before anything is submitted, for caps that can't bound the cost on this target."""
    price = price_of_job(target, ONE_GATE, 1)
    unit = price.unit
    for name, subject, cap in (("max_cost", "run", caps.max_cost), ("max_cost_per_job", "job", caps.max_cost_per_job)):
        if cap and unit not in cap and not price.is_free:
            problem = (
                f"{_format_amounts(cap)} does not bound a {subject} on {target.name}, whose jobs are billed in {unit}"
            )
            raise InputError(name, problem, f"Give a cap in {unit}.", NOTHING_SUBMITTED)
    if price.upper is None and unit in caps.max_cost and unit not in caps.max_cost_per_job:
        raise InputError(
            "max_cost_per_job",
            f"the maximum price of a job on {target.name} is unknown, so {_format_amount(caps.max_cost[unit], unit)} "
            "could be exceeded",
            f"Give the most that one job may cost, for example 5{unit}, or leave out the cap on the run.",
            NOTHING_SUBMITTED,
        )


def ineffective_caps_warning(caps: Caps, target: Target) -> str | None:
    """Return a warning if there are caps on cost and the target's jobs are free; else None."""
    caps_on_cost = {**caps.max_cost_per_job, **caps.max_cost}
    if not caps_on_cost or not is_free(target):
        return None
    return f"jobs on {target.name} are free: the cap of {_format_amounts(caps_on_cost)} has no effect"


def settled_amounts(reserved: Mapping[str, float], billed: Mapping[str, float] | None) -> dict[str, float]:
    """Return what an ended job counts for: the billed amounts, and the reserved ones in units that were not billed."""
    return {**reserved, **(billed or {})}


class Budget:
    """The caps of one run, its spending and its reservations; thread-safe.

    `spent` is the spending of earlier processes of the run, as its journal has it, unfinished jobs included.
    `started_at` is the start in seconds, of the clock whose `now` is passed to `reserve`. `resume` is for messages: the
    command that resumes the run, to which options can be added, or what its user does instead. A job that is billed
    above its reservation can't be undone, but no further job is reserved then. A budget that is `only_planned` reports
    no cap that is near.
    """

    def __init__(
        self,
        caps: Caps,
        spent: Spending | None = None,
        *,
        started_at: float = 0.0,
        resume: str | None = None,
        only_planned: bool = False,
    ) -> None:
        self.caps = caps
        self._only_planned = only_planned
        self._started_at = started_at
        self._resume = resume
        self._lock = threading.Lock()
        self._spent = spent or Spending()
        self._reservations: dict[int, Reservation] = {}
        self._reported: set[tuple[str, str]] = set()

    @property
    def spent(self) -> Spending:
        """Spending of settled jobs."""
        return self._spent

    @property
    def reserved(self) -> Spending:
        """Upper bound of the spending of jobs that are not settled."""
        with self._lock:
            return _total(self._reservations.values())

    def left_s(self, now: float) -> float | None:
        """Return the seconds until the deadline, 0 once it has passed; None without a deadline."""
        deadline_s = self.caps.deadline_s
        return None if deadline_s is None else max(0.0, self._started_at + deadline_s - now)

    def check_deadline(self, now: float) -> None:
        """Raise CapReached once the deadline has passed."""
        deadline_s, elapsed_s = self.caps.deadline_s, now - self._started_at
        if deadline_s is not None and elapsed_s >= deadline_s:
            state = f"{format_duration(deadline_s)} is the deadline, and {format_duration(elapsed_s)} have passed"
            raise CapReached("deadline", state, self._remedy_of_deadline())

    def reserve(self, shots: Sequence[int], prices: Sequence[Price], *, now: float) -> list[Reservation]:
        """Reserve the most that each of these jobs can cost. Raises CapReached, and then reserves none."""
        upper_bounds = [self._upper_bound(price) for price in prices]
        reservations = [Reservation(*job) for job in zip(shots, upper_bounds, strict=True)]
        with self._lock:
            self._check(_total(reservations), now)
            self._reservations |= {id(reservation): reservation for reservation in reservations}
        self._report_near(now)
        return reservations

    def adopt(self, shots: int, amounts: Mapping[str, float], price: Price) -> Reservation:
        """Move an unfinished job of a resumed run from `spent` to a reservation, and return it.

        `amounts` were reserved by the caps of then. Without an upper bound of its `price` a job counts as
        max_cost_per_job now, if that is more.
        """
        recorded = Reservation(shots, amounts)
        cap = self.caps.max_cost_per_job.get(price.unit) if price.upper is None else None
        most = dict(amounts)
        if cap is not None:
            most[price.unit] = max(cap, amounts.get(price.unit, 0.0))
        reservation = Reservation(shots, most)
        with self._lock:
            self._spent += -_total([recorded])
            self._reservations[id(reservation)] = reservation
        return reservation

    @property
    def names(self) -> list[str]:
        """Names of the caps on jobs, shots and cost."""
        caps = self.caps
        values = {"max_jobs": caps.max_jobs, "max_shots": caps.max_shots, "max_cost": caps.max_cost or None}
        return [name for name, value in values.items() if value is not None]

    @property
    def has_caps(self) -> bool:
        """True if there is a cap on jobs, shots or cost."""
        return bool(self.names)

    def most(self, shots: Sequence[int], prices: Sequence[Price]) -> Spending:
        """Return the most that these jobs can take. Raises CapReached for a job above max_cost_per_job."""
        return _total([Reservation(*job) for job in zip(shots, map(self._upper_bound, prices), strict=True)])

    def check_room(self, needed: Spending) -> None:
        """Raise CapReached unless so much more fits into the caps; nothing is reserved."""
        with self._lock:
            self._check_caps(needed)

    def largest_share(self, whole: Spending, least: Spending) -> Spending:
        """Return the whole, but no more than half of each cap, and no less than the least."""

        def part(cap: float | None, whole: float, least: float) -> float:
            return whole if cap is None else min(whole, max(cap / 2.0, least))

        caps, amounts = self.caps, dict(whole.amounts)
        for unit, cap in caps.max_cost.items():
            amounts[unit] = part(cap, amounts.get(unit, 0.0), least.amounts.get(unit, 0.0))
        jobs, shots = part(caps.max_jobs, whole.jobs, least.jobs), part(caps.max_shots, whole.shots, least.shots)
        return Spending(int(jobs), int(shots), amounts)

    def larger_caps(self, rounds: Iterable[TooLarge]) -> str:
        """Return the command line's options of the least caps that each of these rounds fits into, after all spending.

        As a cap grows, so does the share of it that is kept beside a round: see `largest_share`.
        """
        caps, spent, each_of = self.caps, self._spent + self.reserved, list(rounds)

        def option(name: str, unit: str, cap: float | None, read: Callable[[Spending], float]) -> str:
            if cap is None:
                return ""
            most = [
                (read(spent) + read(each.needed), read(each.whole), read(each.least))
                for each in each_of
                if read(each.needed)
            ]
            least = max((min(max(2.0 * own, own + few), own + whole) for own, whole, few in most), default=0.0)
            return "" if least <= cap * (1.0 + _SLACK) else f"--{name} {_round_up(least)}{unit}"

        options = [
            option("max-jobs", "", caps.max_jobs, lambda part: part.jobs),
            option("max-shots", "", caps.max_shots, lambda part: part.shots),
            *(option("max-cost", unit, cap, partial(_amount, unit)) for unit, cap in caps.max_cost.items()),
        ]
        return " ".join(filter(None, options))

    def settle(self, reservation: Reservation, billed: Mapping[str, float] | None) -> None:
        """Count a reserved job as billed; without a bill (None) it counts as reserved."""
        with self._lock:
            self._remove(reservation)
            self._spent += Spending(1, reservation.shots, settled_amounts(reservation.amounts, billed))

    def check_adopted(self, reservation: Reservation, price: Price, *, now: float) -> None:
        """Raise CapReached if an adopted job of this price and all other spending exceed the caps of this process."""
        self._upper_bound(price)
        with self._lock:
            self._remove(reservation)
            try:
                self._check(_total([reservation]), now)
            finally:
                self._reservations[id(reservation)] = reservation

    def release(self, reservation: Reservation) -> None:
        """Remove the reservation of a job that will never be submitted."""
        with self._lock:
            self._remove(reservation)

    def _report_near(self, now: float) -> None:
        """Report each cap once of which `NEAR` is spent or reserved."""
        with self._lock:
            taken = self._spent + _total(self._reservations.values())
        caps, elapsed_s = self.caps, now - self._started_at
        parts = [
            ("max_jobs", "jobs", taken.jobs, caps.max_jobs),
            ("max_shots", "shots", taken.shots, caps.max_shots),
            ("deadline", "s", elapsed_s, caps.deadline_s),
            *(("max_cost", unit, taken.amounts.get(unit, 0.0), cap) for unit, cap in caps.max_cost.items()),
        ]
        for name, unit, amount, cap in parts:
            if not cap or amount < NEAR * cap or (name, unit) in self._reported or self._only_planned:
                continue
            self._reported.add((name, unit))
            taken_of = f"{_format_amount(amount, unit)} of {_format_amount(cap, unit)}"
            message = f"the run's own {name} is near: {taken_of} are spent or reserved"
            facts: dict[str, EventValue] = {"cap": name, "unit": unit, "taken": amount, "limit": cap}
            report("cap.near", message, facts, level=logging.WARNING)

    def _remove(self, reservation: Reservation) -> None:
        if self._reservations.pop(id(reservation), None) is None:
            raise ValueError("the reservation was settled or released before")

    def _upper_bound(self, price: Price) -> Mapping[str, float]:
        """Return the most that a job of this price can cost. Raises CapReached if that is above max_cost_per_job.

        A job without a bound counts as that cap; without the cap as its expected price, and as nothing without that.
        """
        cap = self.caps.max_cost_per_job.get(price.unit)
        bound = price.expected if price.upper is None else price.upper
        if cap is None:
            return {} if bound is None else {price.unit: bound}
        if bound is not None and bound > cap:
            state = (
                f"{_format_amount(cap, price.unit)} is the cap, and the next job may cost "
                f"{_format_amount(bound, price.unit)}"
            )
            raise self._reached("max_cost_per_job", state, f"{_round_up(bound)}{price.unit}")
        return {price.unit: cap if price.upper is None else price.upper}

    def _check(self, needed: Spending, now: float) -> None:
        """Check the deadline and all caps for new jobs. Raises CapReached."""
        self.check_deadline(now)
        self._check_caps(needed)

    def _check_caps(self, needed: Spending) -> None:
        caps, spent, reserved = self.caps, self._spent, _total(self._reservations.values())
        if caps.max_jobs is not None:
            self._check_cap("max_jobs", "jobs", caps.max_jobs, spent.jobs, reserved.jobs, needed.jobs)
        if caps.max_shots is not None:
            self._check_cap("max_shots", "shots", caps.max_shots, spent.shots, reserved.shots, needed.shots)
        for unit, cap in caps.max_cost.items():
            parts = (spending.amounts.get(unit, 0.0) for spending in (spent, reserved, needed))
            self._check_cap("max_cost", unit, cap, *parts)

    def _check_cap(self, name: str, unit: str, cap: float, spent: float, reserved: float, needed: float) -> None:
        total = spent + reserved + needed
        if total <= cap * (1.0 + _SLACK) or not needed:
            return
        state = (
            f"{_format_amount(cap, unit)} is the cap, {_format_amount(spent, unit)} spent, "
            f"{_format_amount(reserved, unit)} reserved for jobs in flight, and the next jobs may take "
            f"{_format_amount(needed, unit)}"
        )
        raise self._reached(name, state, f"{_round_up(total)}{unit if unit in UNITS else ''}")

    def _reached(self, name: str, state: str, value: str) -> CapReached:
        """Return the error with the advice to raise a cap to at least `value`, as a command if one resumes the run."""
        option, in_python = name.replace("_", "-"), value if value.isdigit() else repr(value)
        larger_cap = f"--{option} {value}"
        if self._resume is None:
            remedy = f"Raise {option} to {value} or more."
        elif self._resume.startswith("hybridloop "):
            remedy = f"Resume with a larger cap: {self._resume} {larger_cap} (or more)"
        else:
            remedy = f"To resume it, {self._resume}, with a larger cap: {name}={in_python} (or more)"
        return CapReached(name, state, remedy, larger_cap)

    def _remedy_of_deadline(self) -> str:
        """Return the advice to resume: the time begins again then."""
        if self._resume is None:
            return "Give more time as deadline."
        if self._resume.startswith("hybridloop "):
            return f"Resume it with as much time again: {self._resume} (another time: --deadline)"
        return f"For as much time again, {self._resume} (another time: deadline=)"


def _total(reservations: Collection[Reservation]) -> Spending:
    units = {unit for job in reservations for unit in job.amounts}
    amounts = {unit: math.fsum(job.amounts.get(unit, 0.0) for job in reservations) for unit in units}
    return Spending(len(reservations), sum(job.shots for job in reservations), amounts)


def _amount(unit: str, spending: Spending) -> float:
    return spending.amounts.get(unit, 0.0)


def _round_up(amount: float) -> str:
    """Format an amount rounded up to two decimals."""
    return f"{math.ceil(amount * 100.0 - 1e-6) / 100.0:.2f}".removesuffix(".00")


def _format_amounts(amounts: Mapping[Unit, float]) -> str:
    return " and ".join(_format_amount(amount, unit) for unit, amount in amounts.items())


def _format_amount(amount: float, unit: str) -> str:
    return f"{round(amount, 2):.2f}".removesuffix(".00") + f" {unit}"
