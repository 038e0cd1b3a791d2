"""`hybridloop limit set | list | show | remove`: what runs together may cost in a period."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from hybridloop.cli.output import AsJson, print_json, print_line, print_rows

app = typer.Typer(
    name="limit", no_args_is_help=True, help="Limit what the runs of this journal cost by day, week, month or in all."
)

_COLUMNS = ("name", "amount", "unit", "period", "scope", "spent", "reserved", "left", "next_period")


class Per(enum.StrEnum):
    """Period of a limit."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    EVER = "ever"


Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the limit.")]


def _of(what: str) -> Any:
    return typer.Option(help=f"Only runs {what}.", rich_help_panel="Runs")


@app.command("set")
def set_(
    name: Name,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Amount in one unit, such as 500USD.")],
    *,
    per: Annotated[Per, typer.Option(help="Period, in UTC; weeks begin on Monday.")] = Per.MONTH,
    tag: Annotated[str | None, _of("with this tag (--tags)")] = None,
    target: Annotated[str | None, _of("on this target")] = None,
    workspace: Annotated[str | None, _of("in the workspace of this name")] = None,
    deployment: Annotated[str | None, _of("of this deployment, FLOW/NAME")] = None,
    sweep: Annotated[str | None, _of("of the sweep of this name")] = None,
    local: Annotated[bool, typer.Option("--local", help="Count runs on the local service, too.")] = False,
    json: AsJson = False,
) -> None:
    """Set a limit for the runs of this journal, or change it; it holds from the next jobs on.

    Jobs that could exceed it are not submitted, and their run ends as at a cap.

    Example: hybridloop limit set team 500USD --per month
    """
    from hybridloop.api import limits as api

    scope = {"tag": tag, "target": target, "workspace": workspace, "deployment": deployment, "sweep": sweep}
    given: dict[str, Any] = {kind: value for kind, value in scope.items() if value is not None}
    state = api.set_limit(name, amount, per=per.value, local=local, **given)
    if json:
        print_json(state.as_dict())
    else:
        print_line(str(state))


@app.command("list")
def list_(*, json: AsJson = False) -> None:
    """List the limits with what is spent and reserved of them in this period.

    Example: hybridloop limit list
    """
    from hybridloop.api import limits as api

    print_rows([state.as_dict() for state in api.limits()], _COLUMNS, as_json=json)


@app.command()
def show(name: Name, *, json: AsJson = False) -> None:
    """Show a limit with its scope, and what is spent, reserved and left of it in this period.

    Example: hybridloop limit show team
    """
    from hybridloop.api import limits as api

    state = api.limit(name)
    if json:
        print_json(state.as_dict())
    else:
        print_line(str(state))


@app.command()
def remove(name: Name, *, json: AsJson = False) -> None:
    """Remove a limit; what runs have cost stays in the journal.

    Example: hybridloop limit remove team
    """
    from hybridloop.api import limits as api

    api.remove_limit(name)
    if json:
        print_json({"removed": name})
    else:
        print_line(f"limit {name} is removed")
