"""`hybridloop runs …`: list, show, stop and prune the runs of the journal."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridloop.cli.completion import run_keys
from hybridloop.cli.output import (
    AsJson,
    Workspace,
    print_facts,
    print_json,
    print_line,
    print_message,
    print_rows,
    print_text,
)
from hybridloop.cli.result_output import Unit, print_result
from hybridloop.data.states import ORPHANED, STATUSES, State
from hybridloop.errors import InputError, InvalidValue
from hybridloop.runtime.leaves import leaf

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hybridloop import descriptions, settings
    from hybridloop.api import environment
    from hybridloop.journal import DamagedRun, Event, Journal, RunRecord, RunTotals
    from hybridloop.tasks.pruning import PruningResult
else:
    environment = leaf("hybridloop.api.environment")
    descriptions = leaf("hybridloop.descriptions")
    settings = leaf("hybridloop.settings")

_DAMAGED = "damaged"
_STATUSES = (*STATUSES, "running", State.NEW.value, State.PREPARING.value, _DAMAGED)
_log = logging.getLogger(__name__)

app = typer.Typer()

Run = Annotated[
    str,
    typer.Argument(metavar="KEY", help="The run's key, or the beginning of its uid.", autocompletion=run_keys),
]


@app.command("list")
def list_(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of runs, newest first.")] = 20,
    status: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only runs of these statuses, such as interrupted,failed.")
    ] = None,
    json: AsJson = False,
) -> None:
    """List the newest runs; a run whose journal rows are damaged is listed as damaged.

    Example: hybridloop runs list --status interrupted,failed
    """
    wanted = set(_STATUSES) if status is None else {name.strip() for name in status.split(",")}
    if unknown := sorted(wanted - {*_STATUSES}):
        raise InputError("status", f"no run is {unknown[0]!r}", f"Give some of {', '.join(_STATUSES)}.")
    with _journal() as journal:
        newest = journal.overview(limit=limit, statuses=None if status is None else _stored_as(wanted))
        rows = [row for run in newest if (row := _list_row(run, as_json=json))["status"] in wanted][:limit]
    columns = ("run_key", "status", "algorithm", "problem", "target", "local", "rounds", "jobs", "value", "created")
    print_rows(rows, columns, as_json=json)
    for row in () if json else rows:
        if row["status"] == State.REFUSED:
            print_line(f"{row['run_key']} was refused: {row['reason']}")


@app.command()
def show(run: Run, *, json: AsJson = False) -> None:
    """Show a run: its settings, sessions, effort and result.

    Example: hybridloop runs show night
    """
    from hybridloop.budget.cost_summary import summarize_charges
    from hybridloop.results.result import RunResult
    from hybridloop.runs.extension import results_of, revision_rows
    from hybridloop.runs.recorded import GROUPINGS, changed_settings, given_later, recorded_settings, without_rotations
    from hybridloop.targets import recorded_target

    with _journal() as journal:
        record = journal.run(run)
        progress, events = journal.progress(record.uid), journal.events(record.uid)
        limits, first_settings = given_later(events), recorded_settings(record)
        changed = [name for name, value in limits.items() if value != first_settings.get(name)]
        row = {
            **_row(record, progress.rounds_complete, sum(progress.jobs.values()) + progress.pings),
            "uid": record.uid,
            "flow_run_id": record.flow_run_id,
            "seed": record.seed,
            "held_by": str(record.owner) if record.owner and not _is_orphaned(record) else None,
            "stop_requested": record.stop_requested,
            "meter": asdict(summarize_charges(journal.charges(record.uid), recorded_target(record.target))),
            "settings": {**first_settings, **limits},
            "sources": {**record.settings.get("sources", {}), **dict.fromkeys(changed, "resume")},
            "workspace": dict(record.settings.get("workspace", {})),
            "versions": dict(record.versions),
            "sessions": [
                {
                    **{
                        "id": session.id,
                        "target": session.target,
                        "status": session.shown_status,
                        "reason": session.reason,
                    },
                    "open": session.ended_at is None,
                }
                for session in journal.sessions(record.uid)
            ],
            "events": [{"at": _time(event.at), "kind": event.kind, **_short(event)} for event in events],
            "results": revision_rows(results_of(record, events)),
        }
    if json:
        print_json(row)
        return
    # a step's values take pages, and the result has what they come to
    steps = [{name: value for name, value in event.items() if name != "values"} for event in row["events"]]
    facts = {
        **row,
        "value": _value_text(record),
        "settings": changed_settings(record.algorithm, row["settings"]),
        "events": steps,
    }
    if GROUPINGS in record.versions:
        facts["versions"] = {**record.versions, GROUPINGS: without_rotations(record.versions[GROUPINGS])}
    if not steps:
        facts.pop("events")
    if len(row["results"]) < 2:
        facts.pop("results")
    print_facts(facts)
    is_known = record.algorithm in descriptions.ALGORITHMS  # else its package is not installed here
    if record.result is not None and is_known:
        print_text(RunResult.from_dict(record.result).details())


def _short(event: Event) -> Mapping[str, Any]:
    """Return an event's facts without an earlier result, which `runs export` writes."""
    return {name: value for name, value in event.facts.items() if name != "before"}


