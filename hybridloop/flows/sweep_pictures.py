"""A sweep as a picture, made without a screen: its values over what was varied, against the exact ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hybridloop.flows.sweep_results import SweepResult, axis_of

_MOST_SERIES = 8
_MOST_NAMES = 24


def curve(result: SweepResult) -> Figure:
    """Values with their standard errors over the axis, a series for each combination of what else was varied."""
    rows = [row for row in result.rows if row["value"] is not None]
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    missing = len(result.rows) - len(rows)
    axes.set_title(f"{result.name}: {len(rows)} points" + (f", {missing} without a result" if missing else ""))
    axes.set_ylabel(f"value ({result.unit})" if result.unit else "value")
    if not rows:
        return figure
    found = axis_of(rows, result.varied)
    name, places = found or ("point", [float(number) for number, _ in enumerate(rows, start=1)])
    series: defaultdict[str, list[tuple[float, Mapping[str, Any]]]] = defaultdict(list)
    for place, row in zip(places, rows, strict=True):
        series[_series(row, result.varied, name) if found else ""].append((place, row))
    if len(series) > _MOST_SERIES:
        series = defaultdict(list, {"": [each for every in series.values() for each in every]})
    for label, members in series.items():
        members.sort(key=lambda each: each[0])
        axes.errorbar(
            [place for place, _ in members],
            [row["value"] for _, row in members],
            yerr=[row["standard_error"] for _, row in members],
            fmt="o" if found else "s",
            markersize=4,
            capsize=2,
            label=f"{label or 'measured'} (± 1 standard error)",
        )
    exact = sorted({(place, row["exact"]) for place, row in zip(places, rows, strict=True) if row["exact"] is not None})
    if exact:
        axes.plot(*zip(*exact, strict=True), "-" if found else "_", color="#2c7a3f", linewidth=1, label="exact")
    axes.set_xlabel(name)
    if found is None:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(rows) <= _MOST_NAMES:
            axes.set_xticks(places, [str(row["problem"]) for row in rows], rotation=60, ha="right", fontsize="small")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.legend(fontsize="small", framealpha=0.9)
    return figure


def _series(row: Mapping[str, Any], varied: tuple[str, ...], axis: str) -> str:
    names = [each for each in ("problem", *varied) if each != axis]
    if axis not in varied:  # the axis is the problem's
        names.remove("problem")
    return ", ".join(str(row[each]) if each == "problem" else f"{each} {row.get(each)}" for each in names)
