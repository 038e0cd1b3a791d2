"""`hybridloop sweep …`: many runs, a grid or a list, to one table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridloop.cli.output import AsJson, Quiet, Workspace, print_json, say, submitting, write_text
from hybridloop.runs.live_text import plus_minus
from hybridloop.runtime.paths import home

if TYPE_CHECKING:
    from hybridloop.flows.sweep_execution.results import SweepResult
    from hybridloop.flows.sweep_execution.scheduler import SweepProgress

FAILED, LEFT = 1, 3


def sweep(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="Name, algorithm, problems, settings, grid.")],
    *,
    max_sessions: Annotated[int | None, typer.Option(min=1, help="Sessions open at once on each target.")] = None,
    in_flight: Annotated[int | None, typer.Option(min=1, help="Points under way at once.")] = None,
    deployment: Annotated[
        str | None, typer.Option(metavar="FLOW/NAME", help="Whose workers run the points; none: this machine.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the table goes as well, as .csv or .json.")
    ] = None,
    workspace: Workspace = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run every point of a sweep that has no result yet, and print the table of all.

    Each point is a run with its own key and session; one that fails is tried again, and stops no other. Leaves with 1
    where a point failed, with 3 where one was stopped or parked.

    Example: hybridloop sweep curve.yaml --max-sessions 3
    """
    from hybridloop.api import algorithms as api

    options = {"max_sessions": max_sessions, "in_flight": in_flight, "deployment": deployment}
    changes = {name: value for name, value in options.items() if value is not None}
    if output is not None and output.suffix not in {".csv", ".json"}:
        raise typer.BadParameter("give a file that ends in .csv or .json", param_hint="--output")
    if output is not None and not output.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {output.parent}", param_hint="--output")
    try:
        with submitting(), _shown(quiet=quiet) as on_point:
            result = api.sweep(file, workspace=workspace, on_point=on_point, **changes)
    except (KeyboardInterrupt, SystemExit):
        say("hybridloop: no session of a point that ran here is open; the same command goes on with what is missing")
        raise
    picture = _save(result)
    if json:
        print_json({**result.as_dict(), "picture": str(picture) if picture else None})
    else:
        _print(result, picture)
    if output is not None:  # after the table is told, should it fail
        write_text(output, result.to_csv() if output.suffix == ".csv" else result.to_json() + "\n")
    if not result.is_complete:
        raise typer.Exit(FAILED if set(result.counts) - {"converged", "finished", "stopped", "parked"} else LEFT)


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[SweepProgress], None]]:
    """A callback that tells of each point on standard error until the block ends."""
    if quiet:
        yield lambda _: None
    elif not sys.stderr.isatty():
        yield lambda progress: say(_line(progress))
    else:
        from rich.console import Console

        with Console(stderr=True).status("preparing the sweep …") as live:
            yield lambda progress: live.update(_line(progress))


def _line(progress: SweepProgress) -> str:
    row = progress.row
    value = "" if row["value"] is None else f"  value {row['value']:+.6f} {plus_minus(row['standard_error'])}"
    return f"point {progress.number:>4}  {row['run']}  {row['problem']}  {row['status']}{value}"


def _save(result: SweepResult) -> Path | None:
    """Where the picture is, the table beside it; None, and a word about it, where they can't be written."""
    path = home() / "sweeps" / f"{result.name}.svg"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".csv").write_text(result.to_csv(), encoding="utf-8")
        result.plot(str(path))
    except OSError as error:
        say(f"hybridloop: the table and the picture can't be written to {path.parent} ({error.strerror})")
        return None
    return path


def _print(result: SweepResult, picture: Path | None) -> None:
    print(result)
    if picture:
        print(f"  picture    {picture}")
        print(f"  table      {picture.with_suffix('.csv')}")
