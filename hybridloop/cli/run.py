"""`hybridloop run …`: one run of an algorithm, from its problem to its result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridloop.cli.output import AsJson, print_json, say
from hybridloop.flows.settings import AnsatzName, MappingName, OptimizerName, VqeSettings
from hybridloop.home import home

if TYPE_CHECKING:
    from hybridloop.flows.results import RunResult

app = typer.Typer(no_args_is_help=True, help="Run an algorithm in a session of its own.")
_defaults = VqeSettings()


@app.callback()
def _group() -> None:
    """Run an algorithm in a session of its own."""


@app.command()
def vqe(
    problem: Annotated[str, typer.Argument(help="Built-in name (`hybridloop problems`) or FCIDUMP file.")],
    *,
    ansatz: Annotated[AnsatzName, typer.Option(help="Circuit whose angles are varied.")] = _defaults.ansatz,
    mapping: Annotated[MappingName, typer.Option(help="How spin orbitals become qubits.")] = _defaults.mapping,
    optimizer: Annotated[OptimizerName, typer.Option(help="Search over the angles.")] = _defaults.optimizer,
    shots: Annotated[int, typer.Option(help="Shots for each circuit during the search.")] = _defaults.shots,
    precision: Annotated[float, typer.Option(help="Standard error in hartree to end with.")] = _defaults.precision,
    seed: Annotated[
        int | None, typer.Option(help="Fixes the local service's samples and a random start; left out: drawn.")
    ] = None,
    target: Annotated[str, typer.Option(help="Azure Quantum target (`hybridloop targets`).")] = _defaults.target,
    max_rounds: Annotated[int, typer.Option(help="Rounds that the search may take.")] = _defaults.max_rounds,
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Find a molecule's ground-state energy.

    Example: hybridloop run vqe h2 --seed 7
    """
    from hybridloop import api
    from hybridloop.cli.progress import shown

    with shown(quiet=quiet) as on_progress:
        result = api.vqe(
            problem,
            ansatz=ansatz,
            mapping=mapping,
            optimizer=optimizer,
            shots=shots,
            precision=precision,
            seed=seed,
            target=target,
            max_rounds=max_rounds,
            on_progress=on_progress,
        )
    picture = _save_picture(result)
    if json:
        print_json({**result.as_dict(), "picture": str(picture) if picture else None})
    else:
        _print(result, picture)


def _save_picture(result: RunResult) -> Path | None:
    """Where the picture is; None, and a word about it, where none can be written: the result is worth more."""
    path = home() / "pictures" / f"{result.run_key}.svg"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        result.plot(str(path))
    except OSError as error:
        say(f"hybridloop: the picture can't be written to {path} ({error.strerror})")
        return None
    return path


def _print(result: RunResult, picture: Path | None) -> None:
    error = "unknown: the molecule is too large to be diagonalized"
    if result.error is not None:
        error = f"{result.error * 1e3:+.3f} mHa against the exact energy"
    sharpness = (
        f"± {result.rounding_bound:.6f} (rounding; the target does not sample)"
        if result.is_exact
        else f"± {result.standard_error:.6f} (standard error)"
    )
    print(f"{result.problem} on {result.target}: {result.status} ({result.reason})")
    short = "" if result.is_precise else ", which is wider than was asked"
    print(f"  energy     {result.value:.6f} hartree {sharpness}{short}")
    print(f"  error      {error}")
    print(
        f"  effort     {result.rounds} rounds, {result.jobs} jobs, {result.shots:,} shots, {result.wall_seconds:.1f} s"
    )
    print(f"  cost       {_cost(result)}")
    for session in result.sessions:
        print(f"  session    {session.id} {session.status}")
    if picture:
        print(f"  picture    {picture}")


def _cost(result: RunResult) -> str:
    """What the service billed; it states amounts by unit, or none."""
    return ", ".join(f"{amount:,.2f} {unit}" for unit, amount in result.cost.items()) or "not stated by the service"
