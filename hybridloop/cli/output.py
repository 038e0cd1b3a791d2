"""How the command line speaks: results to standard output, all else to standard error.

Facts of all kinds as lines of text, in the words in which settings are given.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from hybridloop.errors import InputError
from hybridloop.runtime.text_table import format_table

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
    """Print an InputError of the block with its full message, which says that nothing was submitted."""
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
    for line in format_table(columns, rows):
        print(line)


_MARGIN = 16
_PLAIN = ("id", "target", "status", "reason", "at", "kind")  # of a session or an event: what its value alone says
_AMOUNTS = ("estimated", "reserved", "billed", "max_cost", "max_cost_per_job")


def print_facts(facts: Mapping[str, Any]) -> None:
    """A line for each fact, one for each value of a mapping, and one for each mapping in a list."""
    for name, value in facts.items():
        lines = list(_lines(value))
        print(f"{name:<{_MARGIN}}" + f"\n{'':<{_MARGIN}}".join(lines or ["-"]))


def in_words(value: object, name: str = "") -> str:
    """A plain value as it is given on the command line; amounts by unit where the name is of such, "-" for none."""
    match value:
        case None | "":
            return "-"
        case bool():
            return str(value).lower()
        case Mapping() if name in _AMOUNTS:
            return ", ".join(f"{amount:,.2f} {unit}" for unit, amount in value.items()) or "-"
        case Mapping():
            return ", ".join(f"{key}: {in_words(inner, str(key))}" for key, inner in value.items()) or "-"
        case list() | tuple():
            return ", ".join(map(in_words, value)) or "-"
    return str(value)


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (f"{name}: {in_words(inner, name.rpartition('.')[2])}" for name, inner in _flat(value))
    elif isinstance(value, list):
        yield from (_line(each) for each in value)
    else:
        yield in_words(value)


def _flat(values: Mapping[str, Any], of: str = "") -> Iterator[tuple[str, Any]]:
    """Inner settings by the names that `--set` knows them by."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value and name not in _AMOUNTS:
            yield from _flat(value, f"{of}{name}.")
        else:
            yield of + name, value


def _line(row: Mapping[str, Any]) -> str:
    told = [(name, value) for name, value in row.items() if value not in ("", None)]
    parts = (in_words(value) if name in _PLAIN else f"{name}: {in_words(value, name)}" for name, value in told)
    return "  ".join(parts)
