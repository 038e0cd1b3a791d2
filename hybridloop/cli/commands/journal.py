"""`hybridloop journal backup | restore`: copies of the journal's file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hybridloop.cli.output import AsJson, print_json, print_line, print_message
from hybridloop.runtime.text_table import count_text

if TYPE_CHECKING:
    from hybridloop.journal.backup import Restored

app = typer.Typer(name="journal", no_args_is_help=True, help="Back up the journal of runs, and restore it.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="An SQLite file.")]


@app.command()
def backup(file: File, *, json: AsJson = False) -> None:
    """Copy the journal as it is now to a new file; runs may be at work meanwhile.

    A copy of the file by other programs may miss what is being written.

    Example: hybridloop journal backup /backups/monday.db
    """
    from hybridloop.journal.backup import back_up

    copied = back_up(file)
    if json:
        print_json(asdict(copied))
    else:
        print_line(f"{copied.file}: {count_text(copied.runs, 'run')} of the journal {copied.journal}")


@app.command()
def restore(
    file: File,
    *,
    limits: Annotated[
        Literal["stricter", "of-backup"],
        typer.Option(help="The stricter limits and larger costs of journal and backup, or all as in the backup."),
    ] = "stricter",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what changes; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; without a terminal it never asks.")] = False,
    json: AsJson = False,
) -> None:
    """Put a backup in the journal's place, and save the journal that was there.

    It shows what changes, and asks on a terminal. A run that was measured further after the backup finds its jobs at
    the service when it is resumed. For runs that were begun after it, see `sessions list`.

    Example: hybridloop journal restore /backups/monday.db
    """
    from hybridloop.journal.backup import restore as restore_journal

    of_backup = limits == "of-backup"
    if not dry_run and not yes and sys.stdin.isatty():
        _print_changes(
            restore_journal(file, limits_of_backup=of_backup, dry_run=True), print_message, of_backup=of_backup
        )
        if not typer.confirm("Continue?", err=True):
            print_message("Nothing was changed.")
            raise typer.Exit(1)
    restored = restore_journal(file, limits_of_backup=of_backup, dry_run=dry_run)
    if json:
        print_json(asdict(restored))
        return
    _print_changes(restored, print_line, of_backup=of_backup)
    if restored.replaced is not None:
        print_line(f"the journal before it is saved as {restored.replaced}")


def _print_changes(restored: Restored, print_: Callable[[str], None], *, of_backup: bool) -> None:
    print_(f"{restored.journal}: {count_text(restored.runs, 'run')} of the backup {restored.file}")
    for keys, said in ((restored.missing, "not in the backup"), (restored.earlier, "in an earlier state")):
        if keys:
            print_(f"{count_text(len(keys), 'run')} {said}: {shorten(', '.join(keys), 200, placeholder=' …')}")
    for change in restored.limits:
        print_(change)
    counts = "counts no longer" if of_backup else "still counts"
    for unit, amount in restored.cost.items():
        print_(f"{amount:.2f} {unit} of jobs that are not in the backup {counts}")
    if restored.unknown is not None:
        print_(f"limits and costs since the backup are not all known, as the journal can't be read: {restored.unknown}")
