"""Bars of the costs of runs, a panel for each unit; of jobs where nothing costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hybridloop.reports.costs import CostRow
from hybridloop.reports.plots.style import BLUE, Picture, axes_of

_MOST = 20  # bars; further groups are summed in one


def cost_bars(rows: Sequence[CostRow], title: str, unit: str | None = None) -> Picture:
    """Draw what each group cost in `unit`, local and unbilled amounts included (None: the number of its jobs)."""
    amounts = [(row.name, float(row.jobs) if unit is None else amount_in(row, unit)) for row in rows]
    shown = sorted(amounts, key=lambda named: -named[1])
    if len(shown) > _MOST:
        rest = shown[_MOST - 1 :]
        shown = [*shown[: _MOST - 1], (f"{len(rest)} others", sum(amount for _, amount in rest))]
    label = "jobs" if unit is None else unit
    figure, axes = axes_of(title, (7.0, 1.2 + 0.3 * len(shown)))
    names, values = [name[-40:] for name, _ in shown][::-1], [value for _, value in shown][::-1]
    bars = axes.barh(range(len(shown)), values, color=BLUE)
    axes.set_yticks(range(len(shown)), names)
    axes.bar_label(bars, [f"{value:,.0f}" if unit is None else f"{value:,.2f}" for value in values], padding=3)
    axes.set_xlabel(label)
    axes.margins(x=0.15)
    words = "; ".join(f"{name}: {value:,.2f} {label}" for name, value in shown)
    return Picture("cost", title, f"{title}. {words}.", figure)


def amount_in(row: CostRow, unit: str) -> float:
    """Return what a group cost in a unit, local and unbilled amounts included."""
    return math.fsum(amounts.get(unit, 0.0) for amounts in _kinds(row))


def unit_to_draw(rows: Sequence[CostRow]) -> str | None:
    """Return the unit that most groups have cost in; None where nothing costs."""
    units = [unit for row in rows for unit in {}.fromkeys(unit for each in _kinds(row) for unit in each)]
    return max(sorted(set(units)), key=units.count) if units else None


def _kinds(row: CostRow) -> Sequence[Mapping[str, float]]:
    return row.billed, row.unbilled, row.reserved, row.local
