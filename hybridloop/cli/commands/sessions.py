"""`hybridloop sessions …`: list, show and close the workspace's sessions."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import typer

from hybridloop.cli.output import AsJson, Workspace, print_json, print_line, print_rows

app = typer.Typer(name="sessions", no_args_is_help=True, help="Sessions of the workspace and their jobs.")

SessionId = Annotated[uuid.UUID, typer.Argument(help="The session's id.")]


@app.command("list")
def list_(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of sessions, newest first.")] = 20,
    status: Annotated[
        str, typer.Option(metavar="A,B", help="Only sessions of these statuses, such as Executing,TimedOut.")
    ] = "",
    target: Annotated[str, typer.Option(metavar="A,B", help="Only sessions on these targets.")] = "",
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="Only those opened on this day (UTC) or later.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="Only those opened until the end of this day.")
    ] = None,
    workspace: Workspace = None,
    json: AsJson = False,
) -> None:
    """List the newest sessions.

    Example: hybridloop sessions list --status TimedOut,Failed --since 2026-11-01
    """
    from hybridloop.azure.listing import list_sessions, session_filter

    statuses, targets = ([each.strip() for each in text.split(",") if each] for text in (status, target))
    terms = session_filter(statuses, targets, since, until)
    columns = ("id", "name", "target", "status", "created", "ended")
    print_rows(list_sessions(_workspace(workspace), limit, terms), columns, as_json=json)


@app.command()
def show(session_id: SessionId, *, workspace: Workspace = None, json: AsJson = False) -> None:
    """Show a session with its number of jobs by status.

    Example: hybridloop sessions show 83f07da9-535c-5d2d-8137-d164c097f4c8
    """
    from hybridloop.azure.listing import show_session

    _print_row(show_session(_workspace(workspace), str(session_id)), as_json=json)


@app.command()
def jobs(session_id: SessionId, *, workspace: Workspace = None, json: AsJson = False) -> None:
    """List a session's jobs in order of creation.

    Example: hybridloop sessions jobs 83f07da9-535c-5d2d-8137-d164c097f4c8
    """
    from hybridloop.azure.listing import list_jobs
    from hybridloop.azure.workspace import is_local

    at = _workspace(workspace)
    rows = list_jobs(at, str(session_id))
    cost = "local cost" if is_local(at) else "cost"  # which bills nothing
    if not json:
        rows = [{**row, cost: row["cost"]} for row in rows]
    columns = ("id", "name", "status", "shots", "created", "ended", cost, "unit", "error")
    print_rows(rows, columns, as_json=json)


@app.command()
def close(session_id: SessionId, *, workspace: Workspace = None, json: AsJson = False) -> None:
    """Close a session, and cancel its jobs that no run waits for; a session that has ended stays as it is.

    Example: hybridloop sessions close 83f07da9-535c-5d2d-8137-d164c097f4c8
    """
    from hybridloop.journal import open_journal
    from hybridloop.tasks.orphans import close_session_by_hand

    with open_journal() as journal:
        closed = close_session_by_hand(journal, _workspace(workspace), str(session_id))
    _print_row(closed, as_json=json)


@app.command()
def close_orphans(*, workspace: Workspace = None, json: AsJson = False) -> None:
    """Close the sessions of this journal's runs whose process has died, and no others.

    Example: hybridloop sessions close-orphans
    """
    import dataclasses

    from hybridloop.journal import open_journal
    from hybridloop.tasks.orphans import close_orphaned_sessions

    with open_journal() as journal:
        rows = [dataclasses.asdict(orphan) for orphan in close_orphaned_sessions(journal, _workspace(workspace))]
    if rows or json:
        print_rows(rows, ("run_key", "session", "done"), as_json=json)
    else:
        print_line("no session was open")


def _workspace(workspace: str | None) -> Any:
    from hybridloop.api.environment import resolve_workspace

    return resolve_workspace(workspace)


def _print_row(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(row)
        return
    for key, value in row.items():
        text = ", ".join(f"{n} {status}" for status, n in value.items()) if isinstance(value, dict) else value
        print_line(f"{key:<24}{'-' if text is None or text == '' else text}")
