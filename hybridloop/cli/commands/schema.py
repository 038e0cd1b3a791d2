"""`hybridloop schema`: print the JSON Schema of a command's output."""

from __future__ import annotations

from typing import Annotated

import typer

from hybridloop.cli.output import print_json, print_text


def schema(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND]", help="Words of the command. Default: list the commands with a schema."),
    ] = None,
) -> None:
    """Print the JSON Schema of a command's output with --json.

    Example: hybridloop schema runs list
    """
    from hybridloop.cli.schemas import DOCUMENTS, schema_of

    if command:
        print_json(schema_of(" ".join(command)))
    else:
        print_text("\n".join(DOCUMENTS))
