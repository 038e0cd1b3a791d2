"""Text of a result: its answer in the problem's terms, its effort, and its table, as lines and as HTML."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hybridloop.algorithms.error_budget import ErrorSource
from hybridloop.algorithms.problems.energy_units import PER_HARTREE
from hybridloop.algorithms.problems.exact_energy_names import name_of_correlation_energy, name_of_exact_energy
from hybridloop.azure.provider_options import target_text
from hybridloop.runs.live import name_of_progress
from hybridloop.runs.live_text import error_text, plus_minus
from hybridloop.runtime.durations import format_duration
from hybridloop.runtime.text_table import format_cell, join_list

if TYPE_CHECKING:
    from hybridloop.runs.result import RunResult

# columns of a result's table in text; the others are for programs
COLUMNS: Mapping[str, Sequence[str]] = {
    "adapt": ("emptied", "filled", "gradient", "gradient_error", "expected_left", "energy"),
    "scan": ("point", "energy", "standard_error", "exact", "error", "rounds", "circuits", "converged"),
    "vqd": ("level", "energy", "standard_error", "exact", "overlap", "electrons", "converged"),
    "sqd": ("space", "energy", "standard_error", "determinants", "share", "variance", "spin_squared"),
    "levels": (
        *("level", "energy", "standard_error", "exact", "noise_bias"),
        *("excitation", "multiplicity", "electrons", "symmetry"),
    ),
}
FACT_LABELS = {
    "locally_optimal": "optimal",
    "no_operator_outside": "complete",
    "self_consistent": "stable",
    "little_left": "left",
}  # the error is a line of its own
SHOWN = {True: "shown", False: "not shown", None: "not examined"}
MOST_NAMES = 12  # on a line
TABLES = {
    "vqd": "Levels",
    "levels": "Levels",
    "sqd": "Subspaces",
    "scan": "Points",
    "adapt": "Operators",
}  # titles of the tables
_OF_ASSIGNMENTS = frozenset({"qaoa", "rqaoa"})
_CELL = "text-align:left;padding:0 1em 0 0"


def heading(result: RunResult) -> str:
    """Return the problem, the target, and the status with its reason."""
    target = target_text(result.target, result.provider_options)
    return f"{result.problem} on {target}: {result.status} ({result.reason})"


def answer(result: RunResult, unit: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield the facts of the value by name, with warnings and choices, and energies in another unit if one is given.

    Raises InputError for an unknown unit.
    """
    if result.problem_title:
        yield "problem", result.problem_title
    if result.value is None:
        yield from _so_far(result)
    elif result.algorithm in _OF_ASSIGNMENTS:
        yield from _assignment(result)
    else:
        yield from _energy(result, unit)
    for warning in result.warnings:
        yield "warning", warning
    for choice in result.choices:
        name, _, text = choice.partition(": ")
        yield name, text


def effort(result: RunResult) -> Iterator[tuple[str, str]]:
    """Yield the facts of the effort by name."""
    taken = f"{_count(result.rounds, 'round')}, {_count(result.jobs, 'job')}, {_count(result.shots, 'shot')}"
    yield "effort", f"{taken}, {format_duration(result.wall_seconds)}"
    yield "cost", _cost(result)
    for session in result.sessions:
        yield "session", f"{session.id} {session.status}"
    yield "run", f"{result.run_key}{' (resumed)' if result.resumed else ''}"


def table(result: RunResult) -> list[dict[str, object]]:
    """Return the rows of the result's table with the columns that are shown; empty for most algorithms."""
    columns = COLUMNS.get(result.algorithm, ())
    return [{name: join_list(row[name]) for name in columns} for row in result.table] if columns else []


def as_html(result: RunResult) -> str:
    """Return the result as HTML, in which all of its text is escaped."""
    facts = "".join(
        f'<tr><th scope="row" style="{_CELL};font-weight:normal;opacity:.7">{html.escape(name)}</th>'
        f'<td style="{_CELL}">{html.escape(text)}</td></tr>'
        for name, text in (*answer(result), *effort(result))
    )
    caption = f'<caption style="{_CELL};font-weight:bold">{html.escape(heading(result))}</caption>'
    return f"<div><table>{caption}{facts}</table>{_table_as_html(table(result))}</div>"


