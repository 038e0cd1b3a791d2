"""`hybridloop runs report | export | verify | reproduce`: what was kept of a run, shown, taken along and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridloop.cli.completion import run_keys
from hybridloop.cli.output import AsJson, Quiet, Workspace, print_json, say, submitting, write_text
from hybridloop.cli.progress import shown

if TYPE_CHECKING:
    from hybridloop.reports.reproduce import Reproduction

Run = Annotated[
    str,
    typer.Argument(
        metavar="KEY|BUNDLE",
        help="The run's key, the beginning of its uid, or a folder or zip file of `runs export`.",
        autocompletion=run_keys,
    ),
]


def add_to(app: typer.Typer) -> None:
    """Make them commands of `hybridloop runs`."""
    app.command()(report)
    app.command()(export)
    app.command()(verify)
    app.command()(reproduce)


def report(
    run: Run,
    *,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Where to; left out: named after the run, here.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(help="Rehearse the run for a plan to hold it against; of a large molecule that takes a while."),
    ] = True,
) -> None:
    """Write a run's report as one HTML page that needs no network: answer, plan, cost, sessions, pictures, settings.

    Example: hybridloop runs report night --output night.html
    """
    from hybridloop.reports.bundle.archive import open_run
    from hybridloop.reports.html import compare_with_plan, render_report

    with open_run(run) as kept:
        path = Path(f"{kept.record.key}.html") if output is None else output
        page = render_report(kept, planned=compare_with_plan(kept) if plan else None)
    write_text(path, page)
    say(f"{path}: the report of run {kept.record.key}, {len(page.encode()) / 1e3:,.0f} kB")


def export(
    run: Run,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE.zip|FILE.json",
            help="Where to: a bundle with checksums as a folder or a zip file, or the document; left out: the document "
            "to standard output.",
        ),
    ] = None,
) -> None:
    """Write all that is known of a run: one JSON document, or a bundle that can be verified on another machine.

    Example: hybridloop runs export night --output night.zip
    """
    from hybridloop.reports.bundle.archive import open_run, write_bundle
    from hybridloop.reports.export import export_run

    with open_run(run) as kept:
        if output is not None and output.suffix != ".json":
            manifest = write_bundle(kept, output)
            say(f"{output}: run {kept.record.key}, sealed with {manifest['seal']}")
            return
        document = export_run(kept)
    if output is None:
        print_json(document)
        return
    import json

    write_text(output, json.dumps(document, indent=1, allow_nan=False) + "\n")
    say(f"{output}: {document['run']['key']}, {len(document['rounds'])} rounds")


def verify(run: Run, *, json: AsJson = False) -> None:
    """Compute a run's values anew from its stored counts alone, and compare them bit for bit.

    Of a bundle the checksums are compared first; neither a journal nor a service is needed.

    Example: hybridloop runs verify night
    """
    from hybridloop.reports.bundle.archive import is_bundle, open_run, read_bundle
    from hybridloop.reports.verify import verify_run

    seal = None
    if is_bundle(run):
        kept, manifest = read_bundle(Path(run))
        found, seal = verify_run(kept), manifest["seal"]
    else:
        with open_run(run) as kept:
            found = verify_run(kept)
    if json:
        print_json({**found.as_dict(), "seal": seal})
    else:
        print(f"run {found.run_key}: {found.rounds} rounds computed anew from {found.jobs} jobs' counts")
        value = f"{found.value!r} {found.unit}".rstrip()
        print(f"  value      {value}, {'the same' if found.agrees else 'NOT the same'}")
        for difference in found.differences:
            print(f"  differs    {difference}")
        for name, (then, now) in found.versions.items():
            print(f"  version    {name} {now} here, {then} there")
        if seal is not None:
            print(f"  bundle     whole, sealed with {seal}")
    if not found.agrees:
        raise typer.Exit(1)


def reproduce(
    run: Run,
    *,
    run_key: Annotated[str | None, typer.Option(help="The new run's name; left out: KEY-again.")] = None,
    workspace: Workspace = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a finished run again, with its settings and its seed under a new key, and compare what comes out.

    The local service samples by the seed, so that all is the same to the last bit there; elsewhere the values are to
    agree within their error bars. What the jobs cost is billed again.

    Example: hybridloop runs reproduce night
    """
    from hybridloop.api import reproduce as repeating

    with submitting(), shown(quiet=quiet) as seen:
        found = repeating.reproduce(
            run, run_key=run_key, workspace=workspace, on_progress=seen.on_progress, feed=seen.feed
        )
    if json:
        print_json(found.as_dict())
    else:
        _print(found)
    if not found.is_finished:
        raise typer.Exit(3)
    if not found.agrees:
        raise typer.Exit(1)


def _print(found: Reproduction) -> None:
    print(f"run {found.again} repeats run {found.before}: {found.in_words}")
    for each in found.compared:
        print(f"  {each.name:<16}{each.verdict}{'' if each.same else f': {each.before}, now {each.again}'}")
    for name, (then, now) in found.versions.items():
        print(f"  {'version':<16}{name} {then}, now {now}")
