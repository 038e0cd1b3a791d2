"""Curve over what was varied: values with error bars, exact ones, and an axis with its unit."""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hybridloop.data import load_table
from hybridloop.reports.plots.computed_curve import ComputedCurve
from hybridloop.reports.plots.style import BLUE, GREEN, MUTED, ORANGE, PURPLE, Picture, axes_of, hover, legend
from hybridloop.results.live_text import bar_text
from hybridloop.results.result_text import measured_text

_LOGARITHMIC = 20.0  # ratio of the largest to the smallest setting, from which its axis is logarithmic
_MAX_SERIES = 8  # of a plot; more are drawn as one
_OF_HYDROGEN = "H–H distance (Å)"
_MAX_NAMES = 24
_LINES: tuple[Any, ...] = (":", "--", "-.", (0, (1, 3)), (0, (6, 2, 1, 2, 1, 2)))  # of the references of problems
_SERIES = ((ORANGE, "s"), (BLUE, "o"), (PURPLE, "D"), (MUTED, "^"))
_NUMBERED = re.compile(r"(?P<name>.*)[-_](?P<number>\d+(\.\d+)?)(?P<unit>Å|A|ang|angstrom|bohr|deg|degrees)?")
_UNITS = {"A": "Å", "ang": "Å", "angstrom": "Å", "deg": "°", "degrees": "°"}
_OF_ENERGY = {"precision": "hartree", "tolerance": "hartree", "gradient_norm": "hartree/rad"}
_NAMES = {"shots": "shots per circuit"}


@dataclass(frozen=True, slots=True)
class Axis:
    """A horizontal axis: its label with a unit, the setting that it is of (empty for problems), and positions."""

    label: str
    setting: str
    positions: tuple[float, ...]

    @property
    def is_logarithmic(self) -> bool:
        """Return True for a setting of several magnitudes, such as shots."""
        low, high = min(self.positions), max(self.positions)
        return bool(self.setting) and low > 0 and high / low >= _LOGARITHMIC


def find_axis(rows: Sequence[Mapping[str, Any]], varied: Sequence[str], unit: str, label: str = "") -> Axis | None:
    """Return the axis of what varies as a number: a setting, a coordinate of geometries, what built-in problems differ
    in, a number in names.

    Seeds come last, since a curve over seeds shows only noise. `label` replaces the label of an axis of problems.
    None if nothing varies as a number.

    >>> find_axis([{"problem": "h2-0.3"}, {"problem": "h2"}], ["problem"], "hartree")
    Axis(label='H–H distance (Å)', setting='', positions=(0.3, 0.735))
    """
    settings = [name for name in varied if name not in ("problem", "seed")]
    for name in settings:
        if numbers := _numbers(rows, name):
            of_energy = _OF_ENERGY.get(name, "") if unit == "hartree" else ""
            text = _NAMES.get(name, name.replace("_", " "))
            return Axis(f"{text} ({of_energy})" if of_energy else text, name, numbers)
    if numbers := _numbers(rows, "coordinate"):
        return Axis(label or str(rows[0]["coordinate_label"]), "", numbers)
    if found := _of_problems([str(row["problem"]) for row in rows]):
        return Axis(label or found[0], "", found[1])
    numbers = _numbers(rows, "seed") if "seed" in varied else ()
    return Axis("seed", "seed", numbers) if numbers else None


