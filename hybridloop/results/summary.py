"""A result in eight lines of 80 columns: the value and what to make of it, what it took, and what to do next.

Texts are shortened by whole clauses, never inside one. All else, such as the sources of the error, is in the `details`
of the result (`result_text.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from hybridloop.algorithms.problems.energy_units import PER_HARTREE, amount_text
from hybridloop.descriptions import Value
from hybridloop.results.fitted_text import CLAUSES, SENTENCES, fitted, wrapped
from hybridloop.results.live import name_of_progress
from hybridloop.results.result_text import (
    accuracy_text,
    constraints_text,
    cost_text,
    curve_texts,
    effort_text,
    error_of,
    is_scan,
    measured_text,
    minimum_text,
    observable_table,
    observable_text,
    reference_doubt,
    table,
    way_from_random,
)
from hybridloop.runtime.escaping import escape_html
from hybridloop.runtime.leaves import leaf
from hybridloop.runtime.text_table import CELL_STYLE, facts_as_html, format_cell
from hybridloop.targets.provider_options import target_text

if TYPE_CHECKING:
    from hybridloop.algorithms.problems import natural_orbitals
else:
    natural_orbitals = leaf("hybridloop.algorithms.problems.natural_orbitals")

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult

WIDTH, MOST_LINES = 80, 8
_LABEL = 9
MOST_LEVELS = 5  # on a line
ASSIGNMENTS = (
    "partition",
    "chosen",
    "hold",
    "true",
    "sequence",
    "spins",
    "parts",
    "variables",
)  # names of a solution's assignment
_LISTS = ("best", "energies", "excited", "alike", "beside")
_ENDS: Mapping[str, tuple[str, ...]] = {  # a part of these would claim more
    "why": SENTENCES,
    **dict.fromkeys((*_LISTS, "depth"), ()),
    "beside": SENTENCES,  # each operator has its own
}
VALUES = ("cut", "nodes", "sums", "satisfied", "energy", "objective")  # and of its value


def summary(result: RunResult, unit: str | None = None, width: int = WIDTH) -> Iterator[str]:
    """Yield `MOST_LINES` lines of `WIDTH` columns at most, more of fewer columns, with the energy in another unit too.

    More are needed for the best assignment of many variables, which is whole.
    Only a word, a run's key or a command that is longer than the width exceeds it. The last line is the next command.
    Raises InputError.
    """
    head = _heading(result, width)
    rows = [("why", why(result)), *answer(result, unit), *effort(result)]
    spare = math.ceil(MOST_LINES * max(1.0, WIDTH / width)) - len(head) - len(rows) - 1
    if spare < 0:  # after a long name
        rows = [row for row in rows if row[0] != "of"]
    yield from head
    room = width - _LABEL - 2
    others = sum(len(wrapped(text, room)) - 1 for _, text in rows[1:])
    for name, text in rows:
        # the reason, which is first, may be long: it takes two lines, and those that no other row needs
        most = 1 + (max(min(spare, 1), spare - others) if name == "why" else max(0, spare))
        least = text.find("; ") if name == "cost" else 0  # the price is whole
        lines = fitted(text, room, most, _ENDS.get(name, CLAUSES), least) or _short(result, name, text, room, most)
        spare -= len(lines) - 1
        for number, line in enumerate(lines):
            yield f"  {'' if number else name:<{_LABEL}}{line}"
    yield f"  {'next':<{_LABEL}}{_next_command(result)}"


def _heading(result: RunResult, width: int) -> list[str]:
    found = f"{headline(result)}, {result.status}"
    name = PurePath(result.problem).name  # of a file
    whole = next((line for each in (result.problem, name) if len(line := f"{each}: {found}") <= width), None)
    if whole is not None:
        return [whole]
    return [*wrapped(f"{name}:", width), *(f"  {line}" for line in wrapped(found, width - 2))]


def _short(result: RunResult, name: str, text: str, room: int, lines: int) -> list[str]:
    """Return another text in place of one whose first clause is too long for its lines."""
    if name in ("cost", "depth", "best"):
        return wrapped(text, room)
    if name == "energies" and (found := fitted(text, room, lines, (" (",))) is not None:  # only the error is left out
        return found
    elsewhere = "too long for these lines: `hybridloop runs show` has it"
    short = {"why": result.reason, **dict.fromkeys(_LISTS, elsewhere)}.get(name, text)
    return fitted(short, room, lines) or wrapped(short, room)


def as_html(result: RunResult) -> str:
    """Return the same with the result's table as HTML, in which all text is escaped."""
    facts = facts_as_html(title(result), (("why", why(result)), *answer(result), *effort(result)))
    tables = "".join(map(_table_as_html, (table(result), observable_table(result) if is_scan(result) else [])))
    return f"<div>{facts}{tables}</div>"


