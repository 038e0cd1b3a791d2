"""What a rehearsed run's circuits are once compiled for a target, and what its rounds take there.

How long a run may take, and how far its caps would let it go: estimates from what the target says of itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybridloop.azure.targets import Target, split_shots
from hybridloop.budget.caps import Budget, Caps
from hybridloop.budget.prices import Price, ping_price, price_of_job
from hybridloop.compiler.gate_counts import GateCounts, gate_counts, qir_depth
from hybridloop.compiler.programs import PubDescription
from hybridloop.compiler.qir_template import compile_qir, placeholder_qir, to_basis
from hybridloop.errors import CapReached
from hybridloop.estimate.dry_run import Asked, Round
from hybridloop.estimate.plan import Allowed, Duration, KeepAlive
from hybridloop.runtime.thread_pool import THREADS
from hybridloop.settings import RunSettings
from hybridloop.tasks.keepalive.rules import PING_AFTER_S, IdleRule, KeepAliveMode, choose

MOST_COMPILED = 48  # circuits for a profile; each takes some 0.3 s


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one shot of a program asks, and how deep it is."""

    counts: GateCounts
    depth: int


@dataclass(slots=True)
class Compiler:
    """Compiles circuits to count their instructions, each once for a profile."""

    circuits: Mapping[str, PubDescription]
    known: dict[tuple[str, str], Compiled] = field(default_factory=dict)

    def compiled(self, circuit: str, profile: str) -> Compiled | None:
        """The circuit as it is sent to targets of that profile; None above `MOST_COMPILED`. Raises ProgramError."""
        key = (circuit, profile)
        if key not in self.known:
            if sum(each == profile for _, each in self.known) >= MOST_COMPILED:
                return None
            qir = _qir(self.circuits[circuit], profile)
            self.known[key] = Compiled(gate_counts(qir), qir_depth(qir))
        return self.known[key]

    def dearest(self, profile: str) -> Compiled:
        """Of those that were compiled, the one with the most gates between qubits."""
        return max(
            (known for (_, each), known in self.known.items() if each == profile),
            key=lambda known: (known.counts.two_qubit, known.counts.one_qubit),
        )


@dataclass(frozen=True, slots=True)
class Took:
    """Jobs, shots, and their price: expected, and at most (None: nobody can say)."""

    jobs: int = 0
    shots: int = 0
    expected: float = 0.0
    upper: float | None = 0.0

    def __add__(self, other: Took) -> Took:
        upper = None if self.upper is None or other.upper is None else self.upper + other.upper
        return Took(self.jobs + other.jobs, self.shots + other.shots, self.expected + other.expected, upper)

    def __mul__(self, times: int) -> Took:
        upper = None if self.upper is None else times * self.upper
        return Took(times * self.jobs, times * self.shots, times * self.expected, upper)


@dataclass(slots=True)
class Tariff:
    """What a target asks for circuits. With a cap for one job, that bounds a price that has no bound of its own."""

    target: Target
    compiler: Compiler
    caps: Caps
    debias: bool
    _prices: dict[tuple[str, int], Price] = field(default_factory=dict)

    def parts(self, shots: int) -> list[int]:
        """The shots of the jobs that one point is measured by, as `sessions.jobs.plan_jobs` has them."""
        target = self.target
        return split_shots(shots, target.max_shots) if target.samples else [min(shots, target.max_shots)]

    def price(self, circuit: str, shots: int) -> Price:
        """One job's."""
        key = (circuit, shots)
        if key not in self._prices:
            profile = self.target.profile
            known = self.compiler.compiled(circuit, profile) or self.compiler.dearest(profile)
            self._prices[key] = price_of_job(self.target, known.counts, shots, debias=self.debias)
        return self._prices[key]

    def jobs(self, asked: Asked) -> list[tuple[int, Price]]:
        """Shots and price of each of the jobs."""
        parts = self.parts(asked.shots)
        return [(shots, self.price(asked.circuit, shots)) for shots in parts] * asked.points

    def took(self, asked: Iterable[Asked]) -> Took:
        """Of all these jobs."""
        total = Took()
        for each in asked:
            parts = [(shots, self.price(each.circuit, shots)) for shots in self.parts(each.shots)]
            uppers = [self._upper(price) for _, price in parts]
            point = Took(
                len(parts),
                sum(shots for shots, _ in parts),
                math.fsum(price.expected for _, price in parts),
                None if None in uppers else math.fsum(each for each in uppers if each is not None),
            )
            total += point * each.points
        return total

    def rounds(self, rounds: Iterable[Round]) -> Took:
        """Of all jobs of these rounds."""
        return sum((self.took(each.asked) for each in rounds), Took())

    def _upper(self, price: Price) -> float | None:
        return self.caps.max_cost_per_job.get(price.unit) if price.upper is None else price.upper


def _qir(circuit: PubDescription, profile: str) -> str:
    """The program at its first point; one of a structure, at angles that stand for any."""
    if circuit.structure is not None:
        return placeholder_qir(circuit.structure, profile)
    return compile_qir(to_basis(circuit.circuit.assign_parameters(circuit.points[0])), profile)


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
    hold = None if settings.exclusive_access is None else settings.exclusive_access.max_amount
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
