"""Landscape plot of QAOA: the objective along one or two angles, from a simulation of the circuit, without shots."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from numpy.typing import NDArray

from hybridloop.algorithms.qaoa.angles import WHOLE_VARIABLES, QaoaSimulation
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.errors import InputError
from hybridloop.preparation.binary import read_binary
from hybridloop.preparation.choices.constraints import circuit_of
from hybridloop.reports.plots.request import PlotRequest
from hybridloop.reports.plots.style import BLUE, GREEN, ORANGE, RC, Picture, axes_of, legend
from hybridloop.results.result import RunResult
from hybridloop.runs.stored_run import StoredRun

LINE, GRID = 121, 41  # points along the one angle, and along each of two
LEVELS = 12
_SOURCE = "a simulation of the circuit"

Point = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Landscape:
    """The simulated objective of a result's circuit.

    `reach` (n,) is the distance in radians that is drawn to each side of the result, `names` name the angles.
    """

    result: RunResult
    simulation: QaoaSimulation
    sign: float  # −1 for an objective that is maximized
    reach: Point
    names: tuple[str, ...]

    @property
    def end(self) -> Point:
        """The result's angles (n,) in radians."""
        return np.array(self.result.parameters)

    def values(self, rows: Point) -> Point:
        """Return the objective at points (k, n) in radians."""
        return self.sign * np.array([self.simulation.energy(row) for row in rows])

    def line(self, angle: int, number: int) -> Point:
        """Return so many points along an angle."""
        rows = np.tile(self.end, (number, 1))
        rows[:, angle] += np.linspace(-self.reach[angle], self.reach[angle], number)
        return rows


def of_qaoa(request: PlotRequest) -> Picture | None:
    """Draw along the angles asked for, by default the two of the first layer; None where it is not simulated.

    Raises InputError for angles that the circuit does not have.
    """
    result, angles = request.result, request.angles
    if result.value is None or not result.parameters:
        return None
    landscape = _landscape(request.load(), result)
    if landscape is None:
        return None
    count = len(result.parameters)
    if angles is None:
        angles = (0, count // 2)
    if not 1 <= len(angles) <= 2 or len(set(angles)) < len(angles) or not all(0 <= each < count for each in angles):
        what = f"{list(angles)} are not one or two of the {count} angle(s)"
        raise InputError("angles", what, f"Give different numbers from 0 to {count - 1}.")
    return _along_one(landscape, angles[0]) if len(angles) == 1 else _along_two(landscape, angles[0], angles[1])


def _landscape(run: StoredRun, result: RunResult) -> Landscape | None:
    settings = run.settings
    assert isinstance(settings, QaoaSettings)
    layers = len(result.parameters) // 2
    problem = read_binary(run.problem, settings.objective)
    ansatz = circuit_of(problem, settings.model_copy(update={"layers": layers}), run.record.seed)[0]
    if ansatz.num_states > 1 << WHOLE_VARIABLES:
        return None
    simulation = QaoaSimulation.of(ansatz.cost, ansatz.groups, ansatz.warm_start_angles)
    names = tuple(f"{letter}{_subscript(layer, layers)}" for letter in "βγ" for layer in range(1, layers + 1))
    return Landscape(result, simulation, problem.sign, math.pi / 2 * ansatz.scales, names)


def _subscript(layer: int, layers: int) -> str:
    return "" if layers == 1 else str(layer).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _along_one(landscape: Landscape, angle: int) -> Picture:
    result, rows, name = landscape.result, landscape.line(angle, LINE), landscape.names[angle]
    assert result.value is not None
    values, end = landscape.values(rows), landscape.end[angle]
    figure, axes = axes_of(f"{result.problem}: landscape\n{_SOURCE}")
    axes.plot(rows[:, angle], values, color=BLUE, linewidth=1.4, label="simulation")
    axes.errorbar([end], [result.value], yerr=[result.standard_error or 0.0], fmt="s", color=ORANGE, label="result")
    if result.exact is not None:
        axes.axhline(result.exact, color=GREEN, linewidth=1, label="optimum")
    axes.set_xlabel(f"{name} (rad)")
    axes.set_ylabel(result.value_name)
    axes.ticklabel_format(axis="y", useOffset=False)
    legend(axes, below=True)
    words = f"Along {name} the simulated objective is {values.min():.4f} to {values.max():.4f}"
    return Picture("landscape", "Landscape along one angle", f"{words}; the result lies at {end:.4f} rad.", figure)


def _along_two(landscape: Landscape, first: int, second: int) -> Picture:
    result, end, names = landscape.result, landscape.end, landscape.names
    across, up = (landscape.line(angle, GRID)[:, angle] for angle in (first, second))
    rows = np.tile(end, (GRID * GRID, 1))
    rows[:, first], rows[:, second] = np.tile(across, GRID), np.repeat(up, GRID)
    values = landscape.values(rows).reshape(GRID, GRID)
    figure, axes = axes_of(f"{result.problem}: landscape\n{_SOURCE}", (5.4, 4.4))
    bar = _contours(axes, across, up, values, is_maximized=landscape.sign < 0)
    bar.set_label(result.value_name)
    axes.plot([end[first]], [end[second]], "s", color=ORANGE, markersize=7, label="result")
    axes.set_xlabel(f"{names[first]} (rad)")
    axes.set_ylabel(f"{names[second]} (rad)")
    legend(axes, below=True)
    words = f"The simulated objective is {values.min():.4f} to {values.max():.4f} over {names[first]} and"
    words += f" {names[second]}; the result lies at {end[first]:.4f} and {end[second]:.4f} rad."
    return Picture("landscape", "Landscape along two angles", words, figure)


def _contours(axes: Axes, across: Point, up: Point, values: Point, *, is_maximized: bool) -> Colorbar:
    """Fill contours in one colour, the darker the better, readable in light and dark; return their scale."""
    edges = np.linspace(values.min(), values.max() + 1e-12, LEVELS + 1)
    strengths = np.linspace(0.05, 0.85, LEVELS) if is_maximized else np.linspace(0.85, 0.05, LEVELS)
    filled = axes.contourf(across, up, values, edges, colors=[(BLUE, float(alpha)) for alpha in strengths])
    figure = axes.get_figure()
    assert figure is not None
    with rc_context(RC):
        bar = figure.colorbar(
            filled, ax=axes, format="%.4g", ticks=[float(edges[index]) for index in (0, LEVELS // 2, LEVELS)]
        )
    bar.outline.set_visible(False)
    return bar
