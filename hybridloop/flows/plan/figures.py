"""What a plan says: frozen values, as plain as JSON takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hybridloop.flows.text_table import as_page


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of rounds, jobs or shots: the middle one of the rehearsals, their least and most, and the worst.

    `worst` is as far as the settings let the run go: every round that they allow, each as large as the largest seen.
    """

    expected: int
    least: int
    most: int
    worst: int


@dataclass(frozen=True, slots=True)
class Phase:
    """The rounds of a phase (search, final, other) in the expected run; of the largest of them what it asks."""

    phase: str
    rounds: int
    circuits: int
    points: int
    jobs: int
    shots: int


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit as it is sent, with what one shot of it asks and the expected run asks of it.

    Gates, measurements and depth are those of the compiled program, by which providers bill; None where so many
    circuits were compiled before that it was taken for the dearest of those. `price` is one job's, at its most shots.
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
    price: float


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in `unit`: expected (with the least and most of the rehearsals), and at most.

    `upper` is the worst run's price at its most, None where nobody can say. No retries are in it; a cap bounds all.
    """

    unit: str
    expected: float
    least: float
    most: float
    upper: float | None


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """What is done about idle minutes, and why; the pings that are expected, their price, and what a hold may take."""

    mode: str
    why: str
    pings: int
    cost: float
    hold: float | None


@dataclass(frozen=True, slots=True)
class Duration:
    """An estimate in seconds: the queue once a round, as the target says, and its jobs' way through.

    `queue_s` is one round's, None where the target did not say and it is left out; `turnaround_s` is a job's median
    from its beginning until its end is seen, as recorded or assumed (`turnaround_recorded`).
    """

    expected_s: float
    queue_s: float | None
    turnaround_s: float
    turnaround_recorded: bool
    submission_s: float
    is_local: bool


@dataclass(frozen=True, slots=True)
class Allowed:
    """How far the caps that are `given` let the expected run go: rounds, of how many; what stops it, None: nothing."""

    given: tuple[str, ...]
    rounds: int
    of: int
    jobs: int
    shots: int
    cost: float
    stopped_by: str | None
    how: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One target of a comparison; `note` says why it has no figures, or what to mind."""

    target: str
    state: str | None
    rounds: int | None
    jobs: int | None
    shots: int | None
    unit: str
    expected: float | None
    upper: float | None
    unmitigated: float | None
    hours: float | None
    keep_alive: str | None
    note: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would take on its target; nothing was submitted for it.

    `rehearsals` is how many seeds the algorithm was driven with over an ideal machine in this process; `assumed` says
    what was taken for granted beyond that, None where all was seen. `mitigated` is the price with the provider's own
    error mitigation, `unmitigated` without; both are None where it has none, and `cost` is what the settings ask for.
    """

    algorithm: str
    problem: str
    target: str
    state: str | None
    qubits: int
    rehearsals: int
    assumed: str | None
    rounds: Figure
    jobs: Figure
    shots: Figure
    phases: tuple[Phase, ...]
    circuits: tuple[Circuit, ...]
    cost: Money
    mitigated: Money | None
    unmitigated: Money | None
    keep_alive: KeepAlive
    duration: Duration
    allowed: Allowed
    warnings: tuple[str, ...]
    prices_dated: str
    comparison: tuple[Row, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """What the command line prints of it."""
        from hybridloop.flows.plan.text import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        return as_page(str(self))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Plan:
        """The plan that `as_dict` gave, also after it went through JSON."""
        parts = {
            **stored,
            **{name: Figure(**stored[name]) for name in ("rounds", "jobs", "shots")},
            **{
                name: None if stored[name] is None else Money(**stored[name])
                for name in ("cost", "mitigated", "unmitigated")
            },
            "phases": tuple(Phase(**each) for each in stored["phases"]),
            "circuits": tuple(Circuit(**{**each, "phases": tuple(each["phases"])}) for each in stored["circuits"]),
            "keep_alive": KeepAlive(**stored["keep_alive"]),
            "duration": Duration(**stored["duration"]),
            "allowed": Allowed(**{**stored["allowed"], "given": tuple(stored["allowed"]["given"])}),
            "warnings": tuple(stored["warnings"]),
            "comparison": tuple(Row(**each) for each in stored["comparison"]),
        }
        return cls(**parts)
