"""The reference pages of settings and commands, made from the code: `make reference` writes them beside the guides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.core
import typer.main

from hybridloop.cli.app import build_app
from hybridloop.descriptions import ALGORITHMS
from hybridloop.settings import RunSettings
from hybridloop.settings.failure_policy import FailurePolicy

_ELSEWHERE = frozenset({"failure"})  # it has its own table


def settings() -> str:
    """Return the page of settings: those of every run, the failure policy, and those of each algorithm."""
    of_every_run = frozenset(RunSettings.model_fields)
    parts = [
        "# Settings",
        'The same names in Python (`hl.vqe("h2", shots=2000)`), as options (`--shots 2000`), in a file of settings '
        "(`shots: 2000`) and in a deployment's parameters. Energies are in hartree, times in seconds; a time may be "
        "written as `8h`, `30m`, `90s`.",
        "## Every run",
        _table(RunSettings.model_json_schema(), _ELSEWHERE),
        "## Failure policy",
        "`--on-lost-job` as an option, `failure.on_lost_job` elsewhere.",
        _table(FailurePolicy.model_json_schema(), frozenset()),
    ]
    for name, algorithm in ALGORITHMS.items():
        parts += [f"## {name}", _table(algorithm.settings.model_json_schema(), of_every_run)]
    return "\n\n".join(parts) + "\n"


def commands() -> str:
    """Return the page of all commands with their help."""
    parts = ["# Commands", *_commands(typer.main.get_command(build_app()), ("hybridloop",))]
    return "\n\n".join(parts) + "\n"


def _table(schema: Mapping[str, Any], left_out: frozenset[str]) -> str:
    rows = ["| setting | type | default | description |", "| --- | --- | --- | --- |"]
    for name, field in schema["properties"].items():
        if name not in left_out:
            takes = _takes(field, schema.get("$defs", {}))
            rows.append(f"| `{name}` | {takes} | {_default(field)} | {_cell(field.get('description', ''))} |")
    return "\n".join(rows)


def _takes(field: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    kinds = [_kind(each, known) for each in field.get("anyOf", [field]) if each.get("type") != "null"]
    return " or ".join(dict.fromkeys(kinds))


def _kind(field: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if "$ref" in field:
        field = known[field["$ref"].rsplit("/", 1)[-1]]
    if "enum" in field:
        return ", ".join(f"`{each}`" for each in field["enum"])
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    told = [f"{sign} {_number(field[key])}" for key, sign in bounds.items() if key in field]
    kind = {"string": "text", "object": "amounts by unit, such as `50USD`", "array": "list"}.get(
        field.get("type", ""), field.get("type", "text")
    )
    return f"{kind} {', '.join(told)}".strip()


def _number(value: float) -> str:
    return "2⁶³" if value == 2**63 else f"{value:g}"


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    return "" if default is None else f"`{default}`"


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[str]:
    if isinstance(command, typer.core.TyperGroup):
        for name, each in command.commands.items():
            yield from _commands(each, (*words, name))
        return
    if command.hidden:  # a former name
        return
    context = command.make_context(" ".join(words), [], resilient_parsing=True)
    yield f"## {' '.join(words)}"
    yield (command.help or "").strip()
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{context.command_path} {usage}\n```"
    records = [param.get_help_record(context) for param in command.params if param.name != "help"]
    rows = [f"| `{_line(name)}` | {_cell(text)} |" for name, text in filter(None, records)]  # None: a hidden option
    if rows:
        yield "\n".join(["| argument or option | description |", "| --- | --- |", *rows])


def _cell(text: str) -> str:
    return _line(text).replace("<", "&lt;")


def _line(text: str) -> str:
    """Return the text on one line, for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


PAGES = {"commands.md": commands, "settings.md": settings}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (Path(__file__).parent / "reference" / name).write_text(page(), "utf-8")
