"""`hybridloop run …`: one run of an algorithm, from its problem to its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from hybridloop.cli.completion import binary_problems, molecules, run_keys, setting_names
from hybridloop.cli.options import given, options_of, with_options
from hybridloop.cli.output import AsJson, Quiet, Workspace, submitting
from hybridloop.cli.progress import shown
from hybridloop.cli.result_output import tell
from hybridloop.settings import SETTINGS

app = typer.Typer(no_args_is_help=True, help="Run an algorithm in a session of its own.")

_RUN = "Run"
Key = Annotated[
    str | None,
    typer.Option(
        help="A name for the run; one that is there is gone on with.", rich_help_panel=_RUN, autocompletion=run_keys
    ),
]
Config = Annotated[Path | None, typer.Option(metavar="FILE.yaml", help="Settings by name.", rich_help_panel=_RUN)]
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


@dataclass(frozen=True, slots=True)
class Command:
    """One algorithm on the command line: what it does, what it takes, and how it is called."""

    algorithm: str
    does: str
    problem: str
    example: str
    takes: Any = str
    completes: Callable[[str], list[str]] = molecules


_MOLECULE = "Built-in name (`hybridloop problems`) or file: FCIDUMP, QCSchema JSON, Pauli-sum JSON."
_BINARY = (
    "Built-in name (`hybridloop problems`) or file: edge list, GraphML, node-link JSON; JSON with a QUBO, "
    "spins, numbers to part, a portfolio."
)
COMMANDS = (
    Command(
        "vqe",
        "Find a molecule's ground-state energy.",
        _MOLECULE,
        "h2 --seed 7",
    ),
    Command(
        "adapt",
        "Find a molecule's ground-state energy with a circuit that grows until no operator is worth a further one.",
        _MOLECULE,
        "heh+ --seed 7",
    ),
    Command(
        "vqd",
        "Find a molecule's lowest energy levels, each apart from those below it.",
        _MOLECULE,
        "h2 --levels 3 --seed 7",
    ),
    Command(
        "scan",
        "Find the ground-state energies of a row of molecules in one run.",
        "Two or more, in order: built-in names (`hybridloop problems`) or files as `run vqe` takes them.",
        "h2-0.3 h2 h2-1.6 --seed 7",
        list[str],
    ),
    Command(
        "qaoa",
        "Find a good assignment of a binary problem, by default in one job at fixed angles.",
        _BINARY,
        "petersen --seed 7",
        completes=binary_problems,
    ),
    Command(
        "rqaoa",
        "Find a good assignment of a binary problem by fixing one variable a round.",
        _BINARY,
        "petersen --seed 7",
        completes=binary_problems,
    ),
)


@app.callback()
def _group() -> None:
    """Run an algorithm in a session of its own."""


def _run_command(command: Command) -> Callable[..., None]:
    """The command as typer reads it: its options are the fields of the algorithm's settings."""

    def run(
        ctx: typer.Context,
        problem: Any,
        *,
        run_key: Key = None,
        workspace: Workspace = None,
        config: Config = None,
        set_: Set = [],  # noqa: B006  # typer's way to say that it may be left out
        json: AsJson = False,
        quiet: Quiet = False,
        **options: Any,
    ) -> None:
        from hybridloop.api import runs as calls
        from hybridloop.cli.options import layers_of
        from hybridloop.settings.inputs import read_problem, read_scan
        from hybridloop.settings.sources import resolve_settings

        with submitting(), shown(quiet=quiet) as seen:
            resolved = resolve_settings(command.algorithm, *layers_of(config, set_, given(ctx, options)))
            text = read_scan(problem) if isinstance(problem, list) else read_problem(problem)
            result = calls.run(
                command.algorithm,
                text,
                resolved,
                run_key=run_key,
                workspace=workspace,
                on_progress=seen.on_progress,
                feed=seen.feed,
            )
        tell(result, as_json=json)

    run.__annotations__["problem"] = Annotated[
        command.takes, typer.Argument(help=command.problem, autocompletion=command.completes)
    ]
    run.__doc__ = (
        f"{command.does}\n\nWhat is given by name goes before --set, and that before --config.\n\n"
        f"Example: hybridloop run {command.algorithm} {command.example}"
    )
    return with_options(run, options_of(SETTINGS[command.algorithm]))


for each in COMMANDS:
    app.command(each.algorithm)(_run_command(each))
