"""All commands in one tree."""

from __future__ import annotations

from typing import Annotated

import typer

from hybridloop import __version__
from hybridloop.cli.commands import archive as kept
from hybridloop.cli.commands import catalog, config, doctor, emulator, plan, run, runs, schema, sessions, sweep
from hybridloop.cli.commands import stack as local

kept.add_to(runs.app)


def build_app() -> typer.Typer:
    """The application; its errors are left to `main`."""
    app = typer.Typer(
        name="hybridloop",
        help="Hybrid quantum algorithms on Azure Quantum sessions, run as Prefect flows.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)  # for --version
    app.add_typer(run.app, name="run")
    app.command("sweep")(sweep.sweep)
    app.add_typer(plan.app, name="plan")
    app.add_typer(runs.app, name="runs")
    app.add_typer(sessions.app, name="sessions")
    app.add_typer(emulator.app, name="emulator")
    app.command("targets")(catalog.targets)
    app.command("problems")(catalog.problems)
    app.command("molecule")(catalog.molecule)
    app.command("optimizers")(catalog.optimizers)
    app.command("config")(config.config)
    app.command("init")(config.init)
    app.command("doctor")(doctor.doctor)
    app.command("schema")(schema.schema)
    app.command("up")(local.up)
    app.command("down")(local.down)
    app.command("status")(local.status)
    return app


def _root(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    """Hybrid quantum algorithms on Azure Quantum sessions, run as Prefect flows."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
