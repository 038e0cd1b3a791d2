"""How the command line speaks: results to standard output, all else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from hybridloop.errors import InputError
from hybridloop.flows.text_table import aligned

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document in place of text.")]
Workspace = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Saved block of the workspace; left out: AZURE_QUANTUM_CONNECTION_STRING's, else a local service.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def say(text: str) -> None:
    """A line to standard error."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def submitting() -> Iterator[None]:
    """A block that submits: of what is refused in it, it is said as well that nothing of it was submitted."""
    try:
        yield
    except InputError as error:
        say(f"hybridloop: {error}")
        raise typer.Exit(error.exit_code) from error


def print_json(document: object) -> None:
    """One JSON document to standard output."""
    print(json.dumps(document, indent=2, allow_nan=False))


def write_text(path: Path, text: str) -> None:
    """Write what was asked for by --output. Raises InputError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError("--output", f"{path} can't be written ({error.strerror})", "Check the path.") from error


def print_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows under their columns' names, as wide as they need; None reads as a dash."""
    for line in aligned(columns, rows):
        print(line)
