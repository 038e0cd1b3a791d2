"""A run round by round: what each found, with its error, and what it is held against."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hybridloop.reports.plots.style import BLUE, GREEN, MUTED, ORANGE, Picture, axes_of, legend
from hybridloop.runs.live_text import plus_minus
from hybridloop.runs.result import CHEMICAL_ACCURACY, RunResult

if TYPE_CHECKING:
    from hybridloop.algorithms.outcome import RoundProgress

SEVERAL_ENERGIES = ("scan", "vqd")  # whose rounds are of several, which have pictures of their own
MOST_MARKERS = 200  # beyond, a line with a band: thousands of markers make a file of megabytes, and hide each other


def convergence(result: RunResult) -> Picture:
    """Value by round with its standard error, the final value's 95 % interval, and what it is held against."""
    where, ended = f"{result.problem} on {result.target}", result.status
    if result.interval95 is not None and result.algorithm not in SEVERAL_ENERGIES:
        error = plus_minus(result.standard_error or 0.0, result.rounding_bound)
        ended = f"{result.value:.6f} {error} {result.unit}".rstrip()
    figure, axes = axes_of(f"{where}: {ended}")
    for phase, colour, marker in (("search", BLUE, "o"), ("final", ORANGE, "s")):
        _phase(axes, result, phase, colour, marker)
    if result.algorithm not in SEVERAL_ENERGIES:
        _held_against(axes, result)
    axes.set_xlabel("round")
    if result.algorithm in ("qaoa", "rqaoa"):
        axes.set_ylabel("objective")
    else:
        axes.set_ylabel("energy (hartree)" if result.unit == "hartree" else "energy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.ticklabel_format(axis="y", useOffset=False)
    legend(axes)
    return Picture("convergence", "Value by round", _in_words(result), figure)


def mark_accuracy(axes: Axes, exact: float) -> None:
    """The band of chemical accuracy: a measured energy may lie below the exact one."""
    band = (exact - CHEMICAL_ACCURACY, exact + CHEMICAL_ACCURACY)
    axes.axhspan(*band, color=GREEN, alpha=0.12, linewidth=0, label="chemical accuracy")


def _held_against(axes: Axes, result: RunResult) -> None:
    of_molecule, of_energy = result.unit == "hartree", result.algorithm not in ("qaoa", "rqaoa")
    reference = "Hartree-Fock" if of_molecule else "mean of all"
    axes.axhline(result.reference, color=MUTED, linestyle=":", label=reference)
    if result.exact is not None:
        axes.axhline(result.exact, color=GREEN, linewidth=1, label="exact" if of_energy else "optimum")
    if result.exact is not None and of_molecule:
        mark_accuracy(axes, result.exact)
    if result.interval95 is not None:
        axes.axhspan(*result.interval95, color=ORANGE, alpha=0.18, linewidth=0, label="result, 95 % interval")


def _phase(axes: Axes, result: RunResult, phase: str, colour: str, marker: str) -> None:
    label: str | None = f"{phase} (± 1 standard error)"
    for name, stretch in itertools.groupby(result.history, key=lambda each: each.phase):
        if name == phase:  # a scan's next point, or a next level, begins a search of its own
            _stretch(axes, list(stretch), colour, marker, label, are_few=len(result.history) <= MOST_MARKERS)
            label = None


def _stretch(
    axes: Axes, rounds: Sequence[RoundProgress], colour: str, marker: str, label: str | None, *, are_few: bool
) -> None:
    places, values = [each.round for each in rounds], [each.value for each in rounds]
    errors = [each.standard_error for each in rounds]
    if are_few:
        axes.errorbar(
            places,
            values,
            yerr=errors,
            fmt=f"{marker}-",
            color=colour,
            markersize=4,
            linewidth=1,
            capsize=2,
            label=label,
        )
        return
    axes.plot(places, values, color=colour, linewidth=0.8, label=label)
    low, high = ([value + sign * error for value, error in zip(values, errors, strict=True)] for sign in (-1, 1))
    axes.fill_between(places, low, high, color=colour, alpha=0.25, linewidth=0)


def _in_words(result: RunResult) -> str:
    if not result.history:
        return "No round is complete yet."
    ends = (("first", result.history[0]), ("last", result.history[-1]))[: len(result.history)]
    found = ", ".join(f"the {which} found {each.value:.6f} {plus_minus(each.standard_error)}" for which, each in ends)
    said = f"{len(result.history)} round{'' if len(result.history) == 1 else 's'}: {found}."
    if result.exact is not None and result.algorithm not in SEVERAL_ENERGIES:
        said += f" The line it is held against is at {result.exact:.6f}."
    return said
