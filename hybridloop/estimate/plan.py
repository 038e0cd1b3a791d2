"""The plan of a run, and its text for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from hybridloop.estimate.figures import (
    Bought,
    CheaperRun,
    Circuit,
    ComparisonRow,
    Duration,
    Effort,
    Figure,
    KeepAliveEstimate,
    Money,
    Phase,
    PlannedMitigation,
    WithinCaps,
)
from hybridloop.runtime.text_table import as_html, count_text, format_table
from hybridloop.targets import recorded_target
from hybridloop.targets.prices import price_estimate


@dataclass(frozen=True, slots=True)
class Plan:
    """Estimate of a run on its target; nothing was submitted for it.

    `rehearsals` is the number of dry runs, each with its own seed; `assumed` describes rounds that were assumed rather
    than simulated, None if there are none. `mitigated` is the price with the provider's own error mitigation,
    `unmitigated` without; both are None if it has none. `cost` is the one that the settings ask for, and
    `mitigations` are the error mitigations that are possible on a noisy target. `searches` are
    the efforts of a measured and a simulated search, this plan's among them; empty where only one is possible. `bought`
    is what the caps on jobs, shots and cost buy, None without; where that is no value, or no whole run with the
    provider's mitigation, `cheaper` are runs with one setting changed of which they buy one. `jobs_unbatched` are the
    expected jobs if each had one point, None if they have. `options` are those of the target's provider. `of` says what
    the problem is, as it was read. `orbitals` says why a molecule's active orbitals were chosen, `ansatz` why its
    circuit, and `groups` why its terms are measured in these groups, where that was automatic. `classical` says what is
    computed on this machine after the rounds, which the time leaves out. `limits` are the limits over runs under which
    it falls, with what they leave; on the local service (`is_local`) nothing is billed.
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
    keep_alive: KeepAliveEstimate
    duration: Duration
    allowed: WithinCaps
    warnings: tuple[str, ...]
    prices_dated: str
    refusals: tuple[str, ...] = ()  # reasons for which such a run would be refused
    mitigations: tuple[PlannedMitigation, ...] = ()
    searches: Mapping[str, Effort] = field(default_factory=dict)
    jobs_unbatched: int | None = None
    bought: Bought | None = None
    cheaper: tuple[CheaperRun, ...] = ()
    options: str = ""
    comparison: tuple[ComparisonRow, ...] = ()
    of: str = ""
    orbitals: str = ""
    ansatz: str = ""
    groups: str = ""
    classical: str = ""
    limits: tuple[str, ...] = ()
    is_local: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the text that the command line prints, with circuits and comparison."""
        return "\n".join(_lines(self))

    def _repr_html_(self) -> str:
        """Return the text as HTML, for notebooks."""
        return as_html(str(self))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Plan:
        """Read a plan from the values of `as_dict`, also after a round trip through JSON."""
        return TypeAdapter(cls).validate_python(stored)


MAX_CIRCUITS = 12  # in the table; `as_dict` has them all
_TIME = "time (est.)"
_BUYS = "the caps buy ±"
_WIDE = 0.3  # of the expected number
_COMPARED = (
    "target",
    "state",
    "rounds",
    "jobs",
    "shots",
    "price",
    "likely",
    "unmitigated",
    "queue",
    _TIME,
    "keep_alive",
)
_CIRCUITS = ("circuit", "asked in", "qubits", "1-qubit", "2-qubit", "depth", "jobs", "shots", "a job's price")


def _lines(plan: Plan) -> Iterator[str]:
    runs = "1 dry run" if plan.rehearsals == 1 else f"{plan.rehearsals} dry runs"
    target = f"{plan.target} with {plan.options}" if plan.options else plan.target
    yield f"{plan.problem} by {plan.algorithm} on {target}: a plan from {runs}; nothing was submitted"
    if plan.of:
        yield f"  of         {plan.of}"
    if plan.orbitals:
        yield f"  {plan.orbitals}"
    if plan.ansatz:
        yield f"  circuit: {plan.ansatz}"
    if plan.groups:
        yield f"  groups: {plan.groups}"
    if gates := [each.two_qubit for each in plan.circuits if each.two_qubit is not None]:
        largest = f"{max(gates):,} on two qubits in the largest circuit, as it is measured"
        yield f"  gates      {largest}, on {count_text(plan.qubits, 'qubit')}"
    yield f"  rounds     {_figure(plan.rounds)}"
    others = (
        "" if plan.jobs_unbatched is None else f"; {plan.jobs_unbatched:,} with a job for each point (batching off)"
    )
    yield f"  jobs       {_figure(plan.jobs)}{others}"
    yield f"  shots      {_figure(plan.shots)}"
    if any(each.most - each.least > _WIDE * each.expected for each in (plan.jobs, plan.shots)):
        varies = (
            "searches take more rounds or fewer by chance"
            if plan.rounds.most > plan.rounds.least
            else ("a pilot's variances decide how many shots follow")
        )
        yield f"  range      wide, as {varies}"
    estimate = price_estimate(recorded_target(plan.target))
    by = f"by the prices of {plan.prices_dated}" if estimate is None else "an estimate"
    yield f"  price      {_money(plan.cost)}; {by}" + "; the local service bills nothing" * plan.is_local
    if plan.mitigated is not None and plan.unmitigated is not None:
        yield f"  debias     on: {_money(plan.mitigated)}"
        yield f"             off: {_money(plan.unmitigated)}"
    for number, each in enumerate(plan.mitigations):
        yield f"  {'' if number else 'mitigation':<10} {_mitigation(each)}"
    for number, (search, effort) in enumerate(plan.searches.items()):
        rough = "" if effort.assumed is None else ", assumed"
        text = f"{search}: {count_text(effort.jobs, 'job')}, {effort.shots:,} shots, {_money(effort.cost)}{rough}"
        yield f"  {'' if number else 'search':<10} {text}"
    if plan.rounds.most:
        yield f"  keep-alive {_keep_alive(plan)}"
    for number, line in enumerate(plan.duration.lines()):
        yield f"  {'' if number else 'time':<10} {line}"
    if plan.classical:
        yield f"  classical  {plan.classical}"
    yield f"  hard cap   {_caps(plan)}"
    for number, limit in enumerate(plan.limits):
        yield f"  {'' if number else 'limits':<10} {limit}"
    if plan.bought is not None:
        yield f"  it buys    {_bought(plan.bought, plan)}"
        for run in plan.cheaper:
            yield f"             with {run.setting} {run.value}: {_value_bought(run.bought, plan)}"
    if plan.assumed is not None:
        yield f"  assumed    {plan.assumed}"
    for warning in plan.warnings:
        yield f"  warning    {warning}"
    if plan.circuits:
        yield ""
        yield from _circuits(plan)
    if plan.comparison:
        yield ""
        yield from _comparison(plan)


def _figure(figure: Figure) -> str:
    likely = "" if figure.least == figure.most else f", likely {figure.least:,} to {figure.most:,}"
    return f"{figure.expected:,}{likely}"


def _money(money: Money) -> str:
    if money.upper == 0.0:
        return f"free ({money.unit})"
    if money.expected is None or money.least is None or money.most is None:
        bound = "" if money.upper is None else f"; at most {money.upper:,.2f} {money.unit} by max_cost_per_job"
        return f"unknown, in {money.unit}{bound}"
    likely = "" if money.least == money.most else f", likely {money.least:,.2f} to {money.most:,.2f}"
    return f"{money.expected:,.2f} {money.unit}{likely}"


def _mitigation(planned: PlannedMitigation) -> str:
    effort = planned.effort
    spent = f"{count_text(effort.jobs, 'job')}, {effort.shots:,} shots, {_money(effort.cost)}"
    return f"{planned.name or 'by default'}: off by about {planned.shift_text} expected; {spent}"


def _keep_alive(plan: Plan) -> str:
    estimate, unit = plan.keep_alive, plan.cost.unit
    cost = "an unknown price" if estimate.cost is None else f"{estimate.cost:,.2f} {unit}"
    pings = f" {estimate.pings:,} such jobs are expected, for {cost}." if estimate.pings else ""
    hold = "" if estimate.hold is None else f" Exclusive access may cost {estimate.hold:,.2f} {unit}."
    return f"{estimate.mode}: {estimate.why}{pings}{hold}"


def _caps(plan: Plan) -> str:
    allowed = plan.allowed
    if not allowed.given:
        return "none; max_cost and max_jobs set one, which no round can exceed"
    named = ", ".join(f"{name} {allowed.values.get(name, '')}".rstrip() for name in allowed.given)
    if plan.refusals:
        return f"{named}: no run is begun, as it would be refused"
    if plan.bought is not None and allowed.stopped_by != "deadline":
        return named
    if allowed.stopped_by is None:
        is_known = plan.cost.expected is not None or "max_cost" not in allowed.given
        return f"{named}: the run fits" if is_known else f"{named}: not known to fit, as the price is unknown"
    spent = f"{count_text(allowed.jobs, 'job')}, {allowed.shots:,} shots, {allowed.cost:,.2f} {plan.cost.unit}"
    return f"{named}: {allowed.rounds} of {allowed.of} rounds, {spent}; then {allowed.stopped_by} is reached"


def _bought(bought: Bought, plan: Plan) -> str:
    total = (
        _money(plan.cost)
        if plan.cost.expected
        else f"{count_text(plan.jobs.expected, 'job')}, {plan.shots.expected:,} shots"
    )
    whole = f"; the whole run takes {total}"
    if bought.standard_error is None:
        return f"no value: {bought.reason}{whole}"
    return f"{_value_bought(bought, plan)}{'' if bought.is_whole else whole}"


def _value_bought(bought: Bought, plan: Plan) -> str:
    cost = "free" if not bought.cost else f"{bought.cost:,.2f} {plan.cost.unit}"
    spent = f"{cost} in {count_text(bought.rounds, 'round')} of {_likely_jobs(bought)}"
    what = "the whole run:" if bought.is_whole else "a value"
    by = ", not simulated: by the sizes of the operator's terms" if bought.is_assumed else ""
    text = (
        f"{what} ± {bought.standard_error or 0.0:.2g} (standard error{by}), {'' if not bought.cost else 'for '}{spent}"
    )
    text += ", its jobs of few shots sent with debiasing off" * bought.has_unmitigated
    return text if bought.with_value == bought.of else f"{text}; in {bought.with_value} of {bought.of} dry runs"


def _likely_jobs(bought: Bought) -> str:
    jobs = count_text(bought.jobs, "job")
    if bought.least_jobs == bought.most_jobs:
        return jobs
    return f"{jobs}, likely {bought.least_jobs:,} to {bought.most_jobs:,}"


def _circuits(plan: Plan) -> Iterator[str]:
    rows = [
        {
            "circuit": row.name,
            "asked in": ", ".join(row.phases),
            "qubits": row.qubits,
            "1-qubit": row.one_qubit,
            "2-qubit": row.two_qubit,
            "depth": row.depth,
            "jobs": f"{row.jobs:,}",
            "shots": f"{row.shots:,}",
            "a job's price": None if row.price is None else f"{row.price:,.2f} {plan.cost.unit}",
        }
        for row in plan.circuits[:MAX_CIRCUITS]
    ]
    yield from format_table(_CIRCUITS, rows)
    if (more := len(plan.circuits) - MAX_CIRCUITS) > 0:
        yield f"and {more:,} more circuits (--json prints all)"


def _comparison(plan: Plan) -> Iterator[str]:
    rows = [
        {
            "target": row.target,
            "state": row.state,
            "rounds": row.rounds,
            "jobs": row.jobs,
            "shots": None if row.shots is None else f"{row.shots:,}",
            "price": _amount(row.expected, row.unit),
            "likely": _likely(row),
            "unmitigated": _amount(row.unmitigated, row.unit),
            "queue": None if row.duration is None or row.duration.queue_s is None else row.duration.queue,
            _TIME: None if row.duration is None else row.duration.short,
            "keep_alive": row.keep_alive,
            _BUYS: None if row.bought is None or row.bought.standard_error is None else row.bought.standard_error,
        }
        for row in plan.comparison
    ]
    yield from format_table(_COMPARED if plan.bought is None else (*_COMPARED, _BUYS), rows)
    yield "Times are on Azure, with all queues, by recorded and published figures; unstated queues are left out."
    for row in plan.comparison:
        if row.note:
            yield f"{row.target}: {row.note}"


def _likely(row: ComparisonRow) -> str | None:
    if row.least is None or row.most is None or row.least == row.most:
        return None
    return f"{row.least:,.2f} to {row.most:,.2f}"


def _amount(amount: float | None, unit: str) -> str | None:
    return None if amount is None else "free" if amount == 0.0 else f"{amount:,.2f} {unit}"
