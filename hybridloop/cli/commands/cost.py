"""`hybridloop cost`: the cost of the runs of a period, by run, target, algorithm, problem, day or month."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridloop.cli.output import AsJson, format_value, print_json, print_line, print_message, print_table
from hybridloop.errors import InputError, InvalidValue
from hybridloop.reports.cost_groups import CostGroup
from hybridloop.settings.parsing import parse_duration

if TYPE_CHECKING:
    from hybridloop.reports.costs import CostRow

_COLUMNS = ("runs", "jobs", "shots", "estimated", "billed")


def cost(
    *,
    since: Annotated[str, typer.Option(metavar="AGE", help="Runs that began within this time, such as 30d.")] = "30d",
    by: Annotated[CostGroup, typer.Option(help="Sum by this.")] = CostGroup.RUN,
    keys: Annotated[str, typer.Option(metavar="PATTERN", help="Only runs of these keys, such as 'thesis-*'.")] = "*",
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Picture to write, SVG, PNG or PDF.")] = None,
    json: AsJson = False,
) -> None:
    """Show what the journal's runs cost: jobs, shots and price, pings and retries included.

    Example: hybridloop cost --since 30d --by target --plot cost.svg
    """
    try:
        age = parse_duration(since)
    except ValueError as error:
        raise InvalidValue("--since", f"{error}, got {since!r}") from error
    if not isinstance(age, float) or since.strip()[-1:].isdigit():  # seconds elsewhere, but most likely meant as days
        raise InvalidValue("--since", f"must have a unit, for example {since.strip()}d, got {since!r}")
    from hybridloop.journal import open_journal
    from hybridloop.reports.costs import cost_rows, total_row

    began = datetime.now(UTC).timestamp() - age
    with open_journal() as journal:
        rows = cost_rows(journal, began, by, keys)
    total = total_row(rows)
    if plot is not None and rows:
        _draw(plot, rows, f"by {by.value}, the last {since.strip()}")
    if json:
        document = {"by": by.value, "rows": [row.as_dict() for row in rows], "total": total.as_dict()}
        print_json({"since": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"), **document})
        return
    if not rows:
        print_line(f"no run began within the last {since.strip()}")
        return
    listed = []
    for row in (*rows, total):
        values = row.as_dict()
        listed.append({name: format_value(value, name) for name, value in values.items()})
    print_table((by.value, *_COLUMNS), [{by.value: values["name"], **values} for values in listed])


def _draw(path: Path, rows: Sequence[CostRow], title: str) -> None:
    from hybridloop.reports.plots.costs import cost_bars, unit_to_draw

    try:
        unit = unit_to_draw(rows)
        cost_bars(rows, f"{'Jobs' if unit is None else 'Cost'} {title}", unit).save(str(path))
    except (OSError, ValueError) as error:
        raise InputError(
            "--plot", f"{path} can't be written ({error})", "Give a file name that ends in .svg."
        ) from error
    print_message(f"{path}: a picture")
