"""`hybridloop runs report | export | verify | reproduce | samples`: use a run of the journal or of a bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridloop.cli.completion import run_keys
from hybridloop.cli.output import (
    AsJson,
    Quiet,
    Workspace,
    print_json,
    print_line,
    print_message,
    print_rows,
    write_text,
)
from hybridloop.errors import InputError
from hybridloop.runtime.leaves import leaf
from hybridloop.runtime.text_table import count_text

if TYPE_CHECKING:
    from hybridloop.cli import progress as progress_lines
else:
    progress_lines = leaf("hybridloop.cli.progress")

if TYPE_CHECKING:
    from hybridloop.reports.reproduce import Reproduction
    from hybridloop.runs.stored_run import StoredRun

app = typer.Typer()

RunOrBundle = Annotated[
    str,
    typer.Argument(
        metavar="KEY|BUNDLE",
        help="The run's key, the beginning of its uid, or a folder or zip file of `runs export`.",
        autocompletion=run_keys,
    ),
]


@app.command()
def report(
    run: RunOrBundle,
    *,
    output: Annotated[Path | None, typer.Option(metavar="FILE.html", help="File to write. Default: KEY.html.")] = None,
    plan: Annotated[bool, typer.Option(help="Compare with a plan, which takes long for a large molecule.")] = True,
    paper: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write figure, table, methods, references and bundle for a paper instead."),
    ] = None,
) -> None:
    """Write a run's report as one HTML page that needs no network: answer, plan, cost, sessions, pictures, settings.

    Example: hybridloop runs report night --output night.html
    """
    from hybridloop.reports.bundle.archive import open_run, reading
    from hybridloop.reports.html import compare_with_plan, render_report

    if paper is not None:
        from hybridloop.reports.paper.folder import write_paper

        if output is not None:
            raise InputError(
                "--paper", "--output names the HTML page, which --paper does not write", "Give one of them."
            )
        with open_run(run) as stored, reading(run):
            names = write_paper(stored, paper)
        print_message(f"{paper}: {', '.join(names)} of run {stored.record.key}")
        _say_if_foreign(stored)
        return
    with open_run(run) as stored, reading(run):
        path = Path(f"{stored.record.key}.html") if output is None else output
        page = render_report(stored, planned=compare_with_plan(stored) if plan else None)
    write_text(path, page)
    print_message(f"{path}: the report of run {stored.record.key}, {len(page.encode()) / 1e3:,.0f} kB")
    _say_if_foreign(stored)


@app.command()
def export(
    run: RunOrBundle,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE.zip|FILE.json",
            help="Bundle with checksums (DIR, .zip) or JSON document. Default: document to standard output.",
        ),
    ] = None,
) -> None:
    """Write all data of a run: one JSON document, or a bundle that can be verified on another machine.

    Example: hybridloop runs export night --output night.zip
    """
    import json

    from hybridloop.reports.bundle.archive import open_run, reading, write_bundle
    from hybridloop.reports.export import export_run

    with open_run(run) as stored, reading(run):
        if output is not None and output.suffix != ".json":
            manifest = write_bundle(stored, output)
            print_message(f"{output}: run {stored.record.key}, sealed with {manifest['seal']}")
            return
        document = export_run(stored)
    if output is None:
        print_json(document)
        return
    write_text(output, json.dumps(document, indent=1, allow_nan=False) + "\n")
    print_message(f"{output}: {document['run']['key']}, {len(document['rounds'])} rounds")


@app.command()
def verify(run: RunOrBundle, *, json: AsJson = False) -> None:
    """Recompute a run's values from its stored counts, and compare them bit for bit, for each result that it had.

    The checksums of a bundle are compared first. A bundle needs neither a journal nor a service.

    Example: hybridloop runs verify night
    """
    from hybridloop.reports.bundle.archive import is_bundle, open_run, read_bundle, reading
    from hybridloop.reports.verify import verify_revisions

    seal = None
    if is_bundle(run):
        stored, manifest = read_bundle(Path(run))
        with reading(run):
            results, seal = verify_revisions(stored), manifest["seal"]
    else:
        with open_run(run) as stored:
            results = verify_revisions(stored)
    *earlier, last = results
    if json:
        print_json({**last.as_dict(), "earlier": [each.as_dict() for each in earlier], "seal": seal})
    for result in () if json else results:
        recomputed = f"{count_text(result.rounds, 'round')} recomputed from the counts of"
        of = f" (result {result.revision})" if earlier else ""
        print_line(f"run {result.run_key}{of}: {recomputed} {count_text(result.jobs, 'job')}")
        value = f"{result.value!r} {result.unit}".rstrip()
        print_line(f"  value      {value}, {'the same' if result.agrees else 'NOT the same'}")
        for difference in result.differences:
            print_line(f"  differs    {difference}")
        print_line(f"  stated     {', '.join(result.stated)}: not derived")
        for name, (stored_version, installed) in result.versions.items():
            print_line(f"  version    {name} {installed} here, {stored_version} there")
    if seal is not None and not json:
        print_line(f"  bundle     whole, sealed with {seal}")
    if not all(result.agrees for result in results):
        raise typer.Exit(1)


@app.command()
def reproduce(
    run: RunOrBundle,
    *,
    run_key: Annotated[str | None, typer.Option(help="Key of the new run. Default: KEY-again.")] = None,
    workspace: Workspace = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a finished run again with the same settings and seed under a new key, and compare the results.

    On the local service, which samples by the seed, all results are identical. Elsewhere the values must agree within
    their error bars. The service bills the jobs again.

    Example: hybridloop runs reproduce night
    """
    from hybridloop.api.stored import note_compared, repeat

    with progress_lines.show_progress(quiet=quiet) as display:
        result = repeat(run, run_key, workspace, display.on_progress, display.feed)
    if json:
        print_json(result.as_dict())
    else:
        _print(result)
    note_compared(result)
    if not result.is_finished:
        raise typer.Exit(3)
    if not result.agrees:
        raise typer.Exit(1)


