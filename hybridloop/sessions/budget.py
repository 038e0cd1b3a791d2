"""What a run may spend: caps in users' words, and the account that lets no round begin that could exceed one.

A job is reserved at the most that it can cost before it is submitted, and settled at what was billed once that is
known, pings like any other. So what is spent never exceeds a cap, however many threads submit.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hybridloop.errors import CapReached, InputError
from hybridloop.sessions.gates import GateCounts
from hybridloop.sessions.prices import UNITS, Price, Unit, price_of_job
from hybridloop.sessions.targets import Target

AMOUNT = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?) *([A-Za-z]+)")
_UNIT_BY_NAME: Mapping[str, Unit] = {unit.lower(): unit for unit in UNITS}
_SLACK = 1e-9  # relative: sums of floats must not be refused for their last digit
_ANY_JOB = GateCounts(qubits=1, one_qubit=1, two_qubit=0, measurements=1)


def parse_cost(text: object) -> object:
    """Amounts by unit from words like `50USD` or `50 USD, 200 HQC`; what is no text is handed on as it is.

    >>> parse_cost("50usd, 200 HQC")
    {'USD': 50.0, 'HQC': 200.0}
    """
    if isinstance(text, int | float):
        raise ValueError(f"{text!r} has no unit; give such as 50USD, or 50USD,200HQC")
    if not isinstance(text, str):
        return text
    amounts: dict[Unit, float] = {}
    for part in text.split(","):
        if (match := AMOUNT.fullmatch(part.strip())) is None:
            raise ValueError(f"{part.strip()!r} is no amount with its unit; give such as 50USD, or 50USD,200HQC")
        if (unit := _UNIT_BY_NAME.get(match[2].lower())) is None:
            raise ValueError(f"no target bills in {match[2]}; give {', '.join(UNITS[:-1])} or {UNITS[-1]}")
        if unit in amounts:
            raise ValueError(f"{unit} is there twice; give each unit once")
        amounts[unit] = float(match[1])
    return amounts


_Cost = Annotated[dict[Unit, Annotated[float, Field(ge=0, allow_inf_nan=False)]], BeforeValidator(parse_cost)]


class Caps(BaseModel):
    """What a run may take in all; what is left out is not bounded."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_jobs: int | None = Field(None, ge=1, description="jobs of the run, further attempts and pings included")
    max_shots: int | None = Field(None, ge=1, description="shots of all those jobs")
    max_cost: _Cost = Field(
        default_factory=dict, description="what all those jobs may cost, by unit", examples=["50USD", "200HQC"]
    )
    max_cost_per_job: _Cost = Field(
        default_factory=dict,
        description="what one job may cost, by unit; where a price has no upper bound, it is taken for the bound",
        examples=["5USD"],
    )
    deadline_s: float | None = Field(
        None, gt=0, description="seconds from the run's start, or from its being resumed, after which no round begins"
    )


class SpentSoFar(Protocol):
    """What a run took before: amounts by unit, billed where that is known, else reserved; pings included."""

    @property
    def jobs(self) -> int: ...
    @property
    def shots(self) -> int: ...
    @property
    def amounts(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class Spending:
    """Jobs, shots and amounts by unit."""

    jobs: int = 0
    shots: int = 0
    amounts: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: SpentSoFar) -> Spending:
        amounts = {
            unit: self.amounts.get(unit, 0.0) + other.amounts.get(unit, 0.0)
            for unit in {**self.amounts, **other.amounts}
        }
        return Spending(self.jobs + other.jobs, self.shots + other.shots, amounts)

    def __neg__(self) -> Spending:
        return Spending(-self.jobs, -self.shots, {unit: -amount for unit, amount in self.amounts.items()})


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """Jobs that may be submitted: the shots of each, and the most that each may cost, by unit."""

    shots: tuple[int, ...]
    amounts: tuple[Mapping[str, float], ...]

    @property
    def total(self) -> Spending:
        """All its jobs together."""
        return _total(self.shots, self.amounts)