def curve(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    varied: Sequence[str],
    unit: str,
    *,
    label: str = "",
    quantity: str = "energy",
    fit: Mapping[str, Any] | None = None,
    computed: ComputedCurve | None = None,
) -> Picture:
    """Draw values with their standard errors over what varied, and exact values.

    Lines join only what does not vary, or what was `computed` between the points. `fit` is the curve's of a scan, whose
    minimum is marked; else its lowest point is. None: neither.

    A row has `problem`, `value` and `standard_error`, the settings of `varied`, and `exact` and `reference` if they are
    known. Each combination of the other settings, without seeds, is a series. Objectives of several problems are drawn
    as their `approximation_ratio` where all have one.
    """
    figure, axes = axes_of(title)
    if ratios := _as_ratios(rows):
        rows, quantity, unit = ratios, "approximation ratio", ""
    in_unit = f"{quantity} ({unit})" if unit else quantity
    axes.set_ylabel(in_unit)
    if not rows:
        return Picture("curve", "No results yet", "No point has a result.", figure)
    axis = find_axis(rows, varied, unit, label)
    positions = tuple(float(number) for number in range(1, len(rows) + 1)) if axis is None else axis.positions
    _references(axes, rows, positions, axis, computed, is_molecule=unit == "hartree")
    series: defaultdict[str, list[tuple[float, Mapping[str, Any]]]] = defaultdict(list)
    for position, row in zip(positions, rows, strict=True):
        series["" if axis is None else _series_label(row, varied, axis)].append((position, row))
    if len(series) > _MAX_SERIES:
        series = defaultdict(list, {"": list(itertools.chain.from_iterable(series.values()))})
    for number, (name, points) in enumerate(series.items()):
        _measured(axes, sorted(points, key=lambda point: point[0]), name, number)
    marked = "" if fit is None else _minimum(axes, fit, rows, positions)
    axes.set_xlabel(axis.label if axis is not None else "point")
    if axis is None:
        _name_points(axes, rows, positions)
    elif axis.is_logarithmic:
        axes.set_xscale("log")
        ticks = sorted(set(positions))
        axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
        axes.set_xticks([], minor=True)
    elif all(position.is_integer() for position in positions):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.ticklabel_format(axis="y", useOffset=False)
    legend(axes, below=True)
    values = ", ".join(f"{row['problem']}: {_with_error(row)}" for row in rows)
    words = f"{values}.{marked and f' Marked: {marked}.'}"
    return Picture("curve", f"{quantity.capitalize()} by {axis.label if axis else 'point'}", words, figure)


def _references(
    axes: Axes,
    rows: Sequence[Mapping[str, Any]],
    positions: Sequence[float],
    axis: Axis | None,
    computed: ComputedCurve | None,
    *,
    is_molecule: bool,
) -> None:
    """Draw the exact and the reference values, once for each problem where the axis is of a setting.

    They are joined where they are the same at all positions, and where a curve was computed.
    """
    reference = "Hartree-Fock" if is_molecule else "mean of all"
    styles = (("reference", MUTED, ":", reference), ("exact", GREEN, "-", "exact"))
    for column, colour, line, label in styles:
        known: defaultdict[str, dict[float, float]] = defaultdict(dict)
        for position, row in zip(positions, rows, strict=True):
            if row.get(column) is not None:
                known[str(row["problem"]) if axis is not None and axis.setting else ""][position] = row[column]
        for number, (problem, points) in enumerate(known.items()):
            if len(known) > 1 and column == "reference":
                line, label = _LINES[number % len(_LINES)], f"{reference} of {problem}"
            at = sorted(points)
            values = [points[position] for position in at]
            if axis is not None and axis.setting and len(set(values)) == 1:
                axes.plot(at, values, line, color=colour, linewidth=1.3, label=label)
            elif computed is not None and axis is not None and not axis.setting:
                axes.plot(computed.positions, computed.column(column), line, color=colour, linewidth=1.3, label=label)
                axes.plot(at, values, ".", color=colour, markersize=4)
            else:
                axes.plot(at, values, "_", color=colour, markersize=14, label=label)


