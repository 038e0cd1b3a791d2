"""Command tree of `hybridloop`."""

from __future__ import annotations

from typing import Annotated

import typer

from hybridloop import __version__
from hybridloop.cli.commands import (
    archive,
    catalog,
    config,
    cost,
    deploy,
    doctor,
    emulator,
    journal,
    limit,
    mcp,
    metrics,
    plan,
    run,
    runs,
    sessions,
    stack,
    sweep,
)
from hybridloop.cli.help import GroupedCommands, HintedCommand, heading_of

runs.app.add_typer(archive.app)

_COMMANDS = (
    *(sweep.sweep, cost.cost, catalog.targets, catalog.problems, catalog.molecule, catalog.optimizers),
    *(config.config, config.init, doctor.doctor, config.schema, stack.up, stack.down, stack.status),
    *(stack.portal, stack.env, stack.worker, metrics.metrics, mcp.mcp),
)


def build_app() -> typer.Typer:
    """Return the application, which leaves errors to `main`."""
    app = typer.Typer(
        name="hybridloop",
        cls=GroupedCommands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)  # for --version
    for group in (run, plan, runs, deploy, sessions, limit, journal, emulator):
        app.add_typer(group.app, rich_help_panel=heading_of(str(group.app.info.name)))
    for command in _COMMANDS:
        app.command(cls=HintedCommand, rich_help_panel=heading_of(command.__name__))(command)
    return app


def _root(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Hybrid quantum algorithms on Azure Quantum sessions, run as Prefect flows."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
