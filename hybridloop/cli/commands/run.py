"""`hybridloop run …`: run an algorithm on a problem and print the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from hybridloop.cli.completion import binary_problems, energy_problems, molecules, run_keys, setting_names
from hybridloop.cli.help import HELP_ALL, brief_command
from hybridloop.cli.options import input_options, read_input, with_options
from hybridloop.cli.output import AsJson, Quiet, Workspace
from hybridloop.cli.progress import show_progress
from hybridloop.cli.result_output import UNIT, print_result
from hybridloop.settings import SETTINGS, MoleculeSettings

app = typer.Typer(name="run", no_args_is_help=True, help="Run an algorithm in its own session.")

_RUN = "Run"
Key = Annotated[
    str | None,
    typer.Option(help="Key of the run. A run with this key is resumed.", rich_help_panel=_RUN, autocompletion=run_keys),
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


@dataclass(frozen=True, slots=True)
class AlgorithmCommand:
    """Texts and argument of an algorithm's `run` and `plan` commands."""

    algorithm: str
    summary: str
    problem_help: str
    example: str
    main_options: str  # settings that the short help shows
    problem_type: Any = str
    complete: Callable[[str], list[str]] = energy_problems

    def brief_class(self, more: str) -> type[TyperCommand]:
        """The class of a command whose short help shows ten options: `more` and those of the algorithm."""
        shared = "target seed shots max_cost workspace json help help_all"
        return brief_command(f"{shared} {more} {self.main_options}".split())

    @property
    def argument(self) -> Any:
        """The type of the problem argument, for typer."""
        return Annotated[self.problem_type, typer.Argument(help=self.problem_help, autocompletion=self.complete)]


_MOLECULE = (
    "Built-in name (`hybridloop problems`), file (FCIDUMP, Pauli-sum JSON, XYZ), or atoms ('H 0 0 0; H 0 0 0.74')."
)
_BINARY = (
    "Built-in name (`hybridloop problems`) or file: edge list, CSV, GraphML; JSON with a graph, "
    "a QUBO, spins, numbers to partition, a portfolio."
)
COMMANDS = (
    AlgorithmCommand(
        "vqe", "Find a molecule's ground-state energy with VQE.", _MOLECULE, "h2 --seed 7", "ansatz optimizer precision"
    ),
    AlgorithmCommand(
        "adapt",
        "Find a molecule's ground-state energy with ADAPT-VQE, whose circuit grows by one operator at a time.",
        _MOLECULE,
        "heh+ --seed 7",
        "pool tolerance precision",
        complete=molecules,
    ),
    AlgorithmCommand(
        "levels",
        "Find the lowest energy levels of a molecule, by a VQE and one to three rounds after it, or of a spin model.",
        _MOLECULE,
        "h2 --levels 4 --seed 7",
        "levels ansatz precision",
    ),
    AlgorithmCommand(
        "sqd",
        "Find a bound on a molecule's ground-state energy from samples, in a subspace that they choose (SQD).",
        _MOLECULE,
        "h4 --max-subspace 16 --seed 7",
        "ansatz max_subspace iterations",
        complete=molecules,
    ),
    AlgorithmCommand(
        "scan",
        "Find the ground-state energies of a series of molecules in one run.",
        "Two or more, in order: built-in names (`hybridloop problems`) or files as for `run vqe`.",
        "h2-0.3 h2 h2-1.6 --seed 7",
        "ansatz optimizer precision",
        list[str],
    ),
    AlgorithmCommand(
        "qaoa",
        "Find a good assignment of a binary problem with QAOA, by default in one job at fixed angles.",
        _BINARY,
        "petersen --seed 7",
        "objective layers refine",
        complete=binary_problems,
    ),
    AlgorithmCommand(
        "rqaoa",
        "Find a good assignment of a binary problem with recursive QAOA, which fixes one variable in each round.",
        _BINARY,
        "petersen --seed 7",
        "objective layers brute_force_below",
        complete=binary_problems,
    ),
)


def _run_command(command: AlgorithmCommand) -> Callable[..., None]:
    """Return the `run` command of an algorithm; its options are the fields of the algorithm's settings."""

    def run(
        ctx: typer.Context,
        problem: Any,
        *,
        run_key: Key = None,
        workspace: Workspace = None,
        config: Config = None,
        set_: Set = [],  # noqa: B006  # typer's way to make it optional
        json: AsJson = False,
        quiet: Quiet = False,
        **options: Any,
    ) -> None:
        from hybridloop.api import runs as api

        unit = options.pop("unit", None)
        with show_progress(quiet=quiet) as display:
            text, resolved = read_input(ctx, command.algorithm, problem, config, set_, options)
            result = api.run(
                command.algorithm,
                text,
                resolved,
                run_key=run_key,
                workspace=workspace,
                on_progress=display.on_progress,
                feed=display.feed,
            )
        print_result(result, as_json=json, unit=unit)

    run.__annotations__["problem"] = command.argument
    run.__doc__ = (
        f"{command.summary}\n\nOptions take precedence over --set, and --set over --config.\n\n"
        f"Example: hybridloop run {command.algorithm} {command.example}"
    )
    settings = SETTINGS[command.algorithm]
    more = [UNIT, HELP_ALL] if issubclass(settings, MoleculeSettings) else [HELP_ALL]
    return with_options(run, [*input_options(settings), *more])


for _command in COMMANDS:
    app.command(_command.algorithm, cls=_command.brief_class("run_key"))(_run_command(_command))
