"""What `hybridloop run …` and `runs resume` print of a run that has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hybridloop.cli.output import print_json, print_table, say
from hybridloop.home import home

if TYPE_CHECKING:
    from hybridloop.flows.results import RunResult

# What is shown of a result's table; the rest is for programs.
_COLUMNS: Mapping[str, Sequence[str]] = {
    "adapt": ("emptied", "filled", "gradient", "gradient_error", "expected_left", "energy"),
    "scan": ("point", "energy", "standard_error", "exact", "error", "rounds", "circuits", "converged"),
    "vqd": ("level", "energy", "standard_error", "exact", "overlap", "electrons", "converged"),
}
_OF_ASSIGNMENTS = frozenset({"qaoa", "rqaoa"})
MOST_NAMES = 12  # on a line
PARTIAL = frozenset({"stopped", "parked"})


def tell(result: RunResult, *, as_json: bool) -> None:
    """Print a run's result; leaves with 3 where there is none yet."""
    picture = _save_picture(result)
    if as_json:
        print_json({**result.as_dict(), "picture": str(picture) if picture else None})
    else:
        _print(result, picture)
    if result.status in PARTIAL:
        raise typer.Exit(3)


def _save_picture(result: RunResult) -> Path | None:
    """Where the picture is; None, and a word about it, where none can be written: the result is worth more."""
    path = home() / "pictures" / f"{result.run_key}.svg"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        result.plot(str(path))
    except OSError as error:
        say(f"hybridloop: the picture can't be written to {path} ({error.strerror})")
        return None
    return path


def _print(result: RunResult, picture: Path | None) -> None:
    print(f"{result.problem} on {result.target}: {result.status} ({result.reason})")
    if result.value is None:
        _print_so_far(result)
    else:
        _print_value(result)
    for warning in result.warnings:
        print(f"  warning    {warning}")
    for choice in result.choices:
        print(f"  {choice.replace(': ', ' ' * (10 - choice.index(':')) + ' ', 1)}")
    _print_table(result)
    effort = f"{_count(result.rounds, 'round')}, {_count(result.jobs, 'job')}, {_count(result.shots, 'shot')}"
    print(f"  effort     {effort}, {result.wall_seconds:.1f} s")
    print(f"  cost       {_cost(result)}")
    for session in result.sessions:
        print(f"  session    {session.id} {session.status}")
    print(f"  run        {result.run_key}{' (resumed)' if result.resumed else ''}")
    if picture:
        print(f"  picture    {picture}")


def _print_value(result: RunResult) -> None:
    if result.algorithm in _OF_ASSIGNMENTS:
        _print_assignment(result)
        return
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
    print(f"  energy     {result.value:.6f}{result.unit and f' {result.unit}'} {sharpness}{short}")
    print(f"  error      {error}")


def _print_table(result: RunResult) -> None:
    """What a run has beside its value: a row for each operator or level."""
    if result.table and (columns := _COLUMNS.get(result.algorithm)):
        print()
        print_table(columns, [{name: _in_words(row[name]) for name in columns} for row in result.table])
        print()


def _in_words(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _print_assignment(result: RunResult) -> None:
    assert result.value is not None
    best = "none that was seen meets the constraint"
    if result.best_bitstring is not None:
        best = f"{result.best_value:g} at {result.best_bitstring} (rightmost: variable 0)"
    known = "unknown: too many assignments to go through"
    if result.exact is not None:
        known = f"{result.exact:g}"
    ratio = "" if result.approximation_ratio is None else f", approximation ratio {result.approximation_ratio:.4f}"
    print(f"  best seen  {best}")
    if names := _ones(result):
        print(f"  with 1     {names}")
    print(f"  optimum    {known}")
    if result.algorithm == "rqaoa":  # no estimate
        print(f"  recursion  came to {result.value:g}{ratio}")
    else:
        error = result.rounding_bound if result.is_exact else result.standard_error
        print(f"  objective  {result.value:.6f} ± {error:.6f} on average{ratio}")


def _ones(result: RunResult) -> str:
    """The variables that are 1 in the best assignment, where they have names of their own."""
    if all(row["variable"] == str(place) for place, row in enumerate(result.table)):
        return ""
    names = [row["variable"] for row in result.table if row["value"]]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) or "none") + more


def _print_so_far(result: RunResult) -> None:
    best = result.history[-1] if result.history else None
    so_far = (
        "no round is complete"
        if best is None
        else f"{best.value:.6f} ± {best.standard_error:.6f} {result.unit}".rstrip()
    )
    print(f"  so far     {so_far}")
    print(f"  go on      hybridloop runs resume {result.run_key}")


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}{'' if number == 1 else 's'}"


def _cost(result: RunResult) -> str:
    """What the service billed; it states amounts by unit, or none."""
    return ", ".join(f"{amount:,.2f} {unit}" for unit, amount in result.cost.items()) or "not stated by the service"
