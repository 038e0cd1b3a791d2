"""A plan in words: the same ones on a terminal, in a program and in a notebook."""

from __future__ import annotations

from collections.abc import Iterator

from hybridloop.flows.plan.figures import Figure, Money, Plan
from hybridloop.flows.text_table import aligned
from hybridloop.sessions.durations import one_unit

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
    queue = "its queue is not known" if took.queue_s is None else f"a queue of {one_unit(took.queue_s)} a round"
    basis = "as recorded" if took.turnaround_recorded else "assumed"
    local = "; the local service is quicker: it has no queue unless told to" if took.is_local else ""
    return (
        f"an estimate: {one_unit(took.expected_s)}, with {queue}, {took.turnaround_s:g} s to run a job ({basis}){local}"
    )


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
    yield from aligned(_CIRCUITS, rows)
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
            TIME: None if each.hours is None else one_unit(3600.0 * each.hours),
            "keep_alive": each.keep_alive,
        }
        for each in plan.comparison
    ]
    yield from aligned(_COMPARED, rows)
    yield "Times are estimates: each target's queue of this moment, once a round, and a job as recorded or assumed."
    for each in plan.comparison:
        if each.note:
            yield f"{each.target}: {each.note}"


def _amount(amount: float | None, unit: str) -> str | None:
    return None if amount is None else "free" if amount == 0.0 else f"{amount:,.2f} {unit}"
