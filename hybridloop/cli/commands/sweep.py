"""`hybridloop sweep …`: run a grid or list of runs and print one table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridloop.cli.output import (
    AsJson,
    Quiet,
    Workspace,
    print_json,
    print_message,
    print_text,
    write_text,
)
from hybridloop.data.statuses import sweep_exit_code
from hybridloop.results.live_text import bar_text
from hybridloop.runtime.escaping import escape_control
from hybridloop.runtime.paths import home

if TYPE_CHECKING:
    from hybridloop.flows.sweep_execution.results import SweepResult
    from hybridloop.flows.sweep_execution.scheduler import SweepProgress


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="Name, algorithm, problems, settings and grid.")],
    *,
    max_sessions: Annotated[int | None, typer.Option(min=1, help="Maximum of open sessions on each target.")] = None,
    in_flight: Annotated[int | None, typer.Option(min=1, help="Maximum of points that run at once.")] = None,
    deployment: Annotated[
        str | None, typer.Option(metavar="FLOW/NAME", help="Deployment that runs the points; none: this machine.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="File for the table, .csv or .json.")] = None,
    workspace: Workspace = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run every point of a sweep that has no result yet, and print the table of all points.

    Each point is a run with its own key and session. A point that fails is tried again, and does not stop the others.
    Exits with the code of its worst point: 1 if one failed or was interrupted, else 3 if one was stopped or parked,
    else 4 if one is finished, not converged.

    Example: hybridloop sweep curve.yaml --max-sessions 3
    """
    from hybridloop.api import sweeps as api

    options = {"max_sessions": max_sessions, "in_flight": in_flight, "deployment": deployment}
    changes: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if output is not None and output.suffix not in {".csv", ".json"}:
        raise typer.BadParameter("give a file that ends in .csv or .json", param_hint="--output")
    if output is not None and not output.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {output.parent}", param_hint="--output")
    try:
        with _show_points(quiet=quiet) as on_point:
            result = api.sweep(file, workspace=workspace, on_point=on_point, **changes)
    except (KeyboardInterrupt, SystemExit):
        print_message("hybridloop: all sessions of points that ran here are closed; repeat the command to resume")
        raise
    picture = _save(result)
    if json:
        print_json({**result.as_dict(), "picture": picture and str(picture)})
    else:
        print_text(str(result))
        if picture:
            print_text(f"  picture    {picture}\n  table      {picture.with_suffix('.csv')}")
    if output is not None:  # last, because it may fail
        write_text(output, result.to_csv() if output.suffix == ".csv" else result.to_json() + "\n")
    if code := sweep_exit_code(result.counts):
        raise typer.Exit(code)


@contextmanager
def _show_points(*, quiet: bool) -> Iterator[Callable[[SweepProgress], None]]:
    """Yield a callback that shows each point on standard error."""
    if quiet:
        yield lambda _: None
    elif not sys.stderr.isatty():
        yield lambda progress: print_message(_format_point(progress))
    else:
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status("preparing the sweep …") as live:
            yield lambda progress: live.update(Text(escape_control(_format_point(progress))))


def _format_point(progress: SweepProgress) -> str:
    row = progress.row
    value = "" if row["value"] is None else f"  value {row['value']:+.6f} {bar_text(row['standard_error'])}"
    return f"point {progress.number:>4}  {row['run_key']}  {row['problem']}  {row['status']}{value}"


def _save(result: SweepResult) -> Path | None:
    """Save table and picture; return the picture's path, or None, with a message, if they can't be written."""
    path = home() / "sweeps" / f"{result.name}.svg"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".csv").write_text(result.to_csv(), encoding="utf-8")
        result.plot(str(path))
    except OSError as error:
        print_message(f"hybridloop: the table and the picture can't be written to {path.parent} ({error.strerror})")
        return None
    return path