def _as_ratios(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of several binary problems on the scale from the worst assignment, 0, to the best, 1; else none.

    A ratio r = 1 − (best − value) / (best − worst) gives the scale, unless the value is the best.
    """
    scaled = list[dict[str, Any]]()
    for row in rows if len({str(row["problem"]) for row in rows}) > 1 else ():
        ratio, best = row.get("approximation_ratio"), row.get("exact")
        if ratio is None or best is None:
            return []
        width = (best - row["value"]) / (1.0 - ratio) if ratio != 1.0 else math.inf
        reference = row.get("reference")
        reference = None if reference is None or math.isinf(width) else 1.0 - (best - reference) / width
        error = (row["standard_error"] or 0.0) / abs(width)
        scaled.append({**row, "value": ratio, "standard_error": error, "exact": 1.0, "reference": reference})
    return scaled


def _measured(axes: Axes, points: Sequence[tuple[float, Mapping[str, Any]]], name: str, number: int) -> None:
    colour, marker = _SERIES[number % len(_SERIES)]
    at, values = [position for position, _ in points], [row["value"] for _, row in points]
    axes.errorbar(
        at,
        values,
        yerr=[row["standard_error"] or 0.0 for _, row in points],
        fmt=marker,
        color=colour,
        markersize=5,
        capsize=4,
        label=f"{name or 'measured'} (± 1 standard error)",
    )
    hover(axes, at, values, [f"{row['problem']}: {_with_error(row)}" for _, row in points])


def _minimum(axes: Axes, fit: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], positions: Sequence[float]) -> str:
    """Mark the minimum of a fit with its errors, or the lowest point where there is none; return its label."""
    if "distance" in fit:
        at, energy = fit["distance"], fit["energy"]
        name = f"minimum {measured_text(at, fit['distance_error'])} Å (fit)"
        bars = {"xerr": fit["distance_error"], "yerr": fit["energy_error"]}
        axes.errorbar([at], [energy], **bars, fmt="*", color=PURPLE, markersize=11, capsize=3, label=name, zorder=4)
        return name
    lowest = min(range(len(rows)), key=lambda number: float(rows[number]["value"]))
    at, energy, name = positions[lowest], rows[lowest]["value"], f"lowest point, {positions[lowest]:g}"
    axes.plot([at], [energy], "o", color=PURPLE, markersize=13, fillstyle="none", label=name)
    return name


def _with_error(row: Mapping[str, Any]) -> str:
    return f"{row['value']:.6f} {bar_text(row['standard_error'])}"


def _name_points(axes: Axes, rows: Sequence[Mapping[str, Any]], positions: Sequence[float]) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(rows) <= _MAX_NAMES:
        names = [str(row["problem"]) for row in rows]
        axes.set_xticks(positions, names, rotation=30, ha="right", fontsize="small")


def _series_label(row: Mapping[str, Any], varied: Sequence[str], axis: Axis) -> str:
    names = [name for name in dict.fromkeys(("problem", *varied)) if name not in (axis.setting, "seed")]
    if not axis.setting:
        names.remove("problem")
    return ", ".join(str(row[name]) if name == "problem" else f"{name} {row.get(name)}" for name in names)


def _numbers(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[float, ...]:
    """Return a column of numbers; empty if one is no number, or all are the same."""
    values = [row.get(name) for row in rows]
    numbers = tuple(float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool))
    return numbers if len(numbers) == len(rows) and len(set(numbers)) > 1 else ()


def _of_problems(names: Sequence[str]) -> tuple[str, tuple[float, ...]] | None:
    """Return the label and numbers of problems that differ in one number, known or at the end of their names."""
    known = [_built_in_coordinate(name) for name in names]
    labels = {entry[0] for entry in known if entry is not None}
    if None not in known and len(labels) == 1:
        numbers = tuple(entry[1] for entry in known if entry is not None)
        return (labels.pop(), numbers) if len(set(numbers)) > 1 else None
    matches = [match for name in names if (match := _NUMBERED.fullmatch(name))]
    numbers = tuple(float(match["number"]) for match in matches)
    series = {(match["name"], match["unit"]) for match in matches}
    if len(matches) < len(names) or len(set(numbers)) < 2 or len(series) > 1:
        return None
    ((name, unit),) = series
    return (f"{name} ({_UNITS.get(unit, unit)})" if unit else f"number after {name}"), numbers


def _built_in_coordinate(name: str) -> tuple[str, float] | None:
    """Return the label and number of the coordinate of a built-in problem that is a point of a curve."""
    if name == "h2":
        return _OF_HYDROGEN, 0.735
    match = _NUMBERED.fullmatch(name)
    is_hydrogen = match is not None and match["name"] == "h2" and name in load_table("problems")
    return (_OF_HYDROGEN, float(match["number"])) if match is not None and is_hydrogen else None
