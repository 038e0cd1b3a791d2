"""`hybridloop config | init | schema`: show the settings in force, write a settings file, show a JSON Schema."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from hybridloop.cli.completion import algorithms, did_you_mean
from hybridloop.cli.output import AsJson, format_value, print_json, print_line, print_message, print_table, print_text
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError
from hybridloop.runtime.paths import config_file, home
from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE, NAME_VARIABLE, workspace_variable


def config(
    algorithm: Annotated[
        str | None, typer.Argument(help="Only the settings of this algorithm.", autocompletion=algorithms)
    ] = None,
    *,
    json: AsJson = False,
) -> None:
    """Show the value and source of every setting that a command does not set.

    Precedence, highest first: option, --set, --config FILE, environment variable (HYBRIDLOOP_SHOTS,
    HYBRIDLOOP_FAILURE__RETRIES, HYBRIDLOOP_QAOA__SHOTS), your settings file, default.

    Example: hybridloop config vqe
    """
    from hybridloop.inputs.sources import overview, unknown_variables

    shown = [each.name for each in ALGORITHMS.known] if algorithm is None else [_known(algorithm)]
    rows, places, unknown = overview(shown), _places(), unknown_variables()
    if json:
        print_json({"places": places, "settings": rows, "unknown_variables": unknown})
        return
    print_table(("place", "value", "source"), places)
    print_line()
    texts = [
        {
            **row,
            "value": format_value(row["value"], row["setting"]),
            "for": "all" if len(row["algorithms"]) == len(shown) else " ".join(row["algorithms"]),
        }
        for row in rows
    ]
    print_table(("setting", "value", "for", "source"), texts)
    for name in unknown:
        print_message(f"hybridloop: {name} has no effect")


def init(
    file: Annotated[Path | None, typer.Argument(metavar="FILE.yaml", help="Default: standard output.")] = None,
    *,
    algorithm: Annotated[str, typer.Option(help="Algorithm of the settings.", autocompletion=algorithms)] = "vqe",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a settings file with all defaults and their descriptions, to edit and give to --config.

    Example: hybridloop init settings.yaml --algorithm qaoa
    """
    from hybridloop.inputs.template import settings_template

    text = settings_template(_known(algorithm))
    if file is None:
        print_text(text, end="")
        return
    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError as error:
        raise InputError("FILE", f"{file} exists already", "Give --force to replace it, or another name.") from error
    except OSError as error:
        raise InputError("FILE", f"{file} can't be written ({error.strerror})", "Check the path.") from error
    print_message(f"{file}: settings for hybridloop run {algorithm} PROBLEM --config {file}")


def _known(algorithm: str) -> str:
    if algorithm not in ALGORITHMS:
        raise InputError("algorithm", f"there is none called {algorithm!r}", did_you_mean(algorithm, ALGORITHMS))
    return algorithm


def _places() -> list[dict[str, str]]:
    """Return the places of state, settings and journal, and the workspace, without secrets."""
    file, environ = config_file(), os.environ
    from_home = "HYBRIDLOOP_HOME" if environ.get("HYBRIDLOOP_HOME") else "default"
    journal, journal_source = f"sqlite:///{home() / 'journal.db'}", from_home
    if environ.get("HYBRIDLOOP_JOURNAL"):
        from hybridloop.journal.storage.location import Location

        journal, journal_source = str(Location.parse(environ["HYBRIDLOOP_JOURNAL"])), "HYBRIDLOOP_JOURNAL"
    workspace, workspace_source = "the local service", "default"
    if (variable := workspace_variable(environ)) is not None:
        is_named = variable != CONNECTION_VARIABLE
        workspace = environ.get(NAME_VARIABLE, "") if is_named else "a connection string's"
        workspace_source = NAME_VARIABLE if is_named else variable
    places = (
        ("state", str(home()), from_home),
        ("your settings", str(file), from_home if file.exists() else "no such file"),
        ("journal", journal, journal_source),
        ("workspace", workspace, workspace_source),
    )
    return [{"place": place, "value": value, "source": source} for place, value, source in places]


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
