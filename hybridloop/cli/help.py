"""Help of the command line: commands in groups, and the options that most runs need before all others."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from hybridloop.data import TABLES, built_in_problem
from hybridloop.data.synonyms import suggestion
from hybridloop.errors import InputError
from hybridloop.runtime.leaves import leaf

if TYPE_CHECKING:
    from hybridloop import descriptions
    from hybridloop.inputs import validation
else:
    descriptions = leaf("hybridloop.descriptions")
    validation = leaf("hybridloop.inputs.validation")

# headings of `hybridloop --help`, with their commands in order
COMMAND_GROUPS = {
    "Run": ("run", "plan", "sweep", "runs", "cost", "limit"),
    "Look": ("status", "metrics", "portal", "sessions", "targets", "problems", "optimizers", "molecule", "schema"),
    "Set up": ("init", "config", "doctor", "up", "down", "env", "journal", "deploy", "worker", "mcp"),
    "Local service": ("emulator",),
}
_SHOWS_ALL = "hybridloop.all_options"


class GroupedCommands(TyperGroup):
    """Command group whose help lists its commands by COMMAND_GROUPS."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands' names in the order of their groups."""
        return [name for names in COMMAND_GROUPS.values() for name in names if name in self.commands]


class AlgorithmGroup(TyperGroup):
    """Command group with a command for each algorithm, which says so of a problem or a file in a command's place.

    Another package's algorithm is imported when its command is given. `makers` has the maker of a command by the
    group's name.
    """

    makers: ClassVar[dict[str, Callable[[descriptions.Description], Any]]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands' names, other packages' last."""
        return [*super().list_commands(ctx), *(name for name in descriptions.ALGORITHMS if name not in self.commands)]

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return a command; of another package one that says so, until it is given."""
        if name not in self.commands and name in descriptions.ALGORITHMS:
            return TyperCommand(name, short_help="Algorithm of another package.", callback=lambda: None)
        return super().get_command(ctx, name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word = args[0]
        if word not in self.commands and word not in descriptions.ALGORITHMS:
            table = next((table for table in TABLES if built_in_problem(table, word) is not None), None)
            of_table = (descriptions.Subject.ENERGY, descriptions.Subject.BINARY)
            subject = None if table is None else of_table[TABLES.index(table)]
            if subject is not None or Path(word).is_file():
                known = descriptions.ALGORITHMS.known
                usual = next((each.name for each in known if each.subject is subject), "ALGORITHM")
                remedy = f"Give that first, one of {', '.join(self.commands)}: {ctx.command_path} {usual} {word}"
                what = "a file" if subject is None else "a problem"
                raise InputError("algorithm", f"{word} is {what}, and no algorithm", remedy)
        if word not in self.commands and word in descriptions.ALGORITHMS:
            self.commands[word] = self.makers[str(self.name)](descriptions.ALGORITHMS[word])
        return super().resolve_command(ctx, args)


def command_of(
    add: Callable[[typer.Typer, descriptions.Description], None], algorithm: descriptions.Description
) -> Any:
    """Return the command that `add` adds to an application for an algorithm."""
    alone = typer.Typer(pretty_exceptions_enable=False)
    add(alone, algorithm)
    return typer.main.get_command(alone)


def heading_of(command: str) -> str:
    """Return the heading of a command. Raises KeyError if it has none."""
    return {name: heading for heading, names in COMMAND_GROUPS.items() for name in names}[command]


class HintedCommand(TyperCommand):
    """Command that names the option which a word of another library means."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # click's NoSuchOption, of which some versions of typer have their own
            if (given := getattr(error, "option_name", None)) is None:
                raise
            names = {option.name for option in super().get_params(ctx) if option.name}
            if type(error).__name__ != "NoSuchOption" or not (
                remedy := suggestion(given, names, _as_option) or validation.elsewhere(given.strip("-"))
            ):
                raise
            raise InputError(given, "there is no such option", remedy) from error


def brief_command(shown: Collection[str]) -> type[TyperCommand]:
    """Return a command class whose `--help` shows these parameters, and `--help-all` all of them."""

    class BriefCommand(HintedCommand):
        def get_params(self, ctx: Any) -> list[Any]:
            params = super().get_params(ctx)
            if ctx.meta.get(_SHOWS_ALL, True):
                return params
            return [
                param if param.param_type_name == "argument" else _without_heading(param)
                for param in params
                if param.param_type_name == "argument" or param.name in shown
            ]

        def format_help(self, ctx: Any, formatter: Any) -> None:
            ctx.meta.setdefault(_SHOWS_ALL, False)
            super().format_help(ctx, formatter)

    return BriefCommand


def _as_option(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


def _without_heading(option: Any) -> Any:
    """Return a copy of an option under the common heading; there are too few for several."""
    copied = copy.copy(option)
    copied.rich_help_panel = None
    return copied


def _print_all_options(ctx: typer.Context, *, is_asked: bool) -> None:
    if is_asked:
        ctx.meta[_SHOWS_ALL] = True
        typer.echo(ctx.get_help())
        raise typer.Exit


HELP_ALL = inspect.Parameter(
    "help_all",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option("--help-all", is_eager=True, callback=_print_all_options, help="Show all options and exit."),
    ],
)
