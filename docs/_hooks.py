"""Reference pages generated from the code when the site is built: public names, settings, commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer.core
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import hybridloop
from hybridloop.cli.app import build_app
from hybridloop.descriptions import ALGORITHMS
from hybridloop.settings import RunSettings
from hybridloop.settings.failure_policy import FailurePolicy

_FILE = re.compile(r"^(```[a-z]+) ([a-z]+\.[a-z]+)$", re.MULTILINE)
_SEARCH = 'data-md-component="search" role="dialog"'
_ELSEWHERE = frozenset({"failure"})  # it has its own table
_RESULTS = (
    "hybridloop.results.result.RunResult",
    "hybridloop.algorithms.outcome.Outcome",
    "hybridloop.algorithms.outcome.RoundProgress",
)
_SESSION = "hybridloop.tasks.session.OpenSession"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages; mkdocs calls this after it has found all others."""
    pages: Mapping[str, Callable[[], str]] = {
        "reference/python.md": python,
        "reference/commands.md": commands,
        "reference/settings.md": settings,
    }
    for path, written in pages.items():
        files.append(File.generated(config, path, content=written()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn the file name of a code block, as in "```yaml curve.yaml", into the block's title."""
    return _FILE.sub(r'\1 title="\2"', markdown)


def on_post_page(output: str, **_: Any) -> str:
    """Give the theme's search dialog a name for screen readers."""
    return output.replace(_SEARCH, f'{_SEARCH} aria-label="Search"')


def python() -> str:
    """Return the page of the public names, results and sessions."""
    functions = [getattr(hybridloop, name) for name in hybridloop.__all__ if not name.startswith("_")]
    parts = [
        "# Python",
        "All names are in `import hybridloop as hl`. A name is loaded when it is first used.",
        *(f"::: {each.__module__}.{each.__qualname__}" for each in functions),
        "## Results",
        *(_documented(path) for path in _RESULTS),
        "## Session",
        _documented(_SESSION),
    ]
    return "\n\n".join(parts) + "\n"


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


def _documented(path: str) -> str:
    return f"::: {path}\n    options:\n      heading_level: 3"


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