def _table_as_html(rows: Sequence[Mapping[str, object]]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col" style="{CELL_STYLE}">{escape_html(name)}</th>' for name in rows[0])
    cells = (
        [f'<td style="{CELL_STYLE}">{escape_html(format_cell(cell))}</td>' for cell in row.values()] for row in rows
    )
    body = "".join(f"<tr>{''.join(line)}</tr>" for line in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def title(result: RunResult) -> str:
    """Return the problem, the value with its error, and the status."""
    return f"{result.problem}: {headline(result)}, {result.status}"


def headline(result: RunResult) -> str:
    """Return the value with its error: the energy, or the objective of the best assignment."""
    if result.value is None:
        return _so_far(result)
    if result.value_name == Value.OBJECTIVE:
        return _best(result)
    if is_scan(result):
        return minimum_text(result)
    return energy_text(result)


def energy_text(result: RunResult) -> str:
    """Return the energy with its error and unit."""
    assert result.value is not None
    unit = f" {result.unit}".rstrip()
    if result.is_upper_bound:
        return f"{result.value:.6f}{unit} or less"
    return f"{measured_text(result.value, result.error_bar)}{unit}{' (rounding)' if result.is_exact else ''}"


def answer(result: RunResult, unit: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield rows that say what the value is worth, in another unit too. Raises InputError for an unknown unit."""
    if result.value is not None:
        yield from _of_objective(result) if result.value_name == Value.OBJECTIVE else _of_energy(result, unit)
    if result.problem_title:
        yield "of", result.problem_title


def effort(result: RunResult) -> Iterator[tuple[str, str]]:
    """Yield the cost with the effort, and the run with its last session."""
    target = target_text(result.target, result.provider_options)
    yield "cost", f"{cost_text(result).replace('; ', ' and ')} on {target}; {effort_text(result)}"
    session = ""
    if result.sessions:
        last = result.sessions[-1]
        session = f", session {last.id}{'' if last.status == 'Succeeded' else f' {last.status.lower()}'}"
    fits = len(result.run_key + session) <= WIDTH - _LABEL - 2
    yield "run", f"{result.run_key}{session if fits else ''}"


def _of_energy(result: RunResult, unit: str | None) -> Iterator[tuple[str, str]]:
    if unit is not None and not result.curve:  # whose lines have units of their own
        factor, energy = PER_HARTREE.get(unit, 0.0), result.value_in(unit)
        error = factor * result.error_bar
        off = "" if result.error is None else f", {signed(factor * result.error, '')} from the exact energy"
        yield "also", f"{measured_text(energy, error)} {unit}{off}"
    if result.of_what:
        yield from _of_table(result)
    elif result.error is None or result.exact is None:
        yield "error", "unknown: the problem is too large to diagonalize"
    else:
        exact = "exact energy of its space" if result.is_active_space else "exact energy"
        within = f"; {accuracy_text(result)}" if result.unit == "hartree" else ""
        yield "error", f"{signed(result.error, result.unit)} from the {exact}{within}"
    if (doubt := reference_doubt(result)) is not None:
        yield "worth", doubt
    if (spin := next((each for each in result.choices if each.startswith("spin: ")), None)) is not None:
        yield "spin", spin.rpartition("; ")[2]
    if result.observables and not is_scan(result):
        yield "beside", "; ".join(f"{row['observable']} {observable_text(row)}" for row in result.observables)
    if (size := next(filter(None, map(natural_orbitals.space_doubt, result.choices)), None)) is not None:
        yield "space", size


def _of_table(result: RunResult) -> Iterator[tuple[str, str]]:
    """Yield the levels or points of a result with several values."""
    if "level" in result.table[0]:
        energies = [float(row["energy"]) for row in result.table]
        error = max(error_of(row) or 0.0 for row in result.table)
        shown = ", ".join(measured_text(each, error).partition(" ±")[0] for each in energies[:MOST_LEVELS])
        more = f" and {len(energies) - MOST_LEVELS} more" if len(energies) > MOST_LEVELS else ""
        yield "energies", f"{shown}{more} (± {measured_text(0.0, error).partition('± ')[2]})"
        if result.unit == "hartree" and len(energies) > 1:
            per, above = PER_HARTREE["eV"], result.table[1:MOST_LEVELS]
            error = per * max(float(row["excitation_error"] or 0.0) for row in above)
            texts = ", ".join(measured_text(per * row["excitation"], error).partition(" ±")[0] for row in above)
            bar = measured_text(0.0, error).partition("± ")[2]
            yield "excited", f"{texts} eV above the lowest{more}{f' (± {bar} at most)' if bar else ''}"
        if alike := ", ".join(_alike_levels(result.table)):
            yield "alike", f"levels {alike}: each within two errors of the next"
        return
    fitted = [*curve_texts(result.curve)]
    yield from fitted
    if fitted:
        return
    claims = sum(bool(row.get("converged")) for row in result.table)
    yield "points", f"{claims} of {len(result.table)} converged; `hybridloop runs show` lists them"


def _alike_levels(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield groups of levels that are each within two errors of the next, as "0 to 1".

    The errors of two levels are added in squares: where parts of them cancel, the levels are nearer than that.
    """
    first = 0
    for number, row in enumerate(rows):
        pair = [row, *rows[number + 1 : number + 2]]
        bars, bounds = zip(
            *((each["standard_error"] or 0.0, each.get("rounding_bound") or 0.0) for each in pair), strict=True
        )
        if len(pair) > 1 and abs(pair[1]["energy"] - row["energy"]) <= 2.0 * math.hypot(*bars) + sum(bounds):
            continue
        if number > first:
            yield f"{first} to {number}"
        first = number + 1


def signed(amount: float, unit: str) -> str:
    """Return an amount with its sign."""
    return f"{'+' if amount >= 0.0 else ''}{amount_text(amount, unit)}"


def _best(result: RunResult) -> str:
    if result.best_value is None:
        return "no measured assignment meets all constraints"
    return next((result.solution[name] for name in VALUES if name in result.solution), f"{result.best_value:.12g}")


def _of_objective(result: RunResult) -> Iterator[tuple[str, str]]:
    if result.best_bitstring is not None:
        named = (result.solution[name] for name in ASSIGNMENTS if name in result.solution)
        yield "best", next(named, f"{result.best_bitstring} (rightmost: variable 0)")
    if result.constraints:
        yield "feasible", constraints_text(result.constraints, result.feasible_share)
    assert result.value is not None
    way = way_from_random(result)
    of = "if feasible" if result.constraints and result.feasible_share else ""
    share = "" if way is None else f", {way[0]:.0%} of the way from random to {way[1]}"
    is_computed = result.is_exact and not result.rounding_bound  # as that of a recursion, which is no mean
    value = f"{measured_text(result.value, result.error_bar)} {of}".rstrip()
    yield "value" if is_computed else "mean", f"{value}{share}"


def _so_far(result: RunResult) -> str:
    if not result.history:
        return "no round is complete"
    last = result.history[-1]
    bar = "(upper bound)" if name_of_progress(result.algorithm) != "round" else ""
    value = measured_text(last.value, last.standard_error)
    return f"{value} {result.unit} so far {bar}".replace("  ", " ").rstrip()


def why(result: RunResult) -> str:
    """Return the first reason to doubt the value, else the reason of the end."""
    return result.warnings[0] if result.warnings else result.reason


def _next_command(result: RunResult) -> str:
    if result.value is None or result.larger_cap:
        return f"hybridloop runs resume {result.run_key} {result.larger_cap}".rstrip()
    return f"hybridloop runs {'show' if result.exit_code else 'report'} {result.run_key}"
