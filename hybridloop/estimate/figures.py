"""Figures of a plan as frozen plain values: numbers with their ranges, prices, times, and what caps buy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hybridloop.algorithms.problems.energy_units import amount_text
from hybridloop.runtime.durations import format_duration


@dataclass(frozen=True, slots=True)
class Duration:
    """An estimate in seconds of a run's rounds; None: not known.

    `expected_s` is the time on Azure: `queue_s` once a round, in all `queues_s`, and the jobs' own time, of which
    `basis` names the source. A queue that a target does not state is left out. `local_s` is the time on the local
    service, from `measured_s` seconds of its simulator on this machine; None for a run on Azure.
    """

    expected_s: float | None
    queues_s: float
    queue_s: float | None
    basis: str
    local_s: float | None = None
    measured_s: float | None = None

    @property
    def is_local(self) -> bool:
        """True for a plan on the local service."""
        return self.measured_s is not None

    @property
    def own_s(self) -> float | None:
        """The time of the run itself: on the local service if it is there, else on Azure."""
        return self.local_s if self.is_local else self.expected_s

    @property
    def short(self) -> str | None:
        """The time on Azure as text, such as "2 h", or "over 2 h" where only queues are known; None: not known."""
        if self.expected_s is None:
            return f"over {format_duration(self.queues_s)}" if self.queues_s else None
        return format_duration(self.expected_s)

    @property
    def queue(self) -> str:
        """The time in queues as text."""
        return format_duration(self.queues_s)

    def lines(self) -> list[str]:
        """Return the text of a plan."""
        queue = "and queues of unknown length"
        if self.queue_s is not None:
            queue = f"a queue of {format_duration(self.queue_s)} a round"
        azure = f"{self.short or 'not known'}: {self.basis}, {queue}"
        if self.measured_s is None:
            return [azure]
        here = "not known here: the local service's simulator can not be timed on this circuit and target"
        if self.local_s is not None:
            here = f"{format_duration(self.local_s)} here, from {self.measured_s:.1f} s of this machine's simulator"
        return [here, f"on Azure {azure}"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of rounds, jobs or shots: the median dry run's, the minimum and maximum of all, and the worst case.

    The worst case is every round that the settings allow, each as large as the largest simulated one.
    """

    expected: int
    least: int
    most: int
    worst: int


@dataclass(frozen=True, slots=True)
class Phase:
    """The rounds of a phase (search, final, other) in the expected run; the other numbers are its largest round's."""

    phase: str
    rounds: int
    circuits: int
    points: int
    jobs: int
    shots: int


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit as it is submitted, with its shots and the jobs that measure it in the expected run.

    Gates, measurements and depth are those of the compiled program, by which providers bill. They are None for circuits
    above the limit on compilations, which are priced as the largest compiled one. `price` is that of the largest job.
    """

    name: str
    phases: tuple[str, ...]
    qubits: int
    one_qubit: int | None
    two_qubit: int | None
    measurements: int | None
    depth: int | None
    jobs: int
    shots: int
    price: float | None


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in `unit`: expected, minimum and maximum of the dry runs, and upper bound.

    `upper` is the bound of the worst case, None if unknown. It leaves out retries; a cap bounds these as well. The
    others are None where the target's price is unknown.
    """

    unit: str
    expected: float | None
    least: float | None
    most: float | None
    upper: float | None

    @property
    def is_free(self) -> bool:
        """True if the amount is known to be zero; False also if it is unknown."""
        return self.expected == 0.0


@dataclass(frozen=True, slots=True)
class KeepAliveEstimate:
    """Keep-alive mode with its reason, the expected pings and their cost, and the cap of exclusive access (`hold`)."""

    mode: str
    why: str
    pings: int
    cost: float | None
    hold: float | None


@dataclass(frozen=True, slots=True)
class WithinCaps:
    """The part of the expected run within the caps `given`: rounds out of `of`, and the cap that stops it (or None).

    `values` are the caps as text, by name.
    """

    given: tuple[str, ...]
    rounds: int
    of: int
    jobs: int
    shots: int
    cost: float
    stopped_by: str | None
    how: str | None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bought:
    """The value that caps buy in a dry run: its standard error, None where they end the run before there is one.

    `is_whole` is true if the run ends as it would without caps. `reason` says what ended the run; `cost` is what is
    expected to be billed. `least_jobs` to `most_jobs` are likely. Of dry runs there were `of`, of which `with_value`
    have one. With `is_assumed` nothing was simulated: the standard error follows from the operator's terms. With
    `has_unmitigated` some jobs have too few shots for the provider's error mitigation, which the run asks for.
    """

    standard_error: float | None
    is_whole: bool
    rounds: int
    jobs: int
    shots: int
    cost: float
    reason: str
    least_jobs: int
    most_jobs: int
    of: int = 1
    with_value: int = 1
    is_assumed: bool = False
    has_unmitigated: bool = False


@dataclass(frozen=True, slots=True)
class CheaperRun:
    """A run with one setting changed, which the caps buy a value of."""

    setting: str
    value: str
    bought: Bought


@dataclass(frozen=True, slots=True)
class Effort:
    """Expected effort of the same run with another setting; `assumed` as in the plan."""

    jobs: int
    shots: int
    cost: Money
    assumed: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedMitigation:
    """An error mitigation by its name ("": the default's), and the effort of the run with it.

    `shift` is what noise is expected to leave in the value, by published rates, in the problem's unit.
    """

    name: str
    shift: float
    unit: str
    effort: Effort

    @property
    def shift_text(self) -> str:
        """The shift with its unit."""
        return amount_text(abs(self.shift), self.unit)


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One target of a comparison: expected price with the likely range `least` to `most`, and its upper bound.

    `note` has the reason why it has no figures, or refusals.
    """

    target: str
    state: str | None
    rounds: int | None
    jobs: int | None
    shots: int | None
    unit: str
    expected: float | None
    upper: float | None
    unmitigated: float | None
    duration: Duration | None
    keep_alive: str | None
    note: str
    least: float | None = None
    most: float | None = None
    bought: Bought | None = None


def likely_range(numbers: Sequence[float]) -> tuple[float, float]:
    """Return the range of the dry runs' numbers, and half of its width more on either side, by ratios.

    A sixth normal number is within that of five in nine of ten cases. What the simulation leaves out is not in it.

    >>> likely_range([100, 81])
    (72.9, 111.111111)
    """
    least, most = min(numbers), max(numbers)
    more = math.sqrt(most / least) if least > 0.0 else 1.0
    return round(least / more, 6), round(most * more, 6)


def likely_count(numbers: Sequence[int]) -> tuple[int, int]:
    """Return the `likely_range` of what is counted: at least one where every dry run has one.

    >>> likely_count([1, 2])
    (1, 3)
    """
    least, most = likely_range(numbers)
    return max(math.floor(least), min(1, min(numbers))), math.ceil(most)
