"""What a plan says: frozen values, as plain as JSON takes them.

A plan in words: the same ones on a terminal, in a program and in a notebook.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hybridloop.runtime.durations import format_duration
from hybridloop.runtime.text_table import as_html, format_table


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
        return as_text(self)

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        return as_html(str(self))

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


MOST_CIRCUITS = 12  # in the table; `as_dict` has them all
TIME = "time (est.)"
_COMPARED = ("target", "state", "rounds", "jobs", "shots", "price", "at_most", "unmitigated", TIME, "keep_alive")
_CIRCUITS = ("circuit", "asked in", "qubits", "1-qubit", "2-qubit", "depth", "jobs", "shots", "a job's price")


def as_text(plan: Plan) -> str:
    """The plan as lines of text, with its circuits and what it was compared to."""
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    seeds = f"{plan.rehearsals} seeds" if plan.rehearsals > 1 else "once"
    yield f"{plan.problem} by {plan.algorithm} on {plan.target}: a plan, rehearsed with {seeds}; nothing was submitted"
    yield f"  rounds     {_figure(plan.rounds)}"
    yield f"  jobs       {_figure(plan.jobs)}"
    yield f"  shots      {_figure(plan.shots)}"
    yield f"  price      {_money(plan.cost)}; by the prices of {plan.prices_dated}"
    if plan.mitigated is not None and plan.unmitigated is not None:
        yield f"  debias     on: {_money(plan.mitigated)}"
        yield f"             off: {_money(plan.unmitigated)}"
    yield f"  keep-alive {plan.keep_alive.mode}: {plan.keep_alive.why}{_share(plan)}"
    yield f"  time       {_time(plan)}"
    yield f"  caps       {_caps(plan)}"
    if plan.assumed is not None:
        yield f"  assumed    {plan.assumed}"
    for warning in plan.warnings:
        yield f"  warning    {warning}"
    yield ""
    yield from _circuits(plan)
    if plan.comparison:
        yield ""
        yield from _comparison(plan)
    yield ""
    yield "At most: every round that the settings allow, each as large as the largest seen. Retries come on top."


def _figure(figure: Figure) -> str:
    seen = "" if figure.least == figure.most else f" ({figure.least:,} to {figure.most:,})"
    most = "" if figure.worst == figure.expected else f", {figure.worst:,} at most"
    return f"{figure.expected:,}{seen}{most}"


def _money(money: Money) -> str:
    if money.upper == 0.0:
        return f"free ({money.unit})"
    seen = "" if money.least == money.most else f" ({money.least:,.2f} to {money.most:,.2f})"
    most = "nobody can say how much at most" if money.upper is None else f"{money.upper:,.2f} at most"
    return f"{money.expected:,.2f} {money.unit}{seen}, {most}"


def _share(plan: Plan) -> str:
    kept = plan.keep_alive
    pings = f" {kept.pings:,} such jobs are expected, for {kept.cost:,.2f} {plan.cost.unit}." if kept.pings else ""
    hold = "" if kept.hold is None else f" Holding the machine may take {kept.hold:,.2f} {plan.cost.unit}."
    return pings + hold


def _time(plan: Plan) -> str:
    took = plan.duration
    queue = "its queue is not known" if took.queue_s is None else f"a queue of {format_duration(took.queue_s)} a round"
    basis = "as recorded" if took.turnaround_recorded else "assumed"
    local = "; the local service is quicker: it has no queue unless told to" if took.is_local else ""
    expected = format_duration(took.expected_s)
    return f"an estimate: {expected}, with {queue}, {took.turnaround_s:g} s to run a job ({basis}){local}"


def _caps(plan: Plan) -> str:
    allowed = plan.allowed
    if allowed.stopped_by is None:
        return f"{', '.join(allowed.given)}: the run fits" if allowed.given else "none is set"
    taken = f"{allowed.jobs:,} jobs, {allowed.shots:,} shots, {allowed.cost:,.2f} {plan.cost.unit}"
    return f"{allowed.rounds} of {allowed.of} rounds, {taken}; then {allowed.stopped_by} is reached"


def _circuits(plan: Plan) -> Iterator[str]:
    rows = [
        {
            "circuit": each.name,
            "asked in": ", ".join(each.phases),
            "qubits": each.qubits,
            "1-qubit": each.one_qubit,
            "2-qubit": each.two_qubit,
            "depth": each.depth,
            "jobs": f"{each.jobs:,}",
            "shots": f"{each.shots:,}",
            "a job's price": f"{each.price:,.2f} {plan.cost.unit}",
        }
        for each in plan.circuits[:MOST_CIRCUITS]
    ]
    yield from format_table(_CIRCUITS, rows)
    if (more := len(plan.circuits) - MOST_CIRCUITS) > 0:
        yield f"and {more:,} circuits more (as JSON there are all)"


def _comparison(plan: Plan) -> Iterator[str]:
    rows = [
        {
            "target": each.target,
            "state": each.state,
            "rounds": each.rounds,
            "jobs": each.jobs,
            "shots": None if each.shots is None else f"{each.shots:,}",
            "price": _amount(each.expected, each.unit),
            "at_most": _amount(each.upper, each.unit),
            "unmitigated": _amount(each.unmitigated, each.unit),
            TIME: None if each.hours is None else format_duration(3600.0 * each.hours),
            "keep_alive": each.keep_alive,
        }
        for each in plan.comparison
    ]
    yield from format_table(_COMPARED, rows)
    yield "Times are estimates: each target's queue of this moment, once a round, and a job as recorded or assumed."
    for each in plan.comparison:
        if each.note:
            yield f"{each.target}: {each.note}"


def _amount(amount: float | None, unit: str) -> str | None:
    return None if amount is None else "free" if amount == 0.0 else f"{amount:,.2f} {unit}"
