"""`hybridloop plan …`: estimate a run without submitting it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from hybridloop.cli.commands.run import Config, Set, command_class, problem_argument
from hybridloop.cli.help import HELP_ALL, AlgorithmGroup, command_of
from hybridloop.cli.option_names import with_options_named
from hybridloop.cli.options import input_options, read_input, with_options
from hybridloop.cli.output import AsJson, Workspace, print_json, print_text
from hybridloop.cli.progress import show_stages
from hybridloop.descriptions import ALGORITHMS, Description
from hybridloop.errors import REFUSED

app = typer.Typer(name="plan", cls=AlgorithmGroup, no_args_is_help=True, help="Estimate a run; nothing is submitted.")

_PLAN = "Plan"
_COMPARE = "Plan for all targets, a line each."
Compare = Annotated[bool, typer.Option("--compare", help=_COMPARE, rich_help_panel=_PLAN)]
Targets = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Plan for these targets too, a line each.", rich_help_panel=_PLAN),
]


def _plan_command(algorithm: Description) -> Callable[..., None]:
    """Return the `plan` command of an algorithm: the options of `run`, and targets to compare."""

    def plan(
        ctx: typer.Context,
        problem: Any,
        *,
        config: Config = None,
        set_: Set = [],  # noqa: B006  # typer's way to make it optional
        compare: Compare = False,
        targets: Targets = None,
        workspace: Workspace = None,
        json: AsJson = False,
        **options: Any,
    ) -> None:
        from hybridloop.api.plan import ALL, plan_in_workspace

        text, resolved = read_input(ctx, algorithm.name, problem, config, set_, options)
        names = [name.strip() for name in (targets or "").split(",") if name.strip()]
        compared = names or (ALL if compare else ())
        with show_stages():
            result = plan_in_workspace(workspace, algorithm.name, text, resolved.settings, compare=compared)
        if json:
            print_json(result.as_dict())
        else:
            result = dataclasses.replace(result, warnings=tuple(map(with_options_named, result.warnings)))
            print_text(str(result))
        if result.refusals:
            raise typer.Exit(REFUSED)  # as the run does

    plan.__annotations__["problem"] = problem_argument(algorithm)
    plan.__doc__ = (
        f"Estimate the rounds, jobs, shots, price and time of `hybridloop run {algorithm.name}`.\n\n"
        "The algorithm runs on an ideal simulator in this process; nothing is submitted. The exit code is 2 if such a "
        "run would be refused.\n\n"
        f"Example: hybridloop plan {algorithm.name} {algorithm.example} --compare"
    )
    return with_options(plan, [*input_options(algorithm.settings), HELP_ALL])


def _add(to: typer.Typer, algorithm: Description) -> None:
    to.command(algorithm.name, cls=command_class(algorithm, "compare"))(_plan_command(algorithm))


for _algorithm in ALGORITHMS.known:
    _add(app, _algorithm)
AlgorithmGroup.makers["plan"] = partial(command_of, _add)