@app.command()
def follow(run: Run, *, json: AsJson = False, unit: Unit = None) -> None:
    """Show a run on a worker until it has ended, and print its result; Ctrl-C leaves the run alone.

    Any machine can do so that reaches the Prefect server; it needs no journal of the run.

    Example: hybridloop runs follow vqe-h2-3466c674
    """
    from hybridloop.api import worker as api

    print_result(api.follow_run(run, print_message), as_json=json, unit=unit)


@app.command()
def stop(run: Run, *, json: AsJson = False) -> None:
    """Stop a run within seconds: it closes its session and can be resumed.

    Example: hybridloop runs stop night
    """
    from hybridloop.runs.recorded import flow_runs_of

    with _journal() as journal:
        try:
            record = journal.run(run)
        except InputError:  # it may be in the journal of another machine
            if not environment.has_prefect():
                raise
            if _cancel_waiting(run):
                _print_waiting(run, "scheduled", as_json=json)
            else:
                _stop_on_worker(run, as_json=json)
            return
        is_running = record.owner is not None and not _is_orphaned(record)
        may_wait = not is_running and record.state is not State.ENDED and environment.has_prefect()
        is_waiting = may_wait and _cancel_waiting(record.key, flow_runs_of(journal, record)[-1])
        if is_running or is_waiting:
            journal.request_stop(record.uid)  # neither a worker nor housekeeping resumes it
    if is_waiting:
        _print_waiting(record.key, status_of(record), as_json=json)
        return
    if json:
        print_json({"run_key": record.key, "stop_requested": is_running, "status": status_of(record)})
    elif is_running:
        print_line(f"run {record.key} will stop within seconds; it runs in {record.owner}")
    else:
        print_line(f"run {record.key} is not running: {status_of(record)}")


def _cancel_waiting(key: str, last: str | None = None) -> bool:
    from hybridloop.api import worker as api

    return api.cancel_waiting(key, last)


def _print_waiting(key: str, status: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"run_key": key, "stop_requested": True, "status": status})
    else:
        print_line(f"run {key} waited for a worker: its flow run is cancelled, and no worker starts it")


def _stop_on_worker(run: str, *, as_json: bool) -> None:
    from hybridloop.api import worker as api

    api.stop_on_worker(run)
    if as_json:
        print_json({"run_key": run, "stop_requested": True, "status": "running"})
    else:
        print_line(f"run {run} will stop within seconds on its worker, if it runs: hybridloop runs follow {run}")


@app.command()
def cancel(run: Run, *, json: AsJson = False) -> None:
    """Cancel a run in Prefect, on whichever machine it is; it closes its session and can be resumed.

    Example: hybridloop runs cancel night
    """
    from hybridloop.api import worker as api

    api.cancel(run)
    if json:
        print_json({"run_key": run, "cancel_requested": True})
    else:
        print_line(f"run {run} is being cancelled: hybridloop runs follow {run}")


@app.command()
def logs(run: Run) -> None:
    """Print the log of a run that Prefect's server has, on whichever machine the run is, with times in UTC.

    It has all flow runs of the run, with their states.

    Example: hybridloop runs logs night
    """
    from hybridloop.api import worker as api

    api.show_log(run, print_line)


