"""`hybridloop emulator start`: the local Azure Quantum service, for any client."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybridloop.emulator.settings import DEFAULT_PORT, ClockKind, IdleRule, Settings
from hybridloop.errors import InputError

app = typer.Typer(no_args_is_help=True, help="A local Azure Quantum service.")


@app.callback()
def _group() -> None:
    """A local Azure Quantum service."""


@app.command()
def start(
    *,
    port: Annotated[int, typer.Option(help="Port on this machine's loopback; 0 takes a free one.")] = DEFAULT_PORT,
    state: Annotated[Path | None, typer.Option(help="Folder that keeps sessions, jobs and blobs.")] = None,
    in_memory: Annotated[bool, typer.Option("--in-memory", help="Forget everything at the end.")] = False,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="HYBRIDLOOP_EMULATOR_API_KEY", help="Default: one kept with the state.", show_envvar=True),
    ] = None,
    admin_key: Annotated[
        str | None,
        typer.Option(envvar="HYBRIDLOOP_EMULATOR_ADMIN_KEY", help="Default: one kept with the state."),
    ] = None,
    clock: Annotated[ClockKind, typer.Option(help="virtual: time goes on only when it is told to.")] = ClockKind.REAL,
    seed: Annotated[int | None, typer.Option(help="Of sampling. Default: the one kept with the state, else 0.")] = None,
    idle_rule: Annotated[
        IdleRule, typer.Option(help="From when a session's ten idle minutes count.")
    ] = IdleRule.RECORDED,
) -> None:
    """Serve until Ctrl-C; prints what a client needs to connect.

    Example: hybridloop emulator start --in-memory
    """
    if in_memory and state is not None:
        raise InputError("--in-memory", "it was given together with --state", "Choose one of the two.")
    try:
        settings = Settings(
            port=port,
            state=None if in_memory else state or _own_state(),
            api_key=api_key,
            admin_key=admin_key,
            clock=clock,
            seed=seed,
            idle_rule=idle_rule,
        )
    except ValueError as error:
        raise InputError("emulator", str(error), "`hybridloop emulator start --help` says what is taken.") from error
    from hybridloop.emulator.server import serve

    raise typer.Exit(serve(settings))


def _own_state() -> Path:
    from hybridloop.stack import stack_home

    return stack_home() / "emulator-by-hand"  # the stack's own service holds another folder
