"""Plot of the operators beside the energy: their values with errors, and those of the simulated state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from matplotlib.ticker import MaxNLocator

from hybridloop.reports.plots.curves import find_axis
from hybridloop.reports.plots.request import PlotRequest
from hybridloop.reports.plots.style import BLUE, GREEN, MUTED, ORANGE, PURPLE, Picture, axes_of, hover, legend
from hybridloop.results.result_text import observable_error, observable_text

_MOST_SERIES = 8
_SERIES = ((ORANGE, "s"), (BLUE, "o"), (PURPLE, "D"), (MUTED, "^"))


def observables(request: PlotRequest) -> Picture | None:
    """Draw the operators of a scan over what varies, or those of one state by their names; None without any.

    Of a scan those that vary most are drawn, eight at most, all of the unit that comes first. What is the same at all
    angles of the circuit is left out.
    """
    result = request.result
    rows = [row for row in result.observables if row["value"] is not None and row["shots"]]
    if not rows:
        return None
    unit, is_scan = rows[0]["unit"], "point" in rows[0]
    rows = [row for row in rows if row["unit"] == unit]
    of_unit = f" ({unit})" if unit else ""
    figure, axes = axes_of(f"{result.problem}: operators beside the energy")
    axes.set_ylabel(f"expectation value{of_unit}")
    if is_scan:
        axis = find_axis([{**row, "problem": row["point"]} for row in result.table], ("problem",), "", request.axis)
        names = [row["point"] for row in result.table]
        places = dict(zip(names, axis.positions if axis else range(1, len(names) + 1), strict=True))
        axes.set_xlabel(axis.label if axis else "point")
        if axis is None:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        series = defaultdict[str, list[Mapping[str, Any]]](list)
        for row in rows:
            series[row["observable"]].append(row)
        drawn = sorted(series, key=lambda name: -_spread(series[name]))[:_MOST_SERIES]
        for number, name in enumerate(each for each in series if each in drawn):
            _draw(axes, [places[row["point"]] for row in series[name]], series[name], name, number)
    else:
        axes.set_xticks(
            range(len(rows)), [row["observable"] for row in rows], rotation=30, ha="right", fontsize="small"
        )
        _draw(axes, list(range(len(rows))), rows, "measured", 0)
    axes.ticklabel_format(axis="y", useOffset=False)
    legend(axes, below=True)
    words = "; ".join(f"{row.get('point', '')} {row['observable']} {observable_text(row)}".strip() for row in rows)
    return Picture("observables", "Operators beside the energy", f"{words}.", figure)


def _draw(axes: Any, places: list[Any], rows: list[Mapping[str, Any]], name: str, number: int) -> None:
    colour, marker = _SERIES[number % len(_SERIES)]
    values = [row["value"] for row in rows]
    errors = [observable_error(row) for row in rows]
    label = f"{name} (± 1 standard error)"
    axes.errorbar(places, values, yerr=errors, fmt=marker, color=colour, markersize=5, capsize=4, label=label)
    known = [(at, row["simulated"]) for at, row in zip(places, rows, strict=True) if row["simulated"] is not None]
    if known:
        axes.plot(*zip(*known, strict=True), "_", color=GREEN, markersize=14, label="simulated state")
    hover(axes, places, values, [f"{row.get('point', name)}: {observable_text(row)}" for row in rows])


def _spread(rows: list[Mapping[str, Any]]) -> float:
    values = [row["value"] for row in rows]
    return float(max(values) - min(values))
