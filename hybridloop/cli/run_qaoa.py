"""`hybridloop run qaoa` and `run rqaoa`: binary problems, from graphs to portfolios."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybridloop.cli.output import AsJson
from hybridloop.cli.progress import shown
from hybridloop.cli.run import Amount, Deadline, DetachAfter, MaxJobs, MaxShots, PerJob, Quiet, given, tell
from hybridloop.flows.settings import MixerName, ObjectiveName, QaoaSettings, RqaoaSettings
from hybridloop.sessions.idle import KeepAliveMode
from hybridloop.sessions.policy import OnLostJob

Problem = Annotated[
    str,
    typer.Argument(
        help="Built-in name (`hybridloop problems`) or file: edge list, GraphML, node-link JSON; JSON with a QUBO, "
        "spins, numbers to part, a portfolio."
    ),
]
_qaoa = QaoaSettings()
_rqaoa = RqaoaSettings()


def qaoa(
    ctx: typer.Context,
    problem: Problem,
    *,
    objective: Annotated[ObjectiveName, typer.Option(help="What is asked of a graph.")] = _qaoa.objective,
    layers: Annotated[int, typer.Option(help="Layers of the circuit, 1 to 7.")] = _qaoa.layers,
    mixer: Annotated[MixerName, typer.Option(help="What moves amplitude between assignments.")] = _qaoa.mixer,
    refine: Annotated[int, typer.Option(help="Steps away from the fixed angles to try.")] = _qaoa.refine,
    cvar: Annotated[float, typer.Option(help="Share of the best shots that refining goes by.")] = _qaoa.cvar,
    shots: Annotated[int, typer.Option(help="Shots for each circuit.")] = _qaoa.shots,
    seed: Annotated[
        int | None, typer.Option(help="Fixes the local service's samples and a warm start; left out: drawn.")
    ] = None,
    target: Annotated[str, typer.Option(help="Azure Quantum target (`hybridloop targets`).")] = _qaoa.target,
    run_key: Annotated[str | None, typer.Option(help="A name for the run; one that is there is gone on with.")] = None,
    max_cost: Amount = None,
    max_cost_per_job: PerJob = None,
    max_jobs: MaxJobs = None,
    max_shots: MaxShots = None,
    deadline: Deadline = None,
    detach_after: DetachAfter = None,
    keep_alive: Annotated[
        KeepAliveMode, typer.Option(help="While the session idles: ping it, renew it when it is needed, or neither.")
    ] = _qaoa.keep_alive,
    on_lost_job: Annotated[
        OnLostJob, typer.Option(help="What becomes of a point whose job is lost for good.")
    ] = _qaoa.failure.on_lost_job,
    penalty: Annotated[float | None, typer.Option(help="Value of a lost point, for penalize.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE.yaml", help="Settings by name.")] = None,
    set_: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="One setting, such as failure.retries=5.")
    ] = [],  # noqa: B006  # typer's way to say that it may be left out
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find a good assignment of a binary problem, by default in one job at fixed angles.

    What is given by name goes before --set, and that before --config.

    Example: hybridloop run qaoa petersen --seed 7
    """
    _run("qaoa", ctx, problem, run_key, settings_file=config, set_=set_, as_json=json, quiet=quiet)


def rqaoa(
    ctx: typer.Context,
    problem: Problem,
    *,
    objective: Annotated[ObjectiveName, typer.Option(help="What is asked of a graph.")] = _rqaoa.objective,
    layers: Annotated[int, typer.Option(help="Layers of each round's circuit, 1 to 7.")] = _rqaoa.layers,
    stop_at: Annotated[int, typer.Option(help="Variables left to be gone through one by one.")] = _rqaoa.stop_at,
    shots: Annotated[int, typer.Option(help="Shots for each circuit.")] = _rqaoa.shots,
    seed: Annotated[int | None, typer.Option(help="Fixes the local service's samples; left out: drawn.")] = None,
    target: Annotated[str, typer.Option(help="Azure Quantum target (`hybridloop targets`).")] = _rqaoa.target,
    run_key: Annotated[str | None, typer.Option(help="A name for the run; one that is there is gone on with.")] = None,
    max_cost: Amount = None,
    max_cost_per_job: PerJob = None,
    max_jobs: MaxJobs = None,
    max_shots: MaxShots = None,
    deadline: Deadline = None,
    detach_after: DetachAfter = None,
    keep_alive: Annotated[
        KeepAliveMode, typer.Option(help="While the session idles: ping it, renew it when it is needed, or neither.")
    ] = _rqaoa.keep_alive,
    on_lost_job: Annotated[
        OnLostJob, typer.Option(help="What becomes of a point whose job is lost for good.")
    ] = _rqaoa.failure.on_lost_job,
    penalty: Annotated[float | None, typer.Option(help="Value of a lost point, for penalize.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE.yaml", help="Settings by name.")] = None,
    set_: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="One setting, such as failure.retries=5.")
    ] = [],  # noqa: B006  # typer's way to say that it may be left out
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find a good assignment of a binary problem by fixing one variable a round.

    What is given by name goes before --set, and that before --config.

    Example: hybridloop run rqaoa petersen --seed 7
    """
    _run("rqaoa", ctx, problem, run_key, settings_file=config, set_=set_, as_json=json, quiet=quiet)


def _run(
    algorithm: str,
    ctx: typer.Context,
    problem: str,
    run_key: str | None,
    *,
    settings_file: Path | None,
    set_: list[str],
    as_json: bool,
    quiet: bool,
) -> None:
    from hybridloop import api
    from hybridloop.cli.settings_file import settings_of

    settings = api.checked_settings(algorithm, settings_of(settings_file, set_, given(ctx)))
    text = api.read_problem(problem)
    with shown(quiet=quiet) as on_progress:
        result = api.run(algorithm, text, settings, run_key=run_key, on_progress=on_progress)
    tell(result, as_json=as_json)