def check_caps(caps: Caps, target: Target) -> None:
    """Raise InputError, before anything is submitted, for caps that would not hold on this target."""
    price = price_of_job(target, _ANY_JOB, 1)
    unit = price.unit
    for name, what, given in (("max_cost", "run", caps.max_cost), ("max_cost_per_job", "job", caps.max_cost_per_job)):
        if given and unit not in given and price.expected > 0:
            problem = f"{_stated(given)} does not bound a {what} on {target.name}, whose jobs are billed in {unit}"
            raise InputError(name, problem, f"Give a number of {unit}.")
    if unit in caps.max_cost and price.upper is None and unit not in caps.max_cost_per_job:
        raise InputError(
            "max_cost",
            f"nobody can say what a job on {target.name} costs at most, so {_amount(caps.max_cost[unit], unit)} "
            "could be exceeded",
            f"State what one job is taken to cost at most as max_cost_per_job (--max-cost-per-job 5{unit}), or leave "
            "max_cost out.",
        )


def without_effect(caps: Caps, target: Target) -> str | None:
    """That caps on money have nothing to bound where jobs are free; None where there are none, or jobs cost."""
    given = {**caps.max_cost_per_job, **caps.max_cost}
    if not given or price_of_job(target, _ANY_JOB, 1).expected > 0:
        return None
    return f"jobs on {target.name} are free: the cap of {_stated(given)} has nothing to bound, and never ends the run"


def settled(reserved: Mapping[str, float], billed: Mapping[str, float] | None) -> dict[str, float]:
    """What a job counts for once it has ended: as billed; what the bill does not name stays as it was reserved."""
    return {**reserved, **(billed or {})}


