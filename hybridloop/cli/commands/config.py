"""`hybridloop config | init`: which settings are in force and why, and a file to change them in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from hybridloop.cli.completion import algorithms
from hybridloop.cli.output import AsJson, in_words, print_json, print_table, say
from hybridloop.errors import InputError
from hybridloop.runtime.paths import config_file, home
from hybridloop.settings import SETTINGS


def config(
    algorithm: Annotated[
        str | None, typer.Argument(help="Only the settings of this algorithm.", autocompletion=algorithms)
    ] = None,
    *,
    json: AsJson = False,
) -> None:
    """Show every setting's value where a command says nothing, and where it comes from.

    An option goes before --set, that before --config FILE, that before a variable such as HYBRIDLOOP_SHOTS,
    HYBRIDLOOP_FAILURE__RETRIES or HYBRIDLOOP_QAOA__SHOTS, that before your own file, that before the default.

    Example: hybridloop config vqe
    """
    from hybridloop.settings.sources import overview, unknown_variables

    rows = overview(SETTINGS if algorithm is None else [_known(algorithm)])
    places = _places()
    unknown = unknown_variables()
    if json:
        print_json({"places": places, "settings": rows, "unknown_variables": unknown})
        return
    print_table(("place", "value", "source"), places)
    print()
    every = len(SETTINGS) if algorithm is None else 1
    told = [{**row, "for": "all" if len(row["algorithms"]) == every else " ".join(row["algorithms"])} for row in rows]
    print_table(
        ("setting", "value", "for", "source"),
        [{**row, "value": in_words(row["value"], row["setting"])} for row in told],
    )
    for name in unknown:
        say(f"hybridloop: {name} steers nothing")


def init(
    file: Annotated[Path | None, typer.Argument(metavar="FILE.yaml", help="Left out: standard output.")] = None,
    *,
    algorithm: Annotated[str, typer.Option(help="Whose settings.", autocompletion=algorithms)] = "vqe",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a settings file that says what each setting is for, with the defaults, to be changed and given to --config.

    Example: hybridloop init settings.yaml --algorithm qaoa
    """
    from hybridloop.settings.template import settings_template

    text = settings_template(_known(algorithm))
    if file is None:
        print(text, end="")
        return
    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError as error:
        raise InputError("FILE", f"{file} is there already", "Give --force to replace it, or another name.") from error
    except OSError as error:
        raise InputError("FILE", f"{file} can't be written ({error.strerror})", "Check the path.") from error
    say(f"{file}: settings for hybridloop run {algorithm} PROBLEM --config {file}")


def _known(algorithm: str) -> str:
    from hybridloop.cli.completion import did_you_mean

    if algorithm not in SETTINGS:
        raise InputError("algorithm", f"there is none called {algorithm!r}", did_you_mean(algorithm, SETTINGS))
    return algorithm


def _places() -> list[dict[str, Any]]:
    """Where things are kept and go to; of what may hold a secret only whether it is set."""
    own, environ = config_file(), os.environ
    from_home = "HYBRIDLOOP_HOME" if environ.get("HYBRIDLOOP_HOME") else "default"
    rows = [
        {"place": "state", "value": str(home()), "source": from_home},
        {"place": "your settings", "value": str(own), "source": from_home if own.exists() else "no such file"},
    ]
    if environ.get("HYBRIDLOOP_JOURNAL"):
        from hybridloop.journal.storage.location import Location

        journal = {"value": str(Location.parse(environ["HYBRIDLOOP_JOURNAL"])), "source": "HYBRIDLOOP_JOURNAL"}
    else:
        journal = {"value": f"sqlite:///{home() / 'journal.db'}", "source": from_home}
    rows.append({"place": "journal", **journal})
    connection = "AZURE_QUANTUM_CONNECTION_STRING"
    named = bool(environ.get(connection))
    rows.append(
        {
            "place": "workspace",
            "value": "a connection string's" if named else "the local service",
            "source": connection if named else "default",
        }
    )
    return rows
