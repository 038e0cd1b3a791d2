"""Command tree of `hybridloop`."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hybridloop import __version__
from hybridloop.cli.help import GroupedCommands, HintedCommand, heading_of

_RUNS = ("runs", "resume", "archive")  # modules of `hybridloop runs`
_GROUPS = ("run", "plan", "runs", "deploy", "sessions", "limit", "journal", "emulator")
_MODULES = {  # of the other commands, whose functions have their names
    "sweep": "sweep",
    "cost": "cost",
    **dict.fromkeys(("targets", "problems", "molecule", "optimizers"), "catalog"),
    **dict.fromkeys(("config", "init"), "config"),
    "doctor": "doctor",
    "schema": "config",
    **dict.fromkeys(("up", "down", "status", "portal", "env", "worker"), "stack"),
    "metrics": "metrics",
    "mcp": "mcp",
}


class RunsCommands(TyperGroup):
    """The group `runs`, whose help has `resume` behind `show`."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: 1 + names.index("show" if name == "resume" else name))


def build_app(*words: str) -> typer.Typer:
    """Return the application, which leaves errors to `main`: all commands, or those that a line's first words need."""
    word, *rest = words or ("",)
    app = typer.Typer(
        name="hybridloop",
        cls=GroupedCommands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)  # for --version
    is_known = word in _GROUPS or word in _MODULES
    for name in _GROUPS:
        if name == word or not is_known:
            group = _runs(*rest) if name == "runs" else _load(name).app
            app.add_typer(group, rich_help_panel=heading_of(name))
    for name, module in _MODULES.items():
        if name == word or not is_known:
            app.command(cls=HintedCommand, rich_help_panel=heading_of(name))(getattr(_load(module), name))
    return app


def _runs(word: str = "", *_: str) -> typer.Typer:
    """Return the group `runs`: all of it, or the commands of the first module that has this one."""
    group = typer.Typer(
        name="runs", cls=RunsCommands, no_args_is_help=True, help="Runs of the journal, finished or not."
    )
    for module in _RUNS:
        part = _load(module).app
        group.add_typer(part)
        if word in {each.name or getattr(each.callback, "__name__", "") for each in part.registered_commands}:
            break
    return group


def _load(module: str) -> ModuleType:
    return import_module(f"hybridloop.cli.commands.{module}")


def _root(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Hybrid quantum algorithms on Azure Quantum sessions, run as Prefect flows."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