@app.command()
def prune(
    *,
    older_than: Annotated[str, typer.Option(metavar="AGE", help="Minimum time since the end, such as 90d.")] = "90d",
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Also unfinished runs; cancel their jobs.")] = False,
    keep_results: Annotated[bool, typer.Option("--keep-results", help="Delete only the measurements.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the number of runs; delete nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; without a terminal it never asks.")] = False,
    workspace: Workspace = None,
    json: AsJson = False,
) -> None:
    """Delete old runs from the journal; what they cost still counts. On a terminal it asks first.

    Example: hybridloop runs prune --older-than 90d
    """
    try:
        age = settings.parse_duration(older_than)
    except ValueError as error:
        raise InvalidValue("--older-than", f"{error}, got {older_than!r}") from error
    assert isinstance(age, float)
    if older_than.strip()[-1:].isdigit():  # seconds elsewhere, but most likely meant as days here
        raise InvalidValue("--older-than", f"must have a unit, for example {older_than.strip()}d, got {older_than!r}")
    before = datetime.now(UTC).timestamp() - age
    from hybridloop.tasks.pruning import find_prunable, prune_runs

    given_up = before if unfinished else None
    with _journal() as journal:
        result = find_prunable(journal, ended_before=before, given_up_before=given_up, keeps_results=keep_results)
        if not dry_run:
            if not yes:
                _confirm_pruning(result, before)
            result = prune_runs(
                journal,
                lambda: environment.resolve_workspace(workspace),
                ended_before=before,
                given_up_before=given_up,
                keeps_results=keep_results,
            )
    if json:
        counts = asdict(result)
        facts = {"forgotten": counts.pop("runs"), **counts, "ended_before": _time(before), "dry_run": dry_run}
        print_json(facts)
        return
    deleted = "would be deleted" if dry_run else "deleted"
    print_line(f"{result.runs} run(s) {deleted} that ended before {_time(before)}")
    if result.stripped:
        print_line(f"{result.stripped} run(s) {deleted} except for their results")
    if result.cancelled_jobs:
        print_line(f"{result.cancelled_jobs} job(s) of deleted runs cancelled at the service")
    if result.freed_bytes:
        print_line(f"{result.freed_bytes:,} bytes of disk space freed")
    for uid, reason in result.kept.items():
        print_line(f"run {uid} is kept: {reason}")


def _confirm_pruning(found: PruningResult, before: float) -> None:
    """Ask at a terminal before runs are deleted. Raises typer.Exit if the answer is no."""
    if not (found.runs or found.stripped) or not sys.stdin.isatty():
        return
    if found.runs:
        print_message(
            f"This deletes {found.runs} run(s) that ended before {_time(before)}, with their results; "
            "--keep-results deletes only the measurements of completed ones."
        )
    if found.stripped:
        print_message(f"This deletes the measurements of {found.stripped} run(s): they can't be verified afterwards.")
    if not typer.confirm("Continue?", err=True):
        print_message("Nothing was deleted.")
        raise typer.Exit(1)


def _journal() -> Journal:
    from hybridloop.journal import open_journal

    return open_journal()


def _list_row(run: tuple[RunRecord, RunTotals] | DamagedRun, *, as_json: bool) -> dict[str, Any]:
    if isinstance(run, tuple):
        record, totals = run
        row = _row(record, totals.rounds_complete, totals.jobs + totals.pings)
        return row if as_json else row | {"value": _value_text(record)}
    _log.warning("run %s: %s", run.key or run.uid, run.error)
    unknown = dict.fromkeys(
        ("algorithm", "problem", "target", "local", "rounds", "jobs", "value", "created", "updated", "reason")
    )
    return {"run_key": run.key or run.uid, "status": _DAMAGED, **unknown}


def _row(record: RunRecord, rounds: int, jobs: int) -> dict[str, Any]:
    return {
        "run_key": record.key,
        "status": status_of(record),
        "algorithm": record.algorithm,
        "problem": record.problem or None,
        "target": record.target,
        "local": record.is_local,
        "rounds": rounds,
        "jobs": jobs,
        "value": (record.result or {}).get("value"),
        "created": _time(record.created_at),
        "updated": _time(record.last_seen_at),
        "reason": ORPHANED if _is_orphaned(record) else record.reason,
    }


def _value_text(record: RunRecord) -> float | str | None:
    """Return the value of a run as it is printed: of a scan, whose value is the first point's, the minimum."""
    result = record.result or {}
    value: float | None = result.get("value")
    if value is None or not any("point" in row for row in result.get("table", ())[:1]):
        return value
    from hybridloop.results.result import RunResult
    from hybridloop.results.summary import headline

    try:
        return headline(RunResult.from_dict(result))
    except (KeyError, TypeError, ValueError):  # of another version
        return value


def _stored_as(wanted: Collection[str]) -> Collection[str] | None:
    """Return the statuses by which the journal has runs of these; None where it may be any, as of a damaged one."""
    if _DAMAGED in wanted:
        return None
    of_dead = (State.RUNNING.value, State.PREPARING.value, State.NEW.value) if "interrupted" in wanted else ()
    return {*wanted, *of_dead}


def status_of(record: RunRecord) -> str:
    """Return the run's status; "interrupted" if its process died."""
    return "interrupted" if _is_orphaned(record) else record.status


def _is_orphaned(record: RunRecord) -> bool:
    return record.is_orphaned(datetime.now(UTC).timestamp())


def _time(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