@app.command()
def samples(
    run: RunOrBundle,
    *,
    search: Annotated[bool, typer.Option("--search", help="Those of all rounds, not of the final one alone.")] = False,
    every: Annotated[bool, typer.Option("--all", help="All of them, not the 100 best.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: AsJson = False,
) -> None:
    """Print the measured assignments of a QAOA run, feasible ones first, each kind from the best objective on.

    Example: hybridloop runs samples night --csv
    """
    from hybridloop.reports.bundle.archive import open_run, reading
    from hybridloop.reports.samples import COLUMNS, FINAL, SEARCH, SHOWN, samples_of

    if csv and json:
        raise InputError("--csv", "--json is given too", "Give one of them.")
    with open_run(run) as stored, reading(run):
        found = samples_of(stored, SEARCH if search else FINAL)
    most = None if every else SHOWN
    if csv:
        found.write_csv(sys.stdout, most)
        return
    rows = found.as_rows(most)
    if not json:
        for row in rows:
            row["assignment"] = ", ".join(f"{name} = {value}" for name, value in row["assignment"].items())
    print_rows(rows, ("assignment", *COLUMNS), as_json=json)


def _say_if_foreign(run: StoredRun) -> None:
    """Say of a bundle's run that its result was not recomputed."""
    from hybridloop.reports.content import STATED

    if run.is_foreign:
        print_message(STATED)


def _print(result: Reproduction) -> None:
    print_line(f"run {result.again} repeats run {result.before}: {result.in_words}")
    for item in result.compared:
        values = "" if item.same else f": {item.before}, now {item.again}"
        print_line(f"  {item.name:<16}{item.verdict}{values}")
    for name, (before, now) in result.versions.items():
        print_line(f"  {'version':<16}{name} {before}, now {now}")
