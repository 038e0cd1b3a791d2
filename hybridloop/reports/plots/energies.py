"""Plots of energies against exact ones: the result's interval, levels, a scan's curve, ADAPT-VQE's growth."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.errors import HybridloopError
from hybridloop.reports.plots import curves
from hybridloop.reports.plots.computed_curve import computed_curve
from hybridloop.reports.plots.request import PlotRequest
from hybridloop.reports.plots.style import BLUE, GREEN, MUTED, ORANGE, Picture, axes_of, legend
from hybridloop.results.result import RunResult
from hybridloop.results.result_text import error_of, measured_text

_MILLI = 1e3
_MARGIN = 1.3  # of the largest value shown


def energy(request: PlotRequest) -> Picture | None:
    """Draw the energy with its 95 % interval beside the exact one, on an axis scaled to show both."""
    result = request.result
    if result.value is None or result.reference is None:
        return None
    of_molecule = result.unit == "hartree"
    scale, unit = (_MILLI, "mHa") if of_molecule else (1.0, "")
    origin = result.value if result.exact is None else result.exact
    in_unit = f" ({unit})" if unit else ""
    origin_name = "the value" if result.exact is None else "exact"
    value, reference = (scale * (energy - origin) for energy in (result.value, result.reference))
    low, high = _interval(result)
    low, high = scale * (low - origin), scale * (high - origin)
    figure, axes = axes_of(f"{result.problem}: energy and its 95 % interval", (5.4, 2.4))
    reach = _MARGIN * max(abs(low), abs(high), scale * CHEMICAL_ACCURACY if of_molecule else 1e-12)
    axes.errorbar(
        [value],
        [0.0],
        xerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
        fmt="s",
        color=ORANGE,
        capsize=5,
        label="result, 95 % interval",
    )
    if result.exact is not None:
        axes.axvline(0.0, color=GREEN, linewidth=1.5, label="exact")
        if of_molecule:
            band = scale * CHEMICAL_ACCURACY
            axes.axvspan(-band, band, color=GREEN, alpha=0.12, linewidth=0, label="chemical accuracy")
    name = "Hartree-Fock" if of_molecule else "mean of all"
    if abs(reference) <= reach:
        axes.axvline(reference, color=MUTED, linestyle=":", label=name)
    else:
        side, mark = (0.99, "→") if reference > 0 else (0.01, "←")
        label = f"{name} {reference:+.1f} {unit}"
        label = f"{label} {mark}" if reference > 0 else f"{mark} {label}"
        axes.text(side, 0.9, label, transform=axes.transAxes, ha="right" if reference > 0 else "left", color=MUTED)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-1.0, 1.0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"energy less {origin_name}{in_unit}")
    legend(axes, below=True)
    interval = f"{value - low:.4g} below to {high - value:.4g} above it{in_unit}"
    words = f"The energy is {result.value:.6f}, its 95 % interval {interval}."
    if result.exact is not None:
        words += f" It lies {f'{value:+.4g} {unit}'.rstrip()} from the {result.exact_name}."
    return Picture("energy", "Energy and its interval", words, figure)


def levels(request: PlotRequest) -> Picture | None:
    """Draw levels from the ground state up, each with its standard error and exact energy."""
    result = request.result
    if not result.table:
        return None
    figure, axes = axes_of(f"{result.problem}: energy levels")
    rows = result.table
    numbers = [float(row["level"]) for row in rows]
    exact = [row["exact"] for row in rows]
    if None not in exact:
        low, high = [number - 0.3 for number in numbers], [number + 0.3 for number in numbers]
        axes.hlines(exact, low, high, color=GREEN, linewidth=2, label="exact")
    _measured(axes, numbers, result)
    axes.set_xlabel("level")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axes)
    values = ", ".join(f"Level {row['level']}: {measured_text(row['energy'], error_of(row) or 0.0)}" for row in rows)
    return Picture("levels", "Energy levels", f"{values}.", figure)


def curve(request: PlotRequest) -> Picture | None:
    """Draw the energies of several points over what varies, against the exact ones and Hartree-Fock."""
    result = request.result
    if not result.table:
        return None
    names = {"point": "problem", "energy": "value"}
    rows = [
        {**row, **{names[each]: row[each] for each in names}, "standard_error": error_of(row)} for row in result.table
    ]
    title = f"{result.problem}: energy by point"
    computed = None
    if all(row.get("coordinate") is not None and row["exact"] is not None for row in result.table):
        with suppress(HybridloopError):  # such as without its journal
            computed = computed_curve(request.load(), result.table)
    return curves.curve(title, rows, ("problem",), result.unit, label=request.axis, fit=result.curve, computed=computed)


def growth(request: PlotRequest) -> Picture | None:
    """Draw ADAPT-VQE's energy after each operator."""
    result = request.result
    if not result.table or result.reference is None:
        return None
    figure, axes = axes_of(f"{result.problem}: energy by number of operators")
    rows = [row for row in result.table if row["energy"] is not None]
    energies = [result.reference, *(row["energy"] for row in rows)]
    axes.plot(range(len(energies)), energies, "o-", color=BLUE, linewidth=1, label="energy of the search")
    axes.axhline(result.reference, color=MUTED, linestyle=":", label="Hartree-Fock, no operator")
    if result.exact is not None:
        axes.axhline(result.exact, color=GREEN, linewidth=1.2, label="exact")
    axes.set_xlabel("operators")
    axes.set_ylabel("energy (hartree)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.ticklabel_format(axis="y", useOffset=False)
    legend(axes)
    values = ", ".join(f"{number} {energy:.6f}" for number, energy in enumerate(energies))
    return Picture("growth", "Energy by number of operators", f"Operators and energy: {values}.", figure)


def _measured(axes: Axes, positions: Sequence[float], result: RunResult) -> None:
    axes.errorbar(
        positions,
        [row["energy"] for row in result.table],
        yerr=[error_of(row) or 0.0 for row in result.table],
        fmt="s",
        color=ORANGE,
        markersize=5,
        capsize=4,
        label="measured (± 1 standard error)",
    )
    axes.set_ylabel("energy (hartree)" if result.unit == "hartree" else "energy")
    axes.ticklabel_format(axis="y", useOffset=False)


def _interval(result: RunResult) -> tuple[float, float]:
    assert result.value is not None
    return result.interval95 or (result.value, result.value)
