"""What a run's jobs may cost and did cost: reserved before they are written down, settled when they have ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hybridloop.azure.targets import Target
from hybridloop.budget.billing import Bill, billed_amounts
from hybridloop.budget.caps import Budget, Caps, Reservation, settled_amounts
from hybridloop.budget.cost_summary import NO_COST, CostSummary, summarize_totals
from hybridloop.budget.prices import Price, expected_cost, ping_price, price_of_job
from hybridloop.compiler.gate_counts import gate_counts
from hybridloop.compiler.programs import CompiledPub
from hybridloop.errors import CapReached
from hybridloop.journal import RoundRecord
from hybridloop.runtime.clock import Clock
from hybridloop.tasks.submission.jobs import JobSpec

_UNSETTLED = frozenset({"intended", "submitted"})


class CostLedger:
    """The account of one run in this process; may be used from several threads."""

    def __init__(
        self, budget: Budget, target: Target, clock: Clock, *, before: CostSummary = NO_COST, debias: bool = True
    ) -> None:
        """`before` is what the run took in earlier processes; `debias` the provider's mitigation, where it has one."""
        self.bill = Bill()  # of the rounds that this process has gone through, recorded ones too
        self._billed, self._estimated = Bill(before.billed), Bill(before.estimated)
        self._debias = debias
        self._budget = budget
        self._target = target
        self._clock = clock
        self._reservations: dict[str, Reservation] = {}
        self._prices: dict[tuple[str, int], Price] = {}
        self._lock = threading.Lock()
        self.retried = 0  # further attempts
        self.make_room: Callable[[], None] = lambda: None  # gives back what jobs need more than it is needed there

    @property
    def caps(self) -> Caps:
        """What the run may take."""
        return self._budget.caps

    def left_s(self, now: float) -> float | None:
        """Seconds until the deadline, 0 once it has passed; None where there is none."""
        return self._budget.left_s(now)

    def reserve(self, specs: Sequence[JobSpec], programs: Sequence[CompiledPub]) -> list[JobSpec]:
        """The jobs with what is set aside for each, if the caps allow them all. Raises CapReached."""
        prices = [self._price(spec, programs[spec.place.pub]) for spec in specs]
        whole = self._reserve([spec.shots for spec in specs], prices)
        with self._lock:
            self._reservations |= {spec.id: part for spec, part in zip(specs, self._budget.split(whole), strict=True)}
        for price in prices:
            self._estimated.add({price.unit: price.expected})
        return [replace(spec, reserved=amounts) for spec, amounts in zip(specs, whole.amounts, strict=True)]

    def release(self, specs: Sequence[JobSpec]) -> None:
        """Give back what was set aside for jobs that will not be written down."""
        with self._lock:
            given_back = [self._reservations.pop(spec.id) for spec in specs]
        for spec, reservation in zip(specs, given_back, strict=True):
            self._budget.release(reservation)
            self._estimate(spec.reserved, spec.shots, -1.0)

    def again(self, spec: JobSpec) -> JobSpec:
        """Set aside for a further attempt what its first one might have cost. Raises CapReached."""
        unit, amount = next(iter(spec.reserved.items()), ("USD", 0.0))
        price = Price(unit, expected=amount, upper=amount)  # type: ignore[arg-type]  # it comes from a price
        reservation = self._reserve([spec.shots], [price])
        with self._lock:
            self._reservations[spec.id] = reservation
            self.retried += 1
        self._estimate(spec.reserved, spec.shots)
        return spec

    def settle(self, spec: JobSpec, billed: Mapping[str, float] | None) -> Mapping[str, float] | None:
        """Count a job as billed; what the journal is to say of it, None where the service stated no cost."""
        with self._lock:
            reservation = self._reservations.pop(spec.id, None)
        if reservation is not None:
            self._budget.settle(reservation, [billed])
            self._billed.add(billed)
        self.bill.add(billed)
        return None if billed is None else settled_amounts(spec.reserved, billed)

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

    def check_unsent(self, spec: JobSpec) -> None:
        """Hold a job that an earlier process wrote down and did not send to the caps of this one. Raises CapReached."""
        with self._lock:
            reservation = self._reservations.get(spec.id)
        if reservation is not None:
            self._budget.check_adopted(reservation, now=self._clock.now())

    def charge(self, estimate: Mapping[str, Any] | None) -> Mapping[str, float] | None:
        """Bill what the service says that a ping cost."""
        billed = billed_amounts(estimate)
        self.bill.add(billed)
        self._billed.add(billed)
        price = ping_price(self._target)
        self._estimated.add({price.unit: price.expected})
        return billed

    @property
    def meter(self) -> CostSummary:
        """What counts against the caps so far."""
        taken = self._budget.spent + self._budget.reserved
        return summarize_totals(taken.jobs, taken.shots, self._estimated.total(), taken.amounts, self._billed.total())

    def _estimate(self, reserved: Mapping[str, float], shots: int, sign: float = 1.0) -> None:
        expected = expected_cost(self._target, reserved, shots)
        self._estimated.add({unit: sign * amount for unit, amount in expected.items()})

    def _reserve(self, shots: Sequence[int], prices: Sequence[Price]) -> Reservation:
        try:
            return self._budget.reserve(shots, prices, now=self._clock.now())
        except CapReached:
            self.make_room()
            return self._budget.reserve(shots, prices, now=self._clock.now())

    def _price(self, spec: JobSpec, program: CompiledPub) -> Price:
        key = (program.key or spec.program or "", spec.shots)
        if key not in self._prices:
            counts = gate_counts(spec.payload.decode())
            self._prices[key] = price_of_job(self._target, counts, spec.shots, debias=self._debias)
        return self._prices[key]
