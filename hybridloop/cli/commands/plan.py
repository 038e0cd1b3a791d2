"""`hybridloop plan …`: what a run would take; nothing is submitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from hybridloop.cli.commands.run import COMMANDS, Command, Config, Set
from hybridloop.cli.options import given, options_of, with_options
from hybridloop.cli.output import AsJson, Workspace, print_json
from hybridloop.settings import SETTINGS

app = typer.Typer(no_args_is_help=True, help="Say what a run would take; nothing is submitted.")

_PLAN = "Plan"
Compare = Annotated[bool, typer.Option("--compare", help="Plan for all targets, a line each.", rich_help_panel=_PLAN)]
Targets = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Plan for these targets as well, a line each.", rich_help_panel=_PLAN),
]


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
        from hybridloop.api.plan import ALL, plan_in
        from hybridloop.cli.options import layers_of
        from hybridloop.settings.inputs import read_problem, read_scan
        from hybridloop.settings.sources import resolve_settings

        settings = resolve_settings(command.algorithm, *layers_of(config, set_, given(ctx, options))).settings
        text = read_scan(problem) if isinstance(problem, list) else read_problem(problem)
        named = [each.strip() for each in (targets or "").split(",") if each.strip()]
        found = plan_in(workspace, command.algorithm, text, settings, compare=named or (ALL if compare else ()))
        if json:
            print_json(found.as_dict())
        else:
            print(found)

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
