"""A plan of faults as pure decisions: which call meets which fault, the same for the same seed and calls."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hybridloop.emulator.fault_rules import Call, Fault, Rule

LOG_KEEPS = 10_000  # injections; the older ones are only counted


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault that was injected: when (seconds since 1970), by which rule (from 1), into which call."""

    number: int
    moment: float
    rule: int
    fault: Fault
    call: Call


class FaultPlan:
    """Rules in their order, how often each was asked, and what was injected. The first rule that strikes has it."""

    def __init__(self, rules: Sequence[Rule], seed: int, started: float) -> None:
        self.rules = tuple(rules)
        self.seed = seed
        self.log: deque[Injection] = deque(maxlen=LOG_KEEPS)
        self.injected = 0
        self._started = started
        self._calls: Counter[int] = Counter()
        self._strikes: Counter[int] = Counter()
        self._drawn: Counter[tuple[int, str]] = Counter()
        self._missed: dict[tuple[int, str], float] = {}

    def decide(self, call: Call, now: float) -> Rule | None:
        """The rule that strikes this call; it is counted and logged."""
        striking = [number for number in self._counted(call, now) if self._strikes_now(number, call, now)]
        if not striking:
            return None
        number = striking[0]
        rule = self.rules[number]
        self._strikes[number] += 1
        self.injected += 1
        self.log.append(Injection(self.injected, now, number + 1, rule.fault, call))
        return rule

    def _counted(self, call: Call, now: float) -> Iterable[int]:
        covering = [i for i, rule in enumerate(self.rules) if rule.covers(call, now - self._started)]
        self._calls.update(covering)
        return covering

    def _strikes_now(self, number: int, call: Call, now: float) -> bool:
        rule, count = self.rules[number], self._calls[number]
        nth = (rule.nth,) if isinstance(rule.nth, int) else rule.nth
        return (
            (rule.times is None or self._strikes[number] < rule.times)
            and (nth is None or count in nth)
            and (rule.every is None or count % rule.every == 0)
            and (rule.probability is None or self._draw(number, call) < rule.probability)
            and (rule.fault is not Fault.BLOB_MISSING or self._is_missing_still(number, call, now))
        )

    def _is_missing_still(self, number: int, call: Call, now: float) -> bool:
        """A blob is missing for the rule's seconds from when it was first asked for, without them for ever."""
        seconds = self.rules[number].seconds
        return seconds is None or now < self._missed.setdefault((number, call.path), now) + seconds

    def _draw(self, number: int, call: Call) -> float:
        """A number in [0, 1) from the seed, the rule, the call, and how often that very call was asked about before.

        Not from its place among other calls, so that threads of a client may come in any order.
        """
        same = f"{call.method} {call.path}"
        self._drawn[number, same] += 1
        return random.Random(f"{self.seed}/{number}/{same}/{self._drawn[number, same]}").random()


class FaultsInForce:
    """The plan that holds at the moment; another may take its place at any time."""

    def __init__(self) -> None:
        self.plan = FaultPlan((), 0, 0.0)
