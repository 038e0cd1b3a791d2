"""`hybridloop run …`: run an algorithm on a problem and print the result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from hybridloop.cli.completion import binary_problems, energy_problems, molecules, run_keys, setting_names
from hybridloop.cli.help import HELP_ALL, AlgorithmGroup, brief_command, command_of
from hybridloop.cli.options import input_options, read_input, with_options
from hybridloop.cli.output import AsJson, Quiet, RequirePrefect, Workspace, print_message
from hybridloop.cli.progress import show_progress
from hybridloop.cli.result_output import UNIT, print_result
from hybridloop.descriptions import ALGORITHMS, Description, Subject

app = typer.Typer(name="run", cls=AlgorithmGroup, no_args_is_help=True, help="Run an algorithm in its own session.")

_RUN = "Run"
Key = Annotated[
    str | None,
    typer.Option(help="Key of the run. A run with this key is resumed.", rich_help_panel=_RUN, autocompletion=run_keys),
]
On = Annotated[
    str | None,
    typer.Option(metavar="POOL", help="Hand the run to a worker of this Prefect work pool.", rich_help_panel=_RUN),
]
Config = Annotated[Path | None, typer.Option(metavar="FILE.yaml", help="File with settings.", rich_help_panel=_RUN)]
Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="One setting, such as failure.retries=5.",
        rich_help_panel=_RUN,
        autocompletion=setting_names,
    ),
]


# help and completion of the problem argument
_ENERGY = (
    "Built-in name (`hybridloop problems`), file (FCIDUMP, Pauli-sum JSON, XYZ), or atoms ('H 0 0 0; H 0 0 0.74')."
)
_SERIES = (
    "Two or more, in order: built-in names (`hybridloop problems`) or files as for `run vqe`; or one geometry with a "
    "range, such as 'H 0 0 0; H 0 0 {0.5:2.5:9}'."
)
_BINARY = (
    "Built-in name (`hybridloop problems`) or file: edge list, CSV, GraphML; JSON with a graph, "
    "a QUBO, spins, numbers to partition, a portfolio."
)
_ARGUMENTS = {
    Subject.ENERGY: (str, _ENERGY, energy_problems),
    Subject.MOLECULE: (str, _ENERGY, molecules),
    Subject.SERIES: (list[str], _SERIES, energy_problems),
    Subject.BINARY: (str, _BINARY, binary_problems),
}


def command_class(algorithm: Description, more: str) -> type[TyperCommand]:
    """Return the class of a command whose short help shows ten options: `more` and those of the algorithm."""
    shared = "target seed shots max_cost workspace json help help_all"
    return brief_command(f"{shared} {more} {algorithm.main_options}".split())


def problem_argument(algorithm: Description) -> Any:
    """Return the type of the problem argument, for typer."""
    kind, text, complete = _ARGUMENTS[algorithm.subject]
    return Annotated[kind, typer.Argument(help=text, autocompletion=complete)]


def _run_command(algorithm: Description) -> Callable[..., None]:
    """Return the `run` command of an algorithm; its options are the fields of the algorithm's settings."""

    def run(
        ctx: typer.Context,
        problem: Any,
        *,
        run_key: Key = None,
        on: On = None,
        workspace: Workspace = None,
        require_prefect: RequirePrefect = False,
        config: Config = None,
        set_: Set = [],  # noqa: B006  # typer's way to make it optional
        json: AsJson = False,
        quiet: Quiet = False,
        **options: Any,
    ) -> None:
        unit = options.pop("unit", None)
        if on is not None:
            from hybridloop.api.worker import run_on

            text, resolved = read_input(ctx, algorithm.name, problem, config, set_, options)
            show = _no_line if quiet else print_message
            handed = run_on(on, algorithm.name, text, resolved, run_key=run_key, workspace=workspace, show=show)
            print_result(handed, as_json=json, unit=unit)
            return
        from hybridloop.api.algorithms import run as run_algorithm
        from hybridloop.results.live import View

        with show_progress(quiet=quiet) as display:
            text, resolved = read_input(ctx, algorithm.name, problem, config, set_, options)
            result = run_algorithm(
                algorithm.name,
                text,
                resolved,
                run_key=run_key,
                workspace=workspace,
                view=View(display.on_progress, display.feed),
                require_prefect=require_prefect,
            )
        print_result(result, as_json=json, unit=unit)

    run.__annotations__["problem"] = problem_argument(algorithm)
    run.__doc__ = (
        f"{algorithm.summary}\n\nOptions take precedence over --set, and --set over --config.\n\n"
        f"Example: hybridloop run {algorithm.name} {algorithm.example}"
    )
    more = [UNIT, HELP_ALL] if algorithm.is_on_molecules else [HELP_ALL]
    return with_options(run, [*input_options(algorithm.settings), *more])


def _no_line(text: str) -> None:
    """Show nothing of a quiet run."""


def _add(to: typer.Typer, algorithm: Description) -> None:
    to.command(algorithm.name, cls=command_class(algorithm, "run_key"))(_run_command(algorithm))


for _algorithm in ALGORITHMS.known:
    _add(app, _algorithm)
AlgorithmGroup.makers["run"] = partial(command_of, _add)
