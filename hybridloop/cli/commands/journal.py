"""`hybridloop journal backup | restore`: copies of the journal's file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hybridloop.cli.output import AsJson, print_json, print_line
from hybridloop.runtime.text_table import count_text

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
def restore(file: File, *, json: AsJson = False) -> None:
    """Put a backup in the journal's place, and save the journal that was there beside it.

    A run that was measured further after the backup finds its jobs at the service again when it is resumed. Runs that
    were begun after the backup are not in it: look for their sessions with `sessions list`.

    Example: hybridloop journal restore /backups/monday.db
    """
    from hybridloop.journal.backup import restore as restore_journal

    copied = restore_journal(file)
    if json:
        print_json(asdict(copied))
        return
    print_line(f"{copied.journal}: {count_text(copied.runs, 'run')} of the backup {copied.file}")
    if copied.replaced is not None:
        print_line(f"the journal before it is saved as {copied.replaced}")