class Budget:
    """The account of one run; may be used from several threads.

    `spent` is what the run took before, as its journal has it, unfinished jobs included. `started_at` is a time of the
    clock whose `now` is given to `reserve`, in seconds. `run_key` is for messages. A job that is billed above its
    reservation can't be undone; no further one is let through then.
    """

    def __init__(
        self, caps: Caps, spent: SpentSoFar | None = None, *, started_at: float = 0.0, run_key: str | None = None
    ) -> None:
        self.caps = caps
        self._started_at = started_at
        self._run_key = run_key
        self._lock = threading.Lock()
        self._spent = Spending() + (spent or Spending())
        self._open: dict[int, Reservation] = {}

    @property
    def spent(self) -> Spending:
        """What settled jobs took."""
        return self._spent

    @property
    def reserved(self) -> Spending:
        """What jobs that are not settled may take at most."""
        with self._lock:
            return self._reserved()

    def left_s(self, now: float) -> float | None:
        """Seconds until the deadline, 0 once it has passed; None where there is none."""
        most = self.caps.deadline_s
        return None if most is None else max(0.0, self._started_at + most - now)

    def reserve(self, shots: Sequence[int], prices: Sequence[Price], *, now: float) -> Reservation:
        """Set aside the most that these jobs may take. Raises CapReached, and sets nothing aside then."""
        asked = Reservation(tuple(shots), tuple(self._most(price) for price in prices))
        with self._lock:
            self._check(asked, now)
            self._open[id(asked)] = asked
        return asked

    def split(self, reservation: Reservation) -> list[Reservation]:
        """A reservation for each of its jobs, in its place, so that each can be settled when its bill is there."""
        parts = [
            Reservation((shots,), (amounts,))
            for shots, amounts in zip(reservation.shots, reservation.amounts, strict=True)
        ]
        with self._lock:
            self._take(reservation)
            self._open |= {id(part): part for part in parts}
        return parts

    def adopt(self, shots: Sequence[int], amounts: Sequence[Mapping[str, float]]) -> Reservation:
        """The reservation of jobs that are in `spent` already, as reserved: a resumed run's unfinished ones."""
        adopted = Reservation(tuple(shots), tuple(amounts))
        with self._lock:
            self._spent += -adopted.total
            self._open[id(adopted)] = adopted
        return adopted

    def settle(self, reservation: Reservation, billed: Sequence[Mapping[str, float] | None]) -> None:
        """Count the jobs of a reservation as billed; None for a job of which the service states no cost."""
        if len(billed) != len(reservation.shots):
            raise ValueError(f"{len(billed)} bills for {len(reservation.shots)} reserved jobs")
        amounts = [settled(*each) for each in zip(reservation.amounts, billed, strict=True)]
        with self._lock:
            self._take(reservation)
            self._spent += _total(reservation.shots, amounts)

    def check_adopted(self, reservation: Reservation, *, now: float) -> None:
        """Raise CapReached where what an earlier process set aside is above the caps of this one, with all else."""
        with self._lock:
            self._take(reservation)
            try:
                self._check(reservation, now)
            finally:
                self._open[id(reservation)] = reservation

    def release(self, reservation: Reservation) -> None:
        """Give back what was set aside for jobs that will never be submitted."""
        with self._lock:
            self._take(reservation)

    def _take(self, reservation: Reservation) -> None:
        if self._open.pop(id(reservation), None) is None:
            raise ValueError("the reservation was settled or released before")

    def _most(self, price: Price) -> Mapping[str, float]:
        """The most that a job of this price may cost. Raises CapReached where that is above what one job may."""
        most = self.caps.max_cost_per_job.get(price.unit)
        bound = price.expected if price.upper is None else price.upper
        if most is None:
            return {price.unit: bound}
        if bound > most:
            state = f"{_amount(most, price.unit)} is the cap, and the next job may cost {_amount(bound, price.unit)}"
            raise CapReached("max_cost_per_job", state, self._go_on("max-cost-per-job", f"{_up(bound)}{price.unit}"))
        return {price.unit: most if price.upper is None else bound}

    def _check(self, asked: Reservation, now: float) -> None:
        caps, spent, reserved, needed = self.caps, self._spent, self._reserved(), asked.total
        passed = now - self._started_at
        if caps.deadline_s is not None and passed >= caps.deadline_s:
            state = f"{caps.deadline_s:g} s are the cap, and {passed:.0f} s have passed"
            raise CapReached("deadline", state, self._go_on("deadline", "…"))
        if caps.max_jobs is not None:
            self._hold("max_jobs", "jobs", caps.max_jobs, spent.jobs, reserved.jobs, needed.jobs)
        if caps.max_shots is not None:
            self._hold("max_shots", "shots", caps.max_shots, spent.shots, reserved.shots, needed.shots)
        for unit, cap in caps.max_cost.items():
            parts = (each.amounts.get(unit, 0.0) for each in (spent, reserved, needed))
            self._hold("max_cost", unit, cap, *parts)

    def _hold(self, name: str, unit: str, cap: float, spent: float, reserved: float, needed: float) -> None:
        wanted = spent + reserved + needed
        if wanted <= cap * (1.0 + _SLACK) or not needed:
            return
        state = (
            f"{_amount(cap, unit)} is the cap, {_amount(spent, unit)} spent, {_amount(reserved, unit)} reserved for "
            f"jobs in flight, and the next jobs may take {_amount(needed, unit)}"
        )
        enough = f"{_up(wanted)}{unit if unit in UNITS else ''}"
        raise CapReached(name, state, self._go_on(name.replace("_", "-"), enough))

    def _go_on(self, option: str, enough: str) -> str:
        if self._run_key is None:
            return f"Go on with a larger {option}: {enough} or more."
        return f"Go on: hybridloop runs resume {self._run_key} --{option} {enough} (or more)"

    def _reserved(self) -> Spending:
        return sum((each.total for each in self._open.values()), Spending())


def _total(shots: Sequence[int], amounts: Sequence[Mapping[str, float]]) -> Spending:
    units = {unit for each in amounts for unit in each}
    return Spending(
        len(shots), sum(shots), {unit: math.fsum(each.get(unit, 0.0) for each in amounts) for unit in units}
    )


def _up(amount: float) -> str:
    """Rounded up to two decimals, so that it is enough."""
    return f"{math.ceil(amount * 100.0 - 1e-6) / 100.0:.2f}".removesuffix(".00")


def _stated(amounts: Mapping[Unit, float]) -> str:
    return " and ".join(_amount(amount, unit) for unit, amount in amounts.items())


def _amount(amount: float, unit: str) -> str:
    return f"{round(amount, 2):.2f}".removesuffix(".00") + f" {unit}"
