"""Cost ledger of a run: job costs are reserved before the jobs are recorded, and settled when they have ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hybridloop.azure.job_document import billed_amounts
from hybridloop.budget.billing import Bill
from hybridloop.budget.caps import Budget, Reservation, Spending, settled_amounts
from hybridloop.budget.cost_summary import NO_COST, CostSummary, expected_cost, summarize_totals
from hybridloop.compiler.gate_counts import gate_counts
from hybridloop.compiler.programs import CompiledPub
from hybridloop.compiler.quil import QuilPub
from hybridloop.errors import CapReached
from hybridloop.journal import UNSETTLED, RoundRecord
from hybridloop.runtime.clock import Clock
from hybridloop.runtime.run_events import report
from hybridloop.targets import Target
from hybridloop.targets.prices import ONE_GATE, Price, is_price_of_shots, ping_price, price_of_job
from hybridloop.tasks.submission.jobs import JobSpec


class CostLedger:
    """Costs of one run in this process: estimated, reserved and billed; thread-safe."""

    def __init__(
        self, budget: Budget, target: Target, clock: Clock, *, before: CostSummary = NO_COST, debias: bool = True
    ) -> None:
        """`before` is the cost of earlier processes of the run; `debias`: see `SessionOptions`."""
        self.budget = budget
        self.bill = Bill()  # of the rounds of this process, replayed ones too
        self.retried = 0  # number of further attempts
        self._billed, self._estimated = Bill(before.billed), Bill(before.estimated)
        self._debias = debias
        self._target = target
        self._any_price = price_of_job(target, ONE_GATE, 1, debias=debias)  # its unit, and whether prices have a bound
        self._clock = clock
        self._reservations: dict[str, Reservation] = {}  # by the job's id
        self._prices: dict[tuple[str, int], Price] = {}
        self._is_capped = False
        self._lock = threading.Lock()

    def reserve(self, specs: Sequence[JobSpec], programs: Sequence[CompiledPub | QuilPub]) -> list[JobSpec]:
        """Reserve the cost of all jobs and return them with it. Raises CapReached, and then reserves nothing."""
        prices = self._prices_of(specs, programs)
        shots, now = [spec.shots for spec in specs], self._clock.now()
        with self._cap_reported():
            reservations = self.budget.reserve(shots, prices, now=now)
        with self._lock:
            self._reservations |= {spec.id: job for spec, job in zip(specs, reservations, strict=True)}
        for price, job in zip(prices, reservations, strict=True):  # as a process that resumes the run will count it
            self._estimated.add(price.amounts if price.upper is None else job.amounts)
        return [replace(spec, reserved=job.amounts) for spec, job in zip(specs, reservations, strict=True)]

    def most(self, specs: Sequence[JobSpec], programs: Sequence[CompiledPub | QuilPub]) -> Spending:
        """Return the most that these jobs can take. Raises CapReached for a job above max_cost_per_job."""
        return self.budget.most([spec.shots for spec in specs], self._prices_of(specs, programs))

    def _prices_of(self, specs: Sequence[JobSpec], programs: Sequence[CompiledPub | QuilPub]) -> list[Price]:
        prices = []
        for spec in specs:
            key = (programs[spec.key.pub].key or spec.program or "", spec.shots)
            if key not in self._prices:
                self._prices[key] = self._price(spec)
            prices.append(self._prices[key])
        return prices

    def _price(self, spec: JobSpec) -> Price:
        """Return the price of a job; both sides of a program's branches count."""
        program = spec.qir
        if program is None:
            # targets that take rows of parameters bill shots or time, not gates
            counts = gate_counts(spec.payload.decode()) if spec.rows is None else ONE_GATE
            return price_of_job(self._target, counts, spec.shots, debias=self._debias)
        counts = replace(gate_counts(program.text), qubits=program.entry.num_qubits)
        return price_of_job(self._target, counts, spec.shots, debias=self._debias)

    def _recorded_price(self, spec: JobSpec) -> Price:
        """Return the price of a recorded job: that of its shots, where it depends on these alone, else as reserved."""
        unit = self._any_price.unit
        if self._any_price.expected is None or is_price_of_shots(self._target):
            return price_of_job(self._target, ONE_GATE, spec.shots, debias=self._debias)
        reserved = spec.reserved.get(unit, 0.0)
        if self._any_price.upper is None:  # then a cap of an earlier process may have been reserved
            return Price(unit, min(reserved, self.budget.caps.max_cost_per_job.get(unit, reserved)), None)
        return Price(unit, reserved, reserved)

    def release(self, specs: Sequence[JobSpec]) -> None:
        """Release the reservations of jobs that will not be recorded."""
        for spec in specs:
            with self._lock:
                reservation = self._reservations.pop(spec.id)
            self.budget.release(reservation)
            self._estimate(spec, -1.0)

    def reserve_retry(self, spec: JobSpec) -> JobSpec:
        """Reserve for a further attempt what the first one might have cost, and return it with that.

        Without an upper bound of the price it is max_cost_per_job of now. Raises CapReached.
        """
        price, now = self._recorded_price(spec), self._clock.now()
        with self._cap_reported():
            (job,) = self.budget.reserve([spec.shots], [price], now=now)
        with self._lock:
            self._reservations[spec.id] = job
            self.retried += 1
        self._estimate(spec)
        return replace(spec, reserved=job.amounts)

    def settle(self, job_id: str, billed: Mapping[str, float] | None) -> Mapping[str, float] | None:
        """Count an ended job as billed; return the amounts for the journal, None if the service stated no cost."""
        with self._lock:
            reservation = self._reservations.pop(job_id)
        self.budget.settle(reservation, billed)
        self._billed.add(billed)
        self.bill.add(billed)
        return None if billed is None else settled_amounts(reservation.amounts, billed)

    def adopt(self, record: RoundRecord) -> None:
        """Take over a recorded round: its bills, and the reservations of its unfinished jobs."""
        first = min((job.attempt for job in record.jobs), default=0)
        for job in record.jobs:
            self.bill.add(job.billed)
            if job.state in UNSETTLED:
                reservation = self.budget.adopt(job.shots, job.reserved, self._any_price)
                with self._lock:
                    self._reservations[job.id] = reservation
        with self._lock:
            self.retried += sum(job.attempt > first for job in record.jobs)

    def check_unsent(self, spec: JobSpec) -> None:
        """Check a job that an earlier process recorded and did not send against the caps of now. Raises CapReached."""
        with self._lock:
            reservation = self._reservations.get(spec.id)
        if reservation is not None:
            with self._cap_reported():
                self.budget.check_adopted(reservation, self._recorded_price(spec), now=self._clock.now())

    def bill_ping(self, estimate: Mapping[str, Any] | None) -> Mapping[str, float] | None:
        """Bill the service's cost estimate of a ping; return its amounts by unit, None if it states none."""
        billed = billed_amounts(estimate)
        self.bill.add(billed)
        self._billed.add(billed)
        price = ping_price(self._target)
        self._estimated.add(price.amounts)
        return billed

    @property
    def summary(self) -> CostSummary:
        """Return what counts against the caps so far."""
        taken = self.budget.spent + self.budget.reserved
        return summarize_totals(taken.jobs, taken.shots, self._estimated.total(), taken.amounts, self._billed.total())

    @contextmanager
    def _cap_reported(self) -> Iterator[None]:
        """Report the cap that the block reaches, once: further jobs in flight reach it, too."""
        try:
            yield
        except CapReached as error:
            with self._lock:
                is_first, self._is_capped = not self._is_capped, True
            if is_first:
                report("cap.reached", f"{error.cap} is reached: {error.state}", {"cap": error.cap})
            raise

    def _estimate(self, spec: JobSpec, sign: float = 1.0) -> None:
        expected = expected_cost(self._target, spec.reserved, spec.shots)
        self._estimated.add({unit: sign * amount for unit, amount in expected.items()})
