"""`hybridloop schema`: what the JSON documents of other commands hold."""

from __future__ import annotations

from typing import Annotated

import typer

from hybridloop.cli.output import print_json


def schema(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]", help="The command's words; left out: which there are.")
    ] = None,
) -> None:
    """Print the JSON Schema of what a command prints with --json.

    Example: hybridloop schema runs list
    """
    from hybridloop.cli.schemas import DOCUMENTS, schema_of

    if command:
        print_json(schema_of(" ".join(command)))
    else:
        print("\n".join(DOCUMENTS))
