"""Output of commands: results to standard output, everything else to standard error.

Names, reasons and messages may come from a file, a bundle or a service, so all text goes through here, where control
characters are escaped: a terminal would obey them.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hybridloop.errors import InputError
from hybridloop.runtime.dotted_names import flatten
from hybridloop.runtime.escaping import escape_control, escape_line
from hybridloop.runtime.json_log import is_json, json_line
from hybridloop.runtime.text_table import format_table

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Workspace = Annotated[
    str | None,
    typer.Option(
        "--workspace",
        "--resource-id",
        metavar="NAME|ID",
        help="Saved block of the workspace, or its resource id (opened by your Azure identity, as of az login). "
        "Default: what AZURE_QUANTUM_… variables name, else a local service.",
    ),
]
RequirePrefect = Annotated[
    bool, typer.Option("--require-prefect", help="Refuse to begin without Prefect's server, if it is away.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def print_text(text: str, *, end: str = "\n") -> None:
    """Print text of one or more lines to standard output."""
    print(escape_control(text), end=end, flush=True)


def print_line(text: str = "") -> None:
    """Print a line to standard output; a line break in it is escaped."""
    print(escape_line(text), flush=True)


def print_message(text: str, level: int = logging.INFO) -> None:
    """Print a message to standard error."""
    if is_json():
        text = json_line(text.removeprefix("hybridloop: "), level, "hybridloop.cli")
    print(escape_control(text), file=sys.stderr, flush=True)


def print_json(document: object) -> None:
    """Print one JSON document to standard output."""
    text = json.dumps(document, indent=2, allow_nan=False).replace("\x7f", "\\u007f")  # the one that JSON leaves as is
    print(text, flush=True)


def write_text(path: Path, text: str) -> None:
    """Write the file of --output. Raises InputError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError("--output", f"{path} can't be written ({error.strerror})", "Check the path.") from error


def print_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows below the names of their columns; None is a dash."""
    for line in format_table(columns, rows):
        print_line(line)


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows as a JSON document, or as a table of these columns."""
    if as_json:
        print_json(rows)
    else:
        print_table(columns, rows)


_MARGIN = 16
_UNNAMED = ("id", "target", "status", "reason", "at", "kind")  # shown without their names in a row
_AMOUNTS = ("estimated", "reserved", "billed", "unbilled", "local", "max_cost", "max_cost_per_job")


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print a line for each fact, for each value of a mapping, and for each mapping of a list."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            inner = flatten(value, whole=_AMOUNTS)
            lines = [f"{key}: {format_value(each, key.rpartition('.')[2])}" for key, each in inner.items()]
        else:
            lines = list(map(_format_row, value)) if isinstance(value, list) else [format_value(value)]
        for number, line in enumerate(lines or ["-"]):
            print_line(f"{'' if number else name:<{_MARGIN}}{line}")


def format_value(value: object, name: str = "") -> str:
    """Return a value as it is typed on the command line; "-" if there is none, amounts as `400.00 HQC`."""
    match value:
        case None | "":
            return "-"
        case bool():
            return str(value).lower()
        case Mapping() if name in _AMOUNTS:
            return ", ".join(f"{amount:,.2f} {unit}" for unit, amount in value.items()) or "-"
        case Mapping():
            return ", ".join(f"{key}: {format_value(inner, str(key))}" for key, inner in value.items()) or "-"
        case list() | tuple():
            return ", ".join(map(format_value, value)) or "-"
    return str(value)


def _format_row(row: Mapping[str, Any]) -> str:
    values = ((name, value) for name, value in row.items() if value not in ("", None))
    return "  ".join(
        format_value(value) if name in _UNNAMED else f"{name}: {format_value(value, name)}" for name, value in values
    )
