"""What a result says, in words: a headline with its error, and what it means; all text is still to be escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from hybridloop.runs.live_text import plus_minus
from hybridloop.runs.result import CHEMICAL_ACCURACY, RunResult, ones

MOST_TEXT = 2000  # characters of a value: a circuit's or a problem's text may have a million

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came out: a headline with its error, further lines, and what it means."""

    headline: str
    lines: Pairs
    meaning: str
    warnings: tuple[str, ...]
    choices: tuple[str, ...]


def answer_of(result: RunResult) -> Answer:
    """What a result says; of a run that is under way `meaning` is empty."""
    ended = f"{result.status.capitalize()}: {result.reason}." if result.reason else ""
    if result.value is None:
        return Answer("No result yet", _so_far(result), ended, result.warnings, result.choices)
    if result.algorithm in ("qaoa", "rqaoa"):
        return _assignment(result, ended)
    unit = f" {result.unit}" if result.unit else ""
    error = result.rounding_bound if result.is_exact else result.standard_error or 0.0
    how = "rounding; the target does not sample" if result.is_exact else "standard error"
    lines = [("Energy of", result.of_what)] if result.of_what else []
    lines.append(("Error bar", f"± {error:.6f}{unit} ({how})"))
    if result.interval95 is not None and not result.is_exact:
        lines.append(("95 % interval", f"{result.interval95[0]:.6f} to {result.interval95[1]:.6f}{unit}"))
    lines += _against_exact(result, unit)
    name = "Hartree-Fock" if result.unit == "hartree" else "Mean of all levels"
    lines.append((name, f"{result.reference:.6f}{unit}"))
    sharp = "" if result.is_precise else " The error bar is wider than was asked for."
    return Answer(f"{result.value:.6f}{unit}", tuple(lines), ended + sharp, result.warnings, result.choices)


def _against_exact(result: RunResult, unit: str) -> Pairs:
    if result.exact is None or result.error is None:
        return (("Exact energy", "not known: the problem is too large to be diagonalized"),)
    if result.unit != "hartree":
        return (("Exact energy", f"{result.exact:.6f}"), ("Error", f"{result.error:+.6f}"))
    within = "within" if abs(result.error) <= CHEMICAL_ACCURACY else "outside"
    said = f"{1e3 * result.error:+.3f} mHa, {within} chemical accuracy (1.6 mHa)"
    return (("Exact energy", f"{result.exact:.6f}{unit}"), ("Error", said))


def _assignment(result: RunResult, ended: str) -> Answer:
    assert result.value is not None
    error = plus_minus(result.standard_error or 0.0, result.rounding_bound)
    ratio = "" if result.approximation_ratio is None else f", approximation ratio {result.approximation_ratio:.4f}"
    lines = [("Optimum", "not known: too many assignments" if result.exact is None else f"{result.exact:g}")]
    if result.best_bitstring is not None:
        lines.append(("Assignment", f"{shown(result.best_bitstring)} (rightmost: variable 0)"))
    if names := ones(result):
        lines.append(("Variables at 1", names))
    if result.algorithm == "rqaoa":
        lines.append(("Recursion came to", f"{result.value:g}{ratio}"))
    else:
        lines.append(("Mean of the shots", f"{result.value:.6f} {error}{ratio}"))
    lines.append(("Mean of all assignments", f"{result.reference:g}"))
    best = "no assignment that was seen meets the constraint"
    if result.best_value is not None:
        best = f"{result.best_value:g}"
    return Answer(best, tuple(lines), ended, result.warnings, result.choices)


def _so_far(result: RunResult) -> Pairs:
    if not result.history:
        return (("So far", "no round is complete"),)
    last = result.history[-1]
    return (("So far", f"{last.value:.6f} {plus_minus(last.standard_error)} {result.unit}".rstrip()),)


def money(cost: Mapping[str, float]) -> str:
    """Amounts by unit."""
    return ", ".join(f"{amount:,.2f} {unit}" for unit, amount in sorted(cost.items()))


def shown(value: object) -> str:
    """A plain value as a cell of a table."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case str():
            return value if len(value) <= MOST_TEXT else f"{value[:MOST_TEXT]}… ({len(value):,} characters)"
        case list() | tuple():
            return ", ".join(map(shown, value)) if value else "–"
        case Mapping():
            return ", ".join(f"{name} {shown(each)}" for name, each in value.items()) if value else "–"
    return json.dumps(value)
