"""Summary of a result: value with error bar, further facts, and the reason of its end; texts are not escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.algorithms.problems.exact_energy_names import ACTIVE_SPACE, is_of_space, name_of_exact_energy
from hybridloop.runs.live import name_of_progress
from hybridloop.runs.live_text import error_text, plus_minus
from hybridloop.runs.result import RunResult
from hybridloop.runs.result_text import amount_text, correlation, ones, shown_facts, upper_bound

MAX_TEXT = 2000  # characters of a value: a circuit's or a problem's text may have a million

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Summary of a result: a headline, facts by name, the reason of its end, warnings and choices."""

    headline: str
    lines: Pairs
    meaning: str
    warnings: tuple[str, ...]
    choices: tuple[str, ...]


def summarize(result: RunResult) -> Answer:
    """Summarize a result; `meaning` is empty for a run in progress."""
    end = f"{result.status.capitalize()}: {result.reason}." if result.reason else ""
    if result.value is None:
        return Answer("No result yet", _latest_value(result), end, result.warnings, result.choices)
    if result.algorithm in ("qaoa", "rqaoa"):
        return _summarize_assignment(result, end)
    unit = f" {result.unit}" if result.unit else ""
    error = result.rounding_bound if result.is_exact else result.standard_error or 0.0
    how = "rounding; the target does not sample" if result.is_exact else "standard error"
    lines = [("Problem", result.problem_title)] if result.problem_title else []
    if result.of_what:
        lines.append(("Energy of", result.of_what))
    if result.is_upper_bound:
        lines.append(("Kind of value", upper_bound(result)))
    else:
        lines.append(("Error bar", f"± {error:.6f}{unit} ({how})"))
    if result.interval95 is not None:
        lines.append(("95 % interval", f"{result.interval95[0]:.6f} to {result.interval95[1]:.6f}{unit}"))
    lines += [
        (source.source.capitalize(), f"{amount_text(source)} ({source.meaning})" if source.amount else source.meaning)
        for source in result.error_budget
    ]
    lines += [(name.capitalize(), text) for name, text in shown_facts(result)]
    lines += _exact_energy(result, unit)
    if (recovered := correlation(result)) is not None:
        lines.append(("Correlation", recovered))
    name = "Hartree-Fock" if result.unit == "hartree" else "Mean of all levels"
    lines.append((name, f"{result.reference:.6f}{unit}"))
    sharp = "" if result.is_precise else " The error bar is wider than the requested precision."
    return Answer(f"{result.value:.6f}{unit}", tuple(lines), end + sharp, result.warnings, result.choices)


def _exact_energy(result: RunResult, unit: str) -> Pairs:
    if result.exact is None or result.error is None:
        return (("Exact energy", "unknown: the problem is too large for diagonalization"),)
    if result.unit != "hartree":
        return (("Exact energy", f"{result.exact:.6f}"), ("Error", f"{result.error:+.6f}"))
    within = "within" if abs(result.error) <= CHEMICAL_ACCURACY else "outside"
    error = f"{1e3 * result.error:+.3f} mHa, {within} chemical accuracy (1.6 mHa)"
    name = name_of_exact_energy(result.choices).capitalize()
    return (
        (name, f"{result.exact:.6f}{unit}"),
        (f"Error in the {ACTIVE_SPACE}" if is_of_space(result.choices) else "Error", error),
    )


def _summarize_assignment(result: RunResult, end: str) -> Answer:
    assert result.value is not None
    error = plus_minus(result.standard_error or 0.0, result.rounding_bound)
    ratio = "" if result.approximation_ratio is None else f", approximation ratio {result.approximation_ratio:.4f}"
    lines = [("Problem", result.problem_title)] if result.problem_title else []
    lines += [(name.capitalize(), text) for name, text in result.solution.items()]
    lines.append(("Optimum", "unknown: too many assignments" if result.exact is None else f"{result.exact:g}"))
    if result.best_bitstring is not None:
        lines.append(("Assignment", f"{format_value(result.best_bitstring)} (rightmost: variable 0)"))
    if not result.solution and (names := ones(result)):
        lines.append(("Variables at 1", names))
    if result.algorithm == "rqaoa":
        lines.append(("Value of the recursion", f"{result.value:g}{ratio}"))
    else:
        lines.append(("Mean of the shots", f"{result.value:.6f} {error}{ratio}"))
    lines.append(("Mean of all assignments", f"{result.reference:g}"))
    best = "no measured assignment meets the constraint" if result.best_value is None else f"{result.best_value:g}"
    return Answer(best, tuple(lines), end, result.warnings, result.choices)


def _latest_value(result: RunResult) -> Pairs:
    if not result.history:
        return (("So far", "no round is complete"),)
    last = result.history[-1]
    bar = error_text(last.standard_error, name_of_progress(result.algorithm))
    return (("So far", f"{last.value:.6f} {bar} {result.unit}".rstrip()),)


def format_cost(cost: Mapping[str, float]) -> str:
    """Format amounts by unit."""
    return ", ".join(f"{amount:,.2f} {unit}" for unit, amount in sorted(cost.items()))


def format_value(value: object) -> str:
    """Format a plain value for a cell of a table."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case str():
            return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}… ({len(value):,} characters)"
        case list() | tuple():
            return ", ".join(map(format_value, value)) if value else "–"
        case Mapping():
            return ", ".join(f"{name} {format_value(part)}" for name, part in value.items()) if value else "–"
    return json.dumps(value)