def _table_as_html(rows: Sequence[Mapping[str, object]]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col" style="{_CELL}">{html.escape(name)}</th>' for name in rows[0])
    lines = (
        "".join(f'<td style="{_CELL}">{html.escape(format_cell(cell))}</td>' for cell in row.values()) for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _energy(result: RunResult, unit: str | None) -> Iterator[tuple[str, str]]:
    error = "unknown: the problem is too large to diagonalize"
    if result.error is not None:
        amount = f"{result.error * 1e3:+.3f} mHa" if result.unit == "hartree" else f"{result.error:+.6f}"
        error = f"{amount} against the {name_of_exact_energy(result.choices)}"
    sharpness = (
        f"± {result.rounding_bound:.6f} (rounding; the target does not sample)"
        if result.is_exact
        else f"± {result.standard_error:.6f} (standard error)"
    )
    if result.is_upper_bound:
        sharpness = f"({upper_bound(result)})"
    short = "" if result.is_precise else ", wider than the requested precision"
    yield "energy", f"{result.value:.6f}{result.unit and f' {result.unit}'} {sharpness}{short}"
    yield "error", error
    if unit is not None:
        yield "also", _in_unit(result, unit)
    if (recovered := correlation(result)) is not None:
        yield "recovered", recovered
    if result.error_budget:
        yield "budget", ", ".join(f"{source.source} {amount_text(source)}" for source in result.error_budget)
    if result.of_what:
        yield "of", result.of_what
    yield from shown_facts(result)


def upper_bound(result: RunResult) -> str:
    """Return what an upper bound bounds: `exact` is of the molecule's spin, and a state of another may lie lower."""
    if result.error is not None and result.error < -result.rounding_bound:
        return "an upper bound on the lowest energy of any spin"
    return "an upper bound: the exact energy is not above it"


def shown_facts(result: RunResult) -> Iterator[tuple[str, str]]:
    """Yield what was shown of an energy beside its value: spin and electrons, the optimum, the circuit's reach."""
    if result.spin_squared is not None:
        squared = f"⟨S²⟩ {_conserved(result.spin_squared, result.spin_squared_error)}"
        yield "spin", f"{squared}, electrons {_conserved(result.electrons, result.electrons_error)}"
    for fact in result.facts:
        if fact.name in FACT_LABELS:
            yield FACT_LABELS[fact.name], f"{SHOWN[fact.shown]}: {fact.reason}"


def _in_unit(result: RunResult, unit: str) -> str:
    per_hartree, energy = PER_HARTREE.get(unit, 0.0), result.value_in(unit)
    error = per_hartree * (result.rounding_bound if result.is_exact else result.standard_error or 0.0)
    digits = max(0, 6 - math.floor(math.log10(per_hartree)))
    bar = "(an upper bound)" if result.is_upper_bound else f"± {error:.{digits}f}"
    off = ""
    if result.error is not None:
        off = f", {per_hartree * result.error:+.{digits}f} against the {name_of_exact_energy(result.choices)}"
    return f"{energy:.{digits}f} {unit} {bar}{off}"


def correlation(result: RunResult) -> str | None:
    """Return how much of the correlation energy was found; None for values that have none."""
    if result.unit != "hartree" or result.value is None:
        return None
    error = result.rounding_bound if result.is_exact else result.standard_error or 0.0
    name = name_of_correlation_energy(result.choices)
    if result.exact is None:
        bar = "" if result.is_upper_bound else f" ± {1e3 * error:.3f}"
        found = f"{1e3 * (result.value - result.reference):.3f}{bar} mHa"
        return f"{found} of {name}; the whole is unknown"
    if (recovered := result.correlation_recovered) is None:
        return None
    whole = result.exact - result.reference
    bar = "" if result.is_upper_bound else f" ± {abs(error / whole):.1%}"
    return f"{recovered:.1%}{bar} of the {name}, {1e3 * whole:.3f} mHa"


def amount_text(source: ErrorSource) -> str:
    """Return an error source's amount with its unit, and its side if it has one; "none" or "unknown" without one."""
    if not source.amount:
        return source.meaning.split(":")[0] if ":" in source.meaning else "none"
    amount = f"{1e3 * source.amount:.2g} mHa" if source.unit == "hartree" else f"{source.amount:.2g}"
    return f"{amount} below" if source.is_one_sided else amount


def _conserved(value: float | None, error: float | None) -> str:
    return f"{value:g} (conserved by the circuit)" if not error else f"{value:.3f} ± {error:.3f}"


def _assignment(result: RunResult) -> Iterator[tuple[str, str]]:
    assert result.value is not None
    best = "no sampled assignment meets the constraint"
    if result.best_bitstring is not None:
        best = f"{result.best_value:g} at {result.best_bitstring} (rightmost: variable 0)"
    ratio = "" if result.approximation_ratio is None else f", approximation ratio {result.approximation_ratio:.4f}"
    if result.solution:
        yield from result.solution.items()
        yield "bits", f"{result.best_bitstring} (rightmost: variable 0)"
        yield from _mean(result, "average", "", ratio)
        return
    known = "unknown: too many assignments to enumerate"
    if result.exact is not None:
        known = f"{result.exact:g}"
    yield "best seen", best
    if names := ones(result):
        yield "with 1", names
    yield "optimum", known
    yield from _mean(result, "objective", " on average", ratio)


def _mean(result: RunResult, name: str, kind: str, ratio: str) -> Iterator[tuple[str, str]]:
    if result.algorithm == "rqaoa":  # no estimate
        yield "recursion", f"came to {result.value:g}{ratio}"
    else:
        error = plus_minus(result.standard_error or 0.0, result.rounding_bound)
        yield name, f"{result.value:.6f} {error}{kind}{ratio}"


def ones(result: RunResult) -> str:
    """Return the named variables that are 1 in the best assignment; empty if the variables have no names."""
    if all(row["variable"] == str(i) for i, row in enumerate(result.table)):
        return ""
    names = [row["variable"] for row in result.table if row["value"]]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) or "none") + more


def _so_far(result: RunResult) -> Iterator[tuple[str, str]]:
    text = "no round is complete"
    if result.history:
        last = result.history[-1]
        bar = error_text(last.standard_error, name_of_progress(result.algorithm))
        text = f"{last.value:.6f} {bar} {result.unit}".rstrip()
    yield "so far", text
    resume = f"hybridloop runs resume {result.run_key}"
    larger_cap = re.search(f"{re.escape(resume)} --\\S+ \\S+ (?=\\(or more\\))", result.reason)
    yield "resume", larger_cap[0].rstrip() if larger_cap else resume


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}{'' if number == 1 else 's'}"


def _cost(result: RunResult) -> str:
    """Return the billed and reserved amounts by unit; the service may state none."""
    unstated = "not stated by the service" if result.jobs or result.pings else "nothing was submitted"
    billed = ", ".join(f"{amount:,.2f} {unit}" for unit, amount in result.cost.items()) or unstated
    return billed + "".join(f"; {amount:,.2f} {unit} reserved" for unit, amount in result.reserved.items())
