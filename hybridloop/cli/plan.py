"""`hybridloop plan …`: what a run would take; nothing is submitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridloop.cli.options import given, options_of, with_options
from hybridloop.cli.output import AsJson, Workspace, print_json, print_table
from hybridloop.cli.run import COMMANDS, Command, Config, Set
from hybridloop.flows.settings import SETTINGS
from hybridloop.sessions.durations import one_unit

if TYPE_CHECKING:
    from hybridloop.flows.plan.figures import Figure, Money, Plan

app = typer.Typer(no_args_is_help=True, help="Say what a run would take; nothing is submitted.")

_PLAN = "Plan"
Compare = Annotated[bool, typer.Option("--compare", help="Plan for all targets, a line each.", rich_help_panel=_PLAN)]
Targets = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Plan for these targets as well, a line each.", rich_help_panel=_PLAN),
]
MOST_CIRCUITS = 12  # in the table; --json has them all
TIME = "time (est.)"
_COMPARED = ("target", "state", "rounds", "jobs", "shots", "price", "at_most", "unmitigated", TIME, "keep_alive")
_CIRCUITS = ("circuit", "asked in", "qubits", "1-qubit", "2-qubit", "depth", "jobs", "shots", "a job's price")


@app.callback()
def _group() -> None:
    """Say what a run would take; nothing is submitted."""


def _plan_command(command: Command) -> Callable[..., None]:
    """The command as typer reads it: the options of `run`, and which targets to compare."""

    def plan(
        ctx: typer.Context,
        problem: Any,
        *,
        config: Config = None,
        set_: Set = [],  # noqa: B006  # typer's way to say that it may be left out
        compare: Compare = False,
        targets: Targets = None,
        workspace: Workspace = None,
        json: AsJson = False,
        **options: Any,
    ) -> None:
        from hybridloop.cli.settings_file import layers_of
        from hybridloop.defaults import chosen
        from hybridloop.planned import ALL, plan_in
        from hybridloop.user_input import read_problem, read_scan

        settings = chosen(command.algorithm, *layers_of(config, set_, given(ctx, options))).settings
        text = read_scan(problem) if isinstance(problem, list) else read_problem(problem)
        named = [each.strip() for each in (targets or "").split(",") if each.strip()]
        found = plan_in(workspace, command.algorithm, text, settings, compare=named or (ALL if compare else ()))
        if json:
            print_json(found.as_dict())
        else:
            tell(found)

    plan.__annotations__["problem"] = Annotated[
        command.takes, typer.Argument(help=command.problem, autocompletion=command.completes)
    ]
    plan.__doc__ = (
        f"Say what `hybridloop run {command.algorithm}` would take: rounds, jobs, shots, price, time.\n\n"
        "The algorithm is driven over an ideal machine in this process; nothing is submitted.\n\n"
        f"Example: hybridloop plan {command.algorithm} {command.example} --compare"
    )
    return with_options(plan, options_of(SETTINGS[command.algorithm]))


for each in COMMANDS:
    app.command(each.algorithm)(_plan_command(each))


def tell(plan: Plan) -> None:
    """Print a plan."""
    seeds = f"{plan.rehearsals} seeds" if plan.rehearsals > 1 else "once"
    print(f"{plan.problem} by {plan.algorithm} on {plan.target}: a plan, rehearsed with {seeds}; nothing was submitted")
    print(f"  rounds     {_figure(plan.rounds)}")
    print(f"  jobs       {_figure(plan.jobs)}")
    print(f"  shots      {_figure(plan.shots)}")
    print(f"  price      {_money(plan.cost)}; by the prices of {plan.prices_dated}")
    if plan.mitigated is not None and plan.unmitigated is not None:
        print(f"  debias     on: {_money(plan.mitigated)}")
        print(f"             off: {_money(plan.unmitigated)}")
    print(f"  keep-alive {plan.keep_alive.mode}: {plan.keep_alive.why}{_share(plan)}")
    print(f"  time       {_time(plan)}")
    print(f"  caps       {_caps(plan)}")
    if plan.assumed is not None:
        print(f"  assumed    {plan.assumed}")
    for warning in plan.warnings:
        print(f"  warning    {warning}")
    print()
    _print_circuits(plan)
    if plan.comparison:
        print()
        _print_comparison(plan)
    print()
    print("At most: every round that the settings allow, each as large as the largest seen. Retries come on top.")


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


def _print_circuits(plan: Plan) -> None:
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
    print_table(_CIRCUITS, rows)
    if (more := len(plan.circuits) - MOST_CIRCUITS) > 0:
        print(f"and {more:,} circuits more (--json has them all)")


def _print_comparison(plan: Plan) -> None:
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
    print_table(_COMPARED, rows)
    print("Times are estimates: each target's queue of this moment, once a round, and a job as recorded or assumed.")
    for each in plan.comparison:
        if each.note:
            print(f"{each.target}: {each.note}")


def _amount(amount: float | None, unit: str) -> str | None:
    return None if amount is None else "free" if amount == 0.0 else f"{amount:,.2f} {unit}"
