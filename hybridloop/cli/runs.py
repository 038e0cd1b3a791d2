"""`hybridloop runs …`: the runs of the journal, finished or to be gone on with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridloop.cli.ending import tell
from hybridloop.cli.options import given, options_of, with_options
from hybridloop.cli.output import AsJson, Quiet, print_json, print_table, say
from hybridloop.cli.progress import shown
from hybridloop.errors import InputError
from hybridloop.flows.settings import LIMITS, RunSettings, parse_duration

if TYPE_CHECKING:
    from hybridloop.sessions.journal import Journal, RunRecord

app = typer.Typer(no_args_is_help=True, help="Runs of the journal, finished or to be gone on with.")

Run = Annotated[str, typer.Argument(metavar="KEY", help="The run's key, or the beginning of its uid.")]
_COLUMNS = ("run", "status", "algorithm", "problem", "target", "rounds", "jobs", "value", "created")
_ENDED_WELL = ("converged", "finished")
_UNFINISHED = ("created", "stopped", "parked", "interrupted", "failed")


@app.command("list")
def list_(
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the newest first.")] = 20,
    json: AsJson = False,
) -> None:
    """List the newest runs."""
    with _journal() as journal:
        rows = [
            _row(record, effort.rounds_complete, effort.jobs + effort.pings)
            for record, effort in journal.overview(limit=limit)
        ]
    if json:
        print_json(rows)
    else:
        print_table(_COLUMNS, rows)


@app.command()
def show(run: Run, *, json: AsJson = False) -> None:
    """Show a run: its settings, sessions, effort and result."""
    with _journal() as journal:
        record = journal.run(run)
        progress = journal.progress(record.uid)
        row = {
            **_row(record, progress.rounds_complete, sum(progress.jobs.values()) + progress.pings),
            "uid": record.uid,
            "flow_run_id": record.flow_run_id,
            "reason": record.reason,
            "seed": record.seed,
            "held_by": str(record.owner) if record.owner and not _is_orphaned(record) else None,
            "stop_requested": record.stop_requested,
            "settings": dict(record.settings.get("settings", {})),
            "workspace": dict(record.settings.get("workspace", {})),
            "versions": dict(record.versions),
            "sessions": [
                {"id": each.id, "target": each.target, "status": each.status, "reason": each.reason}
                for each in journal.sessions(record.uid)
            ],
            "events": [
                {"at": _time(event.at), "kind": event.kind, **event.facts} for event in journal.events(record.uid)
            ],
        }
    if json:
        print_json(row)
        return
    for name, value in row.items():
        if isinstance(value, dict):
            print(f"{name:<16}" + f"\n{'':<16}".join(f"{key}: {inner}" for key, inner in value.items()))
        elif isinstance(value, list):
            lines = ["  ".join(str(part) for part in each.values() if part not in ("", None)) for each in value]
            print(f"{name:<16}" + f"\n{'':<16}".join(lines or ["-"]))
        else:
            print(f"{name:<16}{'-' if value is None or value == '' else value}")


def _resume(
    ctx: typer.Context,
    run: Run,
    *,
    later: Annotated[bool, typer.Option("--later", help="Leave it to the housekeeping flow.")] = False,
    json: AsJson = False,
    quiet: Quiet = False,
    **limits: Any,
) -> None:
    """Go on with a run where it ended; with larger limits, if you give some.

    What was measured is not measured again, and the answer is that of a run that was never interrupted.
    """
    if later:
        _mark(run, as_json=json)
        return
    from hybridloop import api

    with shown(quiet=quiet) as on_progress:
        result = api.resume(run, given(ctx, limits), on_progress=on_progress)
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
    """Ask a run that is under way to end in order; it does within seconds, and can be resumed."""
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
def verify(run: Run, *, json: AsJson = False) -> None:
    """Compute a run's values anew from its stored counts alone, and compare them bit for bit."""
    from hybridloop.flows.verify import verified

    with _journal() as journal:
        found = verified(journal, journal.run(run))
    if json:
        print_json(found.as_dict())
    else:
        print(f"run {found.run_key}: {found.rounds} rounds computed anew from {found.jobs} jobs' counts")
        value = f"{found.value!r} {found.unit}".rstrip()
        print(f"  value      {value}, {'the same' if found.agrees else 'NOT the same'}")
        for difference in found.differences:
            print(f"  differs    {difference}")
    if not found.agrees:
        raise typer.Exit(1)


@app.command()
def export(
    run: Run,
    *,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Where to; left out: standard output.")
    ] = None,
) -> None:
    """Write all that is known of a run as one JSON document: settings, versions, sessions, rounds, counts."""
    from hybridloop.flows.exporting import exported

    with _journal() as journal:
        document = exported(journal, journal.run(run))
    if output is None:
        print_json(document)
    else:
        import json

        output.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        say(f"{output}: {document['run']['key']}, {len(document['rounds'])} rounds")


@app.command()
def prune(
    *,
    older_than: Annotated[str, typer.Option(metavar="AGE", help="For how long ended, such as 90d.")] = "90d",
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Runs that could be gone on with as well.")] = False,
    json: AsJson = False,
) -> None:
    """Forget old runs that have ended; with --unfinished those that could be resumed, too."""
    try:
        age = parse_duration(older_than)
    except ValueError as error:
        raise InputError("--older-than", str(error), "Give such as 90d or 12h.") from error
    assert isinstance(age, float)
    before = datetime.now(UTC).timestamp() - age
    with _journal() as journal:
        forgotten = journal.prune(older_than=before, statuses=_ENDED_WELL + _UNFINISHED if unfinished else _ENDED_WELL)
    if json:
        print_json({"forgotten": forgotten, "ended_before": _time(before)})
    else:
        print(f"{forgotten} run(s) forgotten that ended before {_time(before)}")


def _journal() -> Journal:
    from hybridloop.sessions.journal import open_journal

    return open_journal()


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
    from hybridloop.sessions.sweep import is_orphaned

    return is_orphaned(record, datetime.now(UTC).timestamp())


def _time(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
