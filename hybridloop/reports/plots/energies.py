"""Energies against exact ones: the answer with its interval, levels, a scan's curve, a circuit that grew."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hybridloop.reports.plots.style import BLUE, GREEN, MUTED, ORANGE, Picture, axes_of, axis_of, legend
from hybridloop.runs.result import CHEMICAL_ACCURACY, RunResult

_MILLI = 1e3
_ROOM = 1.3  # of the widest that is to be seen
_MOST_NAMES = 24


def energy(result: RunResult) -> Picture:
    """The answer with its 95 % interval beside the exact energy; so near that both can be seen."""
    assert result.value is not None
    of_molecule = result.unit == "hartree"
    scale, unit = (_MILLI, "mHa") if of_molecule else (1.0, "")
    origin = result.value if result.exact is None else result.exact
    known = "the value" if result.exact is None else "exact"
    value, reference = (scale * (each - origin) for each in (result.value, result.reference))
    low, high = _interval(result)
    low, high = scale * (low - origin), scale * (high - origin)
    figure, axes = axes_of(f"{result.problem}: energy and its 95 % interval", (7.0, 2.2))
    reach = _ROOM * max(abs(low), abs(high), scale * CHEMICAL_ACCURACY if of_molecule else 1e-12)
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
        words = f"{name} {reference:+.1f} {unit} {mark}" if reference > 0 else f"{mark} {name} {reference:+.1f} {unit}"
        axes.text(side, 0.9, words, transform=axes.transAxes, ha="right" if reference > 0 else "left", color=MUTED)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-1.0, 1.0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"energy less {known}{f' ({unit})' if unit else ''}")
    legend(axes, below=True)
    said = f"The energy is {result.value:.6f}, its 95 % interval {value - low:.4g} below to {high - value:.4g} above it"
    said += f"{f' ({unit})' if unit else ''}."
    if result.exact is not None:
        said += f" It lies {value:+.4g}{f' {unit}' if unit else ''} from the exact energy."
    return Picture("energy", "Energy and its interval", said, figure)


def levels(result: RunResult) -> Picture:
    """Levels from the ground state up, each with its standard error and its exact energy."""
    figure, axes = axes_of(f"{result.problem}: energy levels")
    rows = result.table
    places = [float(row["level"]) for row in rows]
    exact = [row["exact"] for row in rows]
    if all(each is not None for each in exact):
        low, high = [each - 0.3 for each in places], [each + 0.3 for each in places]
        axes.hlines(exact, low, high, color=GREEN, linewidth=2, label="exact")
    _measured(axes, places, result)
    axes.set_xlabel("level")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axes)
    found = ", ".join(f"Level {row['level']}: {row['energy']:.6f} ± {row['standard_error']:.6f}" for row in rows)
    return Picture("levels", "Energy levels", f"{found}.", figure)


def curve(result: RunResult) -> Picture:
    """The energies of a scan's points in their order, against the exact ones and Hartree-Fock."""
    rows, names = result.table, [str(row["point"]) for row in result.table]
    places, axis = _places(names)
    figure, axes = axes_of(f"{result.problem}: energy by point")
    for column, colour, style, label in (("reference", MUTED, ":", "Hartree-Fock"), ("exact", GREEN, "-", "exact")):
        known = sorted((at, row[column]) for at, row in zip(places, rows, strict=True) if row[column] is not None)
        if known:
            axes.plot(*zip(*known, strict=True), style, color=colour, linewidth=1.2, label=label)
    _measured(axes, places, result)
    axes.set_xlabel(axis or "point")
    if axis is None and len(names) <= _MOST_NAMES:
        axes.set_xticks(places, names, rotation=30, ha="right", fontsize="small")
    legend(axes)
    found = ", ".join(f"{row['point']}: {row['energy']:.6f} ± {row['standard_error']:.6f}" for row in rows)
    return Picture("curve", "Energy by point", f"{found}.", figure)


def growth(result: RunResult) -> Picture:
    """The energy after each operator that a circuit grew by."""
    figure, axes = axes_of(f"{result.problem}: energy by number of operators")
    rows = [row for row in result.table if row["energy"] is not None]
    energies = [result.reference, *(row["energy"] for row in rows)]
    places = list(range(len(energies)))
    axes.plot(places, energies, "o-", color=BLUE, linewidth=1, label="energy of the search")
    axes.axhline(result.reference, color=MUTED, linestyle=":", label="Hartree-Fock, no operator")
    if result.exact is not None:
        axes.axhline(result.exact, color=GREEN, linewidth=1.2, label="exact")
    axes.set_xlabel("operators")
    axes.set_ylabel("energy (hartree)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.ticklabel_format(axis="y", useOffset=False)
    legend(axes)
    found = ", ".join(f"{place} {energy:.6f}" for place, energy in zip(places, energies, strict=True))
    return Picture("growth", "Energy by number of operators", f"Operators and energy: {found}.", figure)


def _measured(axes: Axes, places: Sequence[float], result: RunResult) -> None:
    """The energies of the table's rows, each with its standard error, at their places."""
    axes.errorbar(
        places,
        [row["energy"] for row in result.table],
        yerr=[row["standard_error"] for row in result.table],
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
    if result.is_exact:
        return result.value - result.rounding_bound, result.value + result.rounding_bound
    return result.interval95 or (result.value, result.value)


def _places(names: list[str]) -> tuple[list[float], str | None]:
    """Where to draw the points, and over what: the number that their names end with, else their order."""
    found = axis_of([{"problem": name} for name in names], ["problem"])
    if found is None:
        return [float(number) for number in range(len(names))], None
    return found[1], found[0]
