"""What a run's jobs may cost and did cost: reserved before they are written down, settled when they have ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hybridloop.errors import CapReached
from hybridloop.sessions.bill import Bill, charges
from hybridloop.sessions.budget import Budget, Reservation, settled
from hybridloop.sessions.clock import Clock
from hybridloop.sessions.jobs import JobSpec
from hybridloop.sessions.journal import RoundRecord
from hybridloop.sessions.prices import Price, gate_counts, price_of_job
from hybridloop.sessions.programs import Program
from hybridloop.sessions.targets import Target

_UNSETTLED = frozenset({"intended", "submitted"})


class RunAccount:
    """The account of one run in this process; may be used from several threads."""

    def __init__(self, budget: Budget, target: Target, clock: Clock) -> None:
        self.bill = Bill()
        self._budget = budget
        self._target = target
        self._clock = clock
        self._reservations: dict[str, Reservation] = {}
        self._prices: dict[tuple[str, int], Price] = {}
        self._lock = threading.Lock()
        self.retried = 0  # further attempts
        self.make_room: Callable[[], None] = lambda: None  # gives back what jobs need more than it is needed there

    def reserve(self, specs: Sequence[JobSpec], programs: Sequence[Program]) -> list[JobSpec]:
        """The jobs with what is set aside for each, if the caps allow them all. Raises CapReached."""
        prices = [self._price(spec, programs[spec.place.pub]) for spec in specs]
        whole = self._reserve([spec.shots for spec in specs], prices)
        with self._lock:
            self._reservations |= {spec.id: part for spec, part in zip(specs, self._budget.split(whole), strict=True)}
        return [replace(spec, reserved=amounts) for spec, amounts in zip(specs, whole.amounts, strict=True)]

    def release(self, specs: Sequence[JobSpec]) -> None:
        """Give back what was set aside for jobs that will not be written down."""
        with self._lock:
            given_back = [self._reservations.pop(spec.id) for spec in specs]
        for reservation in given_back:
            self._budget.release(reservation)

    def again(self, spec: JobSpec) -> JobSpec:
        """Set aside for a further attempt what its first one might have cost. Raises CapReached."""
        unit, amount = next(iter(spec.reserved.items()), ("USD", 0.0))
        price = Price(unit, expected=amount, upper=amount)  # type: ignore[arg-type]  # it comes from a price
        reservation = self._reserve([spec.shots], [price])
        with self._lock:
            self._reservations[spec.id] = reservation
            self.retried += 1
        return spec

    def settle(self, spec: JobSpec, billed: Mapping[str, float] | None) -> Mapping[str, float] | None:
        """Count a job as billed; what the journal is to say of it, None where the service stated no cost."""
        with self._lock:
            reservation = self._reservations.pop(spec.id, None)
        if reservation is not None:
            self._budget.settle(reservation, [billed])
        self.bill.add(billed)
        return None if billed is None else settled(spec.reserved, billed)

    def adopt(self, record: RoundRecord) -> None:
        """Take over a round that the journal has: its bills, and the reservations of jobs that have not ended."""
        first = min((job.attempt for job in record.jobs), default=0)
        for job in record.jobs:
            self.bill.add(job.billed)
            if job.state in _UNSETTLED:
                adopted = self._budget.adopt([job.shots], [job.reserved])
                with self._lock:
                    self._reservations[job.id] = adopted
        with self._lock:
            self.retried += sum(job.attempt > first for job in record.jobs)

    def charge(self, estimate: Mapping[str, Any] | None) -> Mapping[str, float] | None:
        """Bill what the service says that a ping cost."""
        billed = charges(estimate)
        self.bill.add(billed)
        return billed

    def _reserve(self, shots: Sequence[int], prices: Sequence[Price]) -> Reservation:
        try:
            return self._budget.reserve(shots, prices, now=self._clock.now())
        except CapReached:
            self.make_room()
            return self._budget.reserve(shots, prices, now=self._clock.now())

    def _price(self, spec: JobSpec, program: Program) -> Price:
        key = (program.key or spec.program or "", spec.shots)
        if key not in self._prices:
            counts = gate_counts(spec.payload.decode())
            self._prices[key] = price_of_job(self._target, counts, spec.shots)
        return self._prices[key]
