"""`hybridloop cost`: the cost of the runs of a period, by run, target, tag, deployment, day, month and others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
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

_COLUMNS = ("runs", "jobs", "shots", "billed", "unbilled", "reserved", "local")
_ALWAYS = ("runs", "jobs", "shots", "billed")
_DAY = re.compile(r"\d+-\d+-\d+")


def cost(
    *,
    since: Annotated[
        str, typer.Option(metavar="AGE|DAY", help="First day (UTC) of the costs, or an age such as 30d.")
    ] = "30d",
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="Only costs before this day; jobs in flight are left out.")
    ] = None,
    by: Annotated[CostGroup, typer.Option(help="Sum by this.")] = CostGroup.RUN,
    keys: Annotated[str, typer.Option(metavar="PATTERN", help="Only runs of these keys, such as 'thesis-*'.")] = "*",
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Picture to write, SVG, PNG or PDF.")] = None,
    json: AsJson = False,
) -> None:
    """Show what the journal's runs cost in a period: jobs, shots and price, pings and retries included.

    A cost falls on the day on which its job ended. What ran on the local service is in a column of its own.

    Example: hybridloop cost --since 2026-11-01 --until 2026-12-01 --by tag
    """
    first, end = _first_day(since), None if until is None else _day("--until", until)
    from hybridloop.journal import open_journal
    from hybridloop.journal.amounts import day_of
    from hybridloop.reports.costs import cost_rows, open_reservations

    with open_journal() as journal:
        rows, total = cost_rows(journal, day_of(first), None if end is None else day_of(end), by, keys)
        left = open_reservations(journal, datetime.now(UTC).timestamp())
    period = f"since {_date(first)}" + f" until {until}" * (until is not None)
    if plot is not None and rows:
        _draw(plot, rows, f"by {by.value}, {period}")
    if json:
        document = {"by": by.value, "rows": [row.as_dict() for row in rows], "total": total.as_dict()}
        print_json({"since": _date(first), "until": until, **document, "unsettled": [asdict(each) for each in left]})
        return
    for each in left:
        print_message(str(each))
    if not rows:
        print_line(f"nothing was spent {period} (UTC)")
        return
    listed = []
    for row in (*rows, total):
        values = row.as_dict()
        listed.append({name: format_value(value, name) for name, value in values.items()})
    columns = [name for name in _COLUMNS if name in _ALWAYS or getattr(total, name)]
    print_table((by.value, *columns), [{by.value: values["name"], **values} for values in listed])
    if total.local:
        print_line("local: on the local service, where nothing is billed")


def _first_day(since: str) -> float:
    """Return the time of the first day, from a day or an age."""
    if _DAY.fullmatch(since.strip()):
        return _day("--since", since)
    try:
        age = parse_duration(since)
    except ValueError as error:
        raise InvalidValue("--since", f"{error}, got {since!r}") from error
    if not isinstance(age, float) or since.strip()[-1:].isdigit():  # seconds elsewhere, but most likely meant as days
        raise InvalidValue("--since", f"must have a unit, for example {since.strip()}d, got {since!r}")
    return max(0.0, datetime.now(UTC).timestamp() - age)


def _day(option: str, text: str) -> float:
    """Return the time of a day's begin (UTC)."""
    try:
        return datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise InvalidValue(option, f"must be a day such as 2026-11-01, got {text!r}") from error


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


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
