"""Fault plan: the decision which API calls get which fault, the same for the same seed and calls."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hybridloop.emulator.faults.rules import ApiCall, Fault, FaultRule

MAX_LOG_ENTRIES = 10_000  # injections; older ones are only counted


@dataclass(frozen=True, slots=True)
class Injection:
    """An injected fault: `moment` in seconds since 1970; `number` and `rule` count from 1."""

    number: int
    moment: float
    rule: int
    fault: Fault
    call: ApiCall


class FaultPlan:
    """Rules in their order, with their counters and the log of injections; the first rule that applies wins."""

    def __init__(self, rules: Sequence[FaultRule], seed: int, started: float) -> None:
        self.rules = tuple(rules)
        self.seed = seed
        self.log: deque[Injection] = deque(maxlen=MAX_LOG_ENTRIES)
        self.injected = 0
        self._started = started
        self._matches: Counter[int] = Counter()  # by rule
        self._injections: Counter[int] = Counter()  # by rule
        self._draws: Counter[tuple[int, str]] = Counter()  # by rule and call
        self._first_reads: dict[tuple[int, str], float] = {}  # of missing blobs, by rule and path

    def decide(self, call: ApiCall, now: float) -> FaultRule | None:
        """Return the rule to inject into this call, which is counted and logged; None for no fault."""
        applicable = [number for number in self._matching(call, now) if self._applies(number, call, now)]
        if not applicable:
            return None
        number = applicable[0]
        rule = self.rules[number]
        self._injections[number] += 1
        self.injected += 1
        self.log.append(Injection(self.injected, now, number + 1, rule.fault, call))
        return rule

    def _matching(self, call: ApiCall, now: float) -> Iterable[int]:
        """Return the rules whose operation, names and times match the call, and count the call for each."""
        matching = [i for i, rule in enumerate(self.rules) if rule.matches(call, now - self._started)]
        self._matches.update(matching)
        return matching

    def _applies(self, number: int, call: ApiCall, now: float) -> bool:
        rule, count = self.rules[number], self._matches[number]
        nth = (rule.nth,) if isinstance(rule.nth, int) else rule.nth
        return (
            (rule.times is None or self._injections[number] < rule.times)
            and (nth is None or count in nth)
            and (rule.every is None or count % rule.every == 0)
            and (rule.probability is None or self._draw(number, call) < rule.probability)
            and (rule.fault is not Fault.BLOB_MISSING or self._is_still_missing(number, call, now))
        )

    def _is_still_missing(self, number: int, call: ApiCall, now: float) -> bool:
        """Return True while a blob is missing: for the rule's seconds after its first read, or always without them."""
        seconds = self.rules[number].seconds
        return seconds is None or now < self._first_reads.setdefault((number, call.path), now) + seconds

    def _draw(self, number: int, call: ApiCall) -> float:
        """Draw a number in [0, 1) from the seed, the rule, the call, and the count of earlier draws for that call.

        The order of different calls has no influence, so a client's threads may come in any order.
        """
        name = f"{call.method} {call.path}"
        self._draws[number, name] += 1
        return random.Random(f"{self.seed}/{number}/{name}/{self._draws[number, name]}").random()


class ActiveFaults:
    """Holder of the fault plan in force, which the admin API can replace at any time."""

    def __init__(self) -> None:
        self.plan = FaultPlan((), 0, 0.0)
