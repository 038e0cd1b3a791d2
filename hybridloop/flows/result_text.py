"""What a run came to, in words: the same ones on a terminal and in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hybridloop.flows.live_text import plus_minus
from hybridloop.flows.text_table import aligned, cell
from hybridloop.sessions.durations import one_unit

if TYPE_CHECKING:
    from hybridloop.flows.results import RunResult

# What is shown of a result's table; the rest is for programs.
COLUMNS: Mapping[str, Sequence[str]] = {
    "adapt": ("emptied", "filled", "gradient", "gradient_error", "expected_left", "energy"),
    "scan": ("point", "energy", "standard_error", "exact", "error", "rounds", "circuits", "converged"),
    "vqd": ("level", "energy", "standard_error", "exact", "overlap", "electrons", "converged"),
}
MOST_NAMES = 12  # on a line
TABLES = {"vqd": "Levels", "scan": "Points", "adapt": "Operators"}  # what the rows of each algorithm's are
_OF_ASSIGNMENTS = frozenset({"qaoa", "rqaoa"})
_CELL = "text-align:left;padding:0 1em 0 0"


def heading(result: RunResult) -> str:
    """What ran where, and how it ended."""
    return f"{result.problem} on {result.target}: {result.status} ({result.reason})"


def answer(result: RunResult) -> Iterator[tuple[str, str]]:
    """Each fact's name with the fact: what it came to, and what speaks against it."""
    if result.value is None:
        yield from _so_far(result)
    elif result.algorithm in _OF_ASSIGNMENTS:
        yield from _assignment(result)
    else:
        yield from _energy(result)
    for warning in result.warnings:
        yield "warning", warning
    for choice in result.choices:
        name, _, said = choice.partition(": ")
        yield name, said


def effort(result: RunResult) -> Iterator[tuple[str, str]]:
    """Each fact's name with the fact: what it took."""
    taken = f"{_count(result.rounds, 'round')}, {_count(result.jobs, 'job')}, {_count(result.shots, 'shot')}"
    yield "effort", f"{taken}, {one_unit(result.wall_seconds)}"
    yield "cost", _cost(result)
    for session in result.sessions:
        yield "session", f"{session.id} {session.status}"
    yield "run", f"{result.run_key}{' (resumed)' if result.resumed else ''}"


def table(result: RunResult) -> list[dict[str, object]]:
    """What a run has beside its value: a row for each operator, level or point, by the columns that are shown."""
    columns = COLUMNS.get(result.algorithm, ())
    return [{name: _in_words(row[name]) for name in columns} for row in result.table] if columns else []


def as_text(result: RunResult) -> str:
    """The result as lines of text, with its table, if it has one."""
    facts = [f"  {name:<10} {said}" for name, said in (*answer(result), *effort(result))]
    found = table(result)
    lines = [f"  {line}" for line in aligned(tuple(found[0]), found)] if found else []
    return "\n".join((heading(result), *facts, *lines))


def as_html(result: RunResult) -> str:
    """The result as a piece of a page; all that comes from outside is escaped."""
    facts = [*answer(result), *effort(result)]
    lines = "".join(
        f'<tr><th scope="row" style="{_CELL};font-weight:normal;opacity:.7">{html.escape(name)}</th>'
        f'<td style="{_CELL}">{html.escape(said)}</td></tr>'
        for name, said in facts
    )
    caption = f'<caption style="{_CELL};font-weight:bold">{html.escape(heading(result))}</caption>'
    return f"<div><table>{caption}{lines}</table>{_table_as_html(result)}</div>"


def _table_as_html(result: RunResult) -> str:
    if not (found := table(result)):
        return ""
    head = "".join(f'<th scope="col" style="{_CELL}">{html.escape(name)}</th>' for name in found[0])
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(cell(each))}</td>' for each in row.values()) + "</tr>"
        for row in found
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _energy(result: RunResult) -> Iterator[tuple[str, str]]:
    error = "unknown: the problem is too large to be diagonalized"
    if result.error is not None:
        amount = f"{result.error * 1e3:+.3f} mHa" if result.unit == "hartree" else f"{result.error:+.6f}"
        error = f"{amount} against the exact energy"
    sharpness = (
        f"± {result.rounding_bound:.6f} (rounding; the target does not sample)"
        if result.is_exact
        else f"± {result.standard_error:.6f} (standard error)"
    )
    short = "" if result.is_precise else ", which is wider than was asked"
    yield "energy", f"{result.value:.6f}{result.unit and f' {result.unit}'} {sharpness}{short}"
    yield "error", error
    if result.of_what:
        yield "of", result.of_what


def _assignment(result: RunResult) -> Iterator[tuple[str, str]]:
    assert result.value is not None
    best = "none that was seen meets the constraint"
    if result.best_bitstring is not None:
        best = f"{result.best_value:g} at {result.best_bitstring} (rightmost: variable 0)"
    known = "unknown: too many assignments to go through"
    if result.exact is not None:
        known = f"{result.exact:g}"
    ratio = "" if result.approximation_ratio is None else f", approximation ratio {result.approximation_ratio:.4f}"
    yield "best seen", best
    if names := ones(result):
        yield "with 1", names
    yield "optimum", known
    if result.algorithm == "rqaoa":  # no estimate
        yield "recursion", f"came to {result.value:g}{ratio}"
    else:
        error = plus_minus(result.standard_error or 0.0, result.rounding_bound)
        yield "objective", f"{result.value:.6f} {error} on average{ratio}"


def ones(result: RunResult) -> str:
    """The variables that are 1 in the best assignment, where they have names of their own."""
    if all(row["variable"] == str(place) for place, row in enumerate(result.table)):
        return ""
    names = [row["variable"] for row in result.table if row["value"]]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) or "none") + more


def _so_far(result: RunResult) -> Iterator[tuple[str, str]]:
    said = "no round is complete"
    if result.history:
        last = result.history[-1]
        said = f"{last.value:.6f} {plus_minus(last.standard_error)} {result.unit}".rstrip()
    yield "so far", said
    yield "go on", f"hybridloop runs resume {result.run_key}"


def _in_words(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}{'' if number == 1 else 's'}"


def _cost(result: RunResult) -> str:
    """What the service billed; it states amounts by unit, or none."""
    unstated = "not stated by the service" if result.jobs or result.pings else "nothing was sent"
    billed = ", ".join(f"{amount:,.2f} {unit}" for unit, amount in result.cost.items()) or unstated
    return billed + "".join(f"; {amount:,.2f} {unit} reserved" for unit, amount in result.reserved.items())
