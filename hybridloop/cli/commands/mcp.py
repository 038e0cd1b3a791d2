"""`hybridloop mcp`: a server of the Model Context Protocol, by which an assistant plans and runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybridloop.cli.output import Workspace, print_line
from hybridloop.errors import InputError, InvalidValue
from hybridloop.settings.parsing import parse_cost


def mcp(
    *,
    allow: Annotated[
        list[str],
        typer.Option(metavar="AMOUNT", help="Most that all runs of the assistant may cost, such as 50USD; repeatable."),
    ] = [],  # noqa: B006  # typer's way to make it optional
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", file_okay=False, exists=True, help="Folder of problem files. Default: none."),
    ] = None,
    reset: Annotated[
        bool, typer.Option("--reset", help="Count no longer what was spent so far, and exit; the allowance stays.")
    ] = False,
    workspace: Workspace = None,
) -> None:
    """Serve the Model Context Protocol on standard input and output: an assistant plans and runs within an allowance.

    Without --allow it can use free targets alone. What its runs cost counts until --reset, also after a restart.

    Example: hybridloop mcp --allow 50USD
    """
    try:
        allowed = parse_cost(",".join(allow)) if allow else {}
    except ValueError as error:
        raise InvalidValue("--allow", f"{error}, got {', '.join(allow)!r}") from error
    assert isinstance(allowed, dict)
    if reset and allow:
        raise InputError("--allow", "it is an option of a server", "Leave it out: --reset keeps the allowance.")
    try:
        from hybridloop.assistant import allowance
        from hybridloop.assistant.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        remedy = "Install it: pip install 'hybridloop[mcp]'."
        raise InputError("mcp", "the package mcp, version 2, is not installed", remedy) from error
    if reset:
        print_line(str(allowance.reset()))
    else:
        serve(allowance.Allowance(allowed), folder, workspace)
