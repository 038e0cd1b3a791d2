"""`hybridloop runs …`: the runs of the journal, finished or to be gone on with."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridloop.cli.completion import run_keys
from hybridloop.cli.options import given, options_of, with_options
from hybridloop.cli.output import AsJson, Quiet, Workspace, print_facts, print_json, print_table, submitting
from hybridloop.cli.progress import shown
from hybridloop.cli.result_output import tell
from hybridloop.errors import InputError
from hybridloop.settings import LIMITS, RunSettings, parse_duration

if TYPE_CHECKING:
    from hybridloop.journal import DamagedRun, Journal, RunRecord, RunTotals

_log = logging.getLogger(__name__)

app = typer.Typer(no_args_is_help=True, help="Runs of the journal, finished or to be gone on with.")

Run = Annotated[
    str,
    typer.Argument(metavar="KEY", help="The run's key, or the beginning of its uid.", autocompletion=run_keys),
]
_GIVEN_LATER = "what went on with the run"
_COLUMNS = ("run", "status", "algorithm", "problem", "target", "rounds", "jobs", "value", "created")


@app.command("list")
def list_(
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the newest first.")] = 20,
    json: AsJson = False,
) -> None:
    """List the newest runs; one of which the journal is damaged is listed as damaged.

    Example: hybridloop runs list --limit 5
    """
    with _journal() as journal:
        rows = [_listed(each) for each in journal.overview(limit=limit)]
    if json:
        print_json(rows)
    else:
        print_table(_COLUMNS, rows)


@app.command()
def show(run: Run, *, json: AsJson = False) -> None:
    """Show a run: its settings, sessions, effort and result.

    Example: hybridloop runs show night
    """
    from hybridloop.azure.targets import known_targets
    from hybridloop.budget.cost_summary import summarize_charges
    from hybridloop.runs.lookup import limits_given, recorded_settings

    with _journal() as journal:
        record = journal.run(run)
        progress, events = journal.progress(record.uid), journal.events(record.uid)
        limits, begun_with = limits_given(events), recorded_settings(record)
        given_later = [name for name, value in limits.items() if value != begun_with.get(name)]
        row = {
            **_row(record, progress.rounds_complete, sum(progress.jobs.values()) + progress.pings),
            "uid": record.uid,
            "flow_run_id": record.flow_run_id,
            "reason": record.reason,
            "seed": record.seed,
            "held_by": str(record.owner) if record.owner and not _is_orphaned(record) else None,
            "stop_requested": record.stop_requested,
            "meter": asdict(summarize_charges(journal.charges(record.uid), known_targets().get(record.target))),
            "settings": {**begun_with, **limits},
            "sources": {**record.settings.get("sources", {}), **dict.fromkeys(given_later, _GIVEN_LATER)},
            "workspace": dict(record.settings.get("workspace", {})),
            "versions": dict(record.versions),
            "sessions": [
                {"id": each.id, "target": each.target, "status": each.status, "reason": each.reason}
                for each in journal.sessions(record.uid)
            ],
            "events": [{"at": _time(event.at), "kind": event.kind, **event.facts} for event in events],
        }
    if json:
        print_json(row)
    else:
        print_facts(row)


def _resume(
    ctx: typer.Context,
    run: Run,
    *,
    later: Annotated[bool, typer.Option("--later", help="Leave it to the housekeeping flow.")] = False,
    workspace: Workspace = None,
    json: AsJson = False,
    quiet: Quiet = False,
    **limits: Any,
) -> None:
    """Go on with a run where it ended; with larger limits, if you give some.

    What was measured is not measured again, and the answer is that of a run that was never interrupted.

    Example: hybridloop runs resume night --max-cost 100USD
    """
    if later:
        _mark(run, as_json=json)
        return
    from hybridloop.api import runs as calls

    with submitting(), shown(quiet=quiet) as seen:
        result = calls.resume(
            run, given(ctx, limits), workspace=workspace, on_progress=seen.on_progress, feed=seen.feed
        )
    tell(result, as_json=json)


app.command("resume")(with_options(_resume, options_of(RunSettings, only=LIMITS)))


def _mark(run: str, *, as_json: bool) -> None:
    with _journal() as journal:
        record = journal.run(run)
        journal.request_resume(record.uid)
    if as_json:
        print_json({"run": record.key, "resume_requested": True, "status": _status(record)})
    else:
        print(f"run {record.key} will be gone on with by the next run of the housekeeping flow")


@app.command()
def stop(run: Run, *, json: AsJson = False) -> None:
    """Ask a run that is under way to end in order; it does within seconds, and can be resumed.

    Example: hybridloop runs stop night
    """
    with _journal() as journal:
        record = journal.run(run)
        is_under_way = record.owner is not None and not _is_orphaned(record)
        if is_under_way:
            journal.request_stop(record.uid)
    if json:
        print_json({"run": record.key, "stop_requested": is_under_way, "status": _status(record)})
    elif is_under_way:
        print(f"run {record.key} is asked to stop; {record.owner} hears of it within seconds")
    else:
        print(f"run {record.key} is not under way: {_status(record)}")


@app.command()
def prune(
    *,
    older_than: Annotated[str, typer.Option(metavar="AGE", help="For how long ended, such as 90d.")] = "90d",
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Runs that could be gone on with as well.")] = False,
    keep_results: Annotated[
        bool, typer.Option("--keep-results", help="Keep what runs came to, and forget what was measured.")
    ] = False,
    workspace: Workspace = None,
    json: AsJson = False,
) -> None:
    """Forget old runs that have ended; with --unfinished those that could be resumed, too, their jobs cancelled.

    Example: hybridloop runs prune --older-than 90d
    """
    try:
        age = parse_duration(older_than)
    except ValueError as error:
        raise InputError("--older-than", str(error), "Give such as 90d or 12h.") from error
    assert isinstance(age, float)
    if older_than.strip()[-1:].isdigit():  # a mere number is seconds elsewhere, and here most likely meant as days
        raise InputError("--older-than", f"{older_than!r} has no unit", f"Give such as {older_than.strip()}d.")
    before = datetime.now(UTC).timestamp() - age
    from hybridloop.api.environment import workspace_called
    from hybridloop.tasks.pruning import forget_old

    with _journal() as journal:
        done = forget_old(
            journal,
            lambda: workspace_called(workspace),
            ended_before=before,
            given_up_before=before if unfinished else None,
            keeps_results=keep_results,
        )
    if json:
        names = {"forgotten": done.runs, "stripped": done.stripped, "cancelled_jobs": done.cancelled_jobs}
        print_json({**names, "freed_bytes": done.freed_bytes, "kept": done.kept, "ended_before": _time(before)})
        return
    print(f"{done.runs} run(s) forgotten that ended before {_time(before)}")
    if done.stripped:
        print(f"{done.stripped} run(s) forgotten but for their results")
    if done.cancelled_jobs:
        print(f"{done.cancelled_jobs} job(s) of forgotten runs cancelled at the service")
    if done.freed_bytes:
        print(f"{done.freed_bytes:,} bytes given back to the disk")
    for uid, reason in done.kept.items():
        print(f"run {uid} is kept: {reason}")


def _journal() -> Journal:
    from hybridloop.journal import open_journal

    return open_journal()


def _listed(run: tuple[RunRecord, RunTotals] | DamagedRun) -> dict[str, Any]:
    if isinstance(run, tuple):
        record, effort = run
        return _row(record, effort.rounds_complete, effort.jobs + effort.pings)
    _log.warning("run %s: %s", run.key or run.uid, run.error)
    unknown = dict.fromkeys(("algorithm", "problem", "target", "rounds", "jobs", "value", "created", "updated"))
    return {"run": run.key or run.uid, "status": "damaged", **unknown}


def _row(record: RunRecord, rounds: int, jobs: int) -> dict[str, Any]:
    return {
        "run": record.key,
        "status": _status(record),
        "algorithm": record.algorithm,
        "problem": record.problem or None,
        "target": record.target,
        "rounds": rounds,
        "jobs": jobs,
        "value": (record.result or {}).get("value"),
        "created": _time(record.created_at),
        "updated": _time(record.updated_at),
    }


def _status(record: RunRecord) -> str:
    """The run's status, but for one whose process died without a word."""
    return "interrupted" if _is_orphaned(record) else record.status


def _is_orphaned(record: RunRecord) -> bool:
    from hybridloop.tasks.orphans import is_orphaned

    return is_orphaned(record, datetime.now(UTC).timestamp())


def _time(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
