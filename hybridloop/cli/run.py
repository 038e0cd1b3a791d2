"""`hybridloop run …`: one run of an algorithm, from its problem to its result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridloop.cli.output import AsJson, print_json, say
from hybridloop.cli.progress import shown
from hybridloop.flows.settings import AnsatzName, MappingName, OptimizerName, VqeSettings
from hybridloop.home import home
from hybridloop.sessions.idle import KeepAliveMode
from hybridloop.sessions.policy import OnLostJob

if TYPE_CHECKING:
    from hybridloop.flows.results import RunResult

app = typer.Typer(no_args_is_help=True, help="Run an algorithm in a session of its own.")
_defaults = VqeSettings()

Amount = Annotated[str | None, typer.Option(metavar="AMOUNT", help="What the run may cost, such as 50USD or 200HQC.")]
PerJob = Annotated[
    str | None, typer.Option(metavar="AMOUNT", help="What one job may cost, where its price has no upper bound.")
]
MaxJobs = Annotated[int | None, typer.Option(help="Jobs that the run may take.")]
MaxShots = Annotated[int | None, typer.Option(help="Shots that the run may take.")]
Deadline = Annotated[str | None, typer.Option(metavar="T", help="How long rounds may begin: seconds, 30m, 8h.")]
DetachAfter = Annotated[
    str | None, typer.Option(metavar="T", help="Park the run when a round takes longer: seconds, 30m, 8h.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
PARTIAL = frozenset({"stopped", "parked"})
_NO_SETTINGS = frozenset({"ctx", "problem", "run_key", "config", "set_", "json", "quiet"})


@app.callback()
def _group() -> None:
    """Run an algorithm in a session of its own."""


@app.command()
def vqe(
    ctx: typer.Context,
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
    mitigation: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="readout, symmetry, zne-linear or zne-exponential; several by commas."),
    ] = None,
    run_key: Annotated[str | None, typer.Option(help="A name for the run; one that is there is gone on with.")] = None,
    max_cost: Amount = None,
    max_cost_per_job: PerJob = None,
    max_jobs: MaxJobs = None,
    max_shots: MaxShots = None,
    deadline: Deadline = None,
    detach_after: DetachAfter = None,
    keep_alive: Annotated[
        KeepAliveMode, typer.Option(help="While the session idles: ping it, renew it when it is needed, or neither.")
    ] = _defaults.keep_alive,
    on_lost_job: Annotated[
        OnLostJob, typer.Option(help="What becomes of a point whose job is lost for good.")
    ] = _defaults.failure.on_lost_job,
    penalty: Annotated[float | None, typer.Option(help="Value of a lost point in hartree, for penalize.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE.yaml", help="Settings by name.")] = None,
    set_: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="One setting, such as failure.retries=5.")
    ] = [],  # noqa: B006  # typer's way to say that it may be left out
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find a molecule's ground-state energy.

    What is given by name goes before --set, and that before --config.

    Example: hybridloop run vqe h2 --seed 7
    """
    from hybridloop import api
    from hybridloop.cli.settings_file import settings_of

    settings = api.checked_settings("vqe", settings_of(config, set_, given(ctx)))
    text = api.read_problem(problem)
    with shown(quiet=quiet) as on_progress:
        result = api.run("vqe", text, settings, run_key=run_key, on_progress=on_progress)
    tell(result, as_json=json)


def given(ctx: typer.Context) -> dict[str, Any]:
    """The settings that were given by name."""
    return {name: value for name, value in ctx.params.items() if name not in _NO_SETTINGS and _is_given(ctx, name)}


def _is_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def tell(result: RunResult, *, as_json: bool) -> None:
    """Print a run's result; leaves with 3 where there is none yet."""
    picture = _save_picture(result)
    if as_json:
        print_json({**result.as_dict(), "picture": str(picture) if picture else None})
    else:
        _print(result, picture)
    if result.status in PARTIAL:
        raise typer.Exit(3)


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
    print(f"{result.problem} on {result.target}: {result.status} ({result.reason})")
    if result.value is None:
        _print_so_far(result)
    else:
        _print_value(result)
    print(
        f"  effort     {result.rounds} rounds, {result.jobs} jobs, {result.shots:,} shots, {result.wall_seconds:.1f} s"
    )
    print(f"  cost       {_cost(result)}")
    for session in result.sessions:
        print(f"  session    {session.id} {session.status}")
    print(f"  run        {result.run_key}{' (resumed)' if result.resumed else ''}")
    if picture:
        print(f"  picture    {picture}")


def _print_value(result: RunResult) -> None:
    if result.unit != "hartree":
        _print_assignment(result)
        return
    error = "unknown: the molecule is too large to be diagonalized"
    if result.error is not None:
        error = f"{result.error * 1e3:+.3f} mHa against the exact energy"
    sharpness = (
        f"± {result.rounding_bound:.6f} (rounding; the target does not sample)"
        if result.is_exact
        else f"± {result.standard_error:.6f} (standard error)"
    )
    short = "" if result.is_precise else ", which is wider than was asked"
    print(f"  energy     {result.value:.6f} hartree {sharpness}{short}")
    print(f"  error      {error}")


def _print_assignment(result: RunResult) -> None:
    assert result.value is not None
    best = "none that was seen meets the constraint"
    if result.best_bitstring is not None:
        best = f"{result.best_value:g} at {result.best_bitstring} (rightmost: variable 0)"
    known = "unknown: too many assignments to go through"
    if result.exact is not None:
        known = f"{result.exact:g}"
    error = result.rounding_bound if result.is_exact else result.standard_error
    ratio = "" if result.approximation_ratio is None else f", approximation ratio {result.approximation_ratio:.4f}"
    print(f"  best seen  {best}")
    print(f"  optimum    {known}")
    print(f"  objective  {result.value:.6f} ± {error:.6f} on average{ratio}")


def _print_so_far(result: RunResult) -> None:
    best = result.history[-1] if result.history else None
    so_far = (
        "no round is complete"
        if best is None
        else f"{best.value:.6f} ± {best.standard_error:.6f} {result.unit}".rstrip()
    )
    print(f"  so far     {so_far}")
    print(f"  go on      hybridloop runs resume {result.run_key}")


def _cost(result: RunResult) -> str:
    """What the service billed; it states amounts by unit, or none."""
    return ", ".join(f"{amount:,.2f} {unit}" for unit, amount in result.cost.items()) or "not stated by the service"
