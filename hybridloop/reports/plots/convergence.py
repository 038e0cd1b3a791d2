"""Convergence plot: the value of each round with its standard error, and reference values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.descriptions import ALGORITHMS, Subject, Value
from hybridloop.reports.plots.request import PlotRequest
from hybridloop.reports.plots.style import BLUE, GREEN, MUTED, ORANGE, Picture, axes_of, hover, legend
from hybridloop.results.live import ITERATION, ROUND, name_of_progress
from hybridloop.results.live_text import error_text, plus_minus
from hybridloop.results.result import RunResult
from hybridloop.targets.provider_options import target_text

if TYPE_CHECKING:
    from hybridloop.algorithms.outcome import RoundProgress

_STYLES = {"search": (BLUE, "o"), "final": (ORANGE, "s")}
MAX_MARKERS = 200  # above, a line with a band: thousands of markers make a file of megabytes and overlap


def of_rounds(request: PlotRequest) -> Picture | None:
    """Draw the value by round, where there is a round."""
    return convergence(request.result) if request.result.history else None


def convergence(result: RunResult) -> Picture:
    """Draw the value by round with its standard error, the final 95 % interval, and reference values."""
    summary, counted, is_series = result.status, name_of_progress(result.algorithm), _is_series(result)
    if result.is_upper_bound:
        summary = f"{result.value:.6f} {result.unit}, an upper bound"
    elif result.interval95 is not None and not is_series:
        error = plus_minus(result.standard_error or 0.0, result.rounding_bound)
        summary = f"{result.value:.6f} {error} {result.unit}".rstrip()
    figure, axes = axes_of(f"{result.problem} on {target_text(result.target, result.provider_options)}: {summary}")
    draw_stretch = _with_bars if len(result.history) <= MAX_MARKERS else _with_band
    for phase, stretch in itertools.groupby(result.history, key=lambda progress: progress.phase):
        if phase in _STYLES:  # each point of a scan, and each level, has its own search
            label = "lowest energy so far" if counted == ITERATION else f"{phase} (± 1 standard error)"
            draw_stretch(axes, list(stretch), label, *_STYLES[phase], counted)
    if not is_series and result.search_value is None:  # which is on another scale than the value
        _references(axes, result)
    axes.set_xlabel(counted)
    name = result.value_name if result.search_value is None else "what the search minimizes, with penalties"
    axes.set_ylabel(f"{name} ({result.unit})" if result.unit else name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.ticklabel_format(axis="y", useOffset=False)
    legend(axes)
    return Picture("convergence", f"Value by {counted}", _describe(result), figure)


def _is_series(result: RunResult) -> bool:
    """Return whether each stretch of rounds is of another problem."""
    return ALGORITHMS[result.algorithm].subject is Subject.SERIES


def _references(axes: Axes, result: RunResult) -> None:
    of_molecule, of_energy = result.unit == "hartree", result.value_name == Value.ENERGY
    reference = "Hartree-Fock" if of_molecule else "mean of all"
    if result.reference is not None:
        axes.axhline(result.reference, color=MUTED, linestyle=":", label=reference)
    if result.exact is not None:
        axes.axhline(result.exact, color=GREEN, linewidth=1, label="exact" if of_energy else "optimum")
    if result.exact is not None and of_molecule:
        band = (result.exact - CHEMICAL_ACCURACY, result.exact + CHEMICAL_ACCURACY)  # measured energies may lie below
        axes.axhspan(*band, color=GREEN, alpha=0.12, linewidth=0, label="chemical accuracy")
    if result.interval95 is not None:
        axes.axhspan(*result.interval95, color=ORANGE, alpha=0.18, linewidth=0, label="result, 95 % interval")


def _with_bars(axes: Axes, rounds: Sequence[RoundProgress], label: str, colour: str, marker: str, counted: str) -> None:
    axes.errorbar(
        [progress.round for progress in rounds],
        [progress.value for progress in rounds],
        yerr=[progress.standard_error for progress in rounds],
        fmt=f"{marker}-",
        color=colour,
        markersize=4,
        linewidth=1,
        capsize=2,
        label=label,
    )
    phases = [f", {row.phase}" if counted == ROUND else "" for row in rounds]
    texts = [
        f"{counted} {row.round}{phase}: {row.value:.6f} {error_text(row.standard_error, counted)}"
        for row, phase in zip(rounds, phases, strict=True)
    ]
    hover(axes, [row.round for row in rounds], [row.value for row in rounds], texts)


def _with_band(
    axes: Axes, rounds: Sequence[RoundProgress], label: str, colour: str, _marker: str, _counted: str
) -> None:
    numbers = [progress.round for progress in rounds]
    axes.plot(numbers, [progress.value for progress in rounds], color=colour, linewidth=0.8, label=label)
    low, high = ([progress.value + sign * progress.standard_error for progress in rounds] for sign in (-1, 1))
    axes.fill_between(numbers, low, high, color=colour, alpha=0.25, linewidth=0)


def _describe(result: RunResult) -> str:
    if not result.history:
        return "No round is complete yet."
    ends = (("first", result.history[0]), ("last", result.history[-1]))[: len(result.history)]
    counted = name_of_progress(result.algorithm)
    values = ", ".join(
        f"the {which} found {row.value:.6f} {error_text(row.standard_error, counted)}" for which, row in ends
    )
    words = f"{len(result.history)} {counted}{'' if len(result.history) == 1 else 's'}: {values}."
    if result.exact is not None and not _is_series(result):
        name = result.exact_name if result.unit else "optimum"
        words += f" The {name} is {result.exact:.6f}."
    return words
