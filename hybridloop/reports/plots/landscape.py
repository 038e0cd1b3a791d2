"""Landscape plot: the energy along one or two angles through a run's result, from a model; nothing is measured for it.

The model of a VQE is fitted to all energies that its search measured: a Gaussian process with the energy's own
frequencies, on top of the classical simulation where the circuit has one. QAOA's is a simulation of its circuit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Estimate, evaluation
from hybridloop.algorithms.qaoa.angles import WHOLE_VARIABLES, QaoaSimulation
from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.azure.targets import recorded_target
from hybridloop.compiler.programs import describe_pub
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.errors import InputError
from hybridloop.preparation import prepare
from hybridloop.preparation.qaoa import circuit_of, read_binary
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.reports.plots.request import PlotRequest
from hybridloop.reports.plots.style import BLUE, GREEN, MUTED, ORANGE, RC, Picture, axes_of, legend
from hybridloop.reports.plots.trigonometric_process import TrigonometricProcess
from hybridloop.runs.recorded import recorded_groupings
from hybridloop.runs.result import RunResult
from hybridloop.runs.stored_run import StoredRun
from hybridloop.tasks.submission.results import stored_points

MAX_POINTS = 400  # measured points in a fit; of more, the last ones
LINE, GRID = 121, 41  # points along the one angle, and along each of two
LEVELS = 12
SAME_RAD = 1e-6  # a point within this of the line is drawn on it

Point = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Landscape:
    """A model of the energy, by rows of points (k, n) in radians; `errors` are its standard errors, None if unknown.

    `reach` (n,) is the distance in radians that is drawn to each side of the result, `names` name the angles.
    """

    result: RunResult
    energies: Callable[[Point], Point]
    errors: Callable[[Point], Point] | None
    reach: Point
    names: tuple[str, ...]
    measured: Sequence[tuple[Point, float, float]]
    source: str
    is_maximized: bool = False


def of_vqe(request: PlotRequest) -> Picture | None:
    """Draw the energy of a VQE's circuit along two angles or one."""
    return _landscape(request, _vqe)


def of_qaoa(request: PlotRequest) -> Picture | None:
    """Draw the objective of a QAOA circuit along two angles or one."""
    return _landscape(request, _qaoa)


def _landscape(request: PlotRequest, make: Callable[[StoredRun, RunResult], Landscape | None]) -> Picture | None:
    """Draw along the angles asked for, by default the two along which the value varies most; None without a model.

    Raises InputError for angles that the circuit does not have.
    """
    result, angles = request.result, request.angles
    if result.value is None or not result.parameters:
        return None
    model = make(request.load(), result)
    if model is None:
        return None
    count = len(result.parameters)
    if angles is None:
        angles = _widest(model)
    if not 1 <= len(angles) <= 2 or len(set(angles)) < len(angles) or not all(0 <= each < count for each in angles):
        what = f"{list(angles)} are not one or two of the {count} angle(s)"
        raise InputError("angles", what, f"Give different numbers from 0 to {count - 1}.")
    return _along_one(model, angles[0]) if len(angles) == 1 else _along_two(model, angles[0], angles[1])


def _vqe(run: StoredRun, result: RunResult) -> Landscape | None:
    record = run.record
    groupings, target = recorded_groupings(record), recorded_target(record.target)
    prepared = prepare(
        record.algorithm, run.problem, run.settings, record.seed, groupings=groupings, target=target
    ).algorithm
    assert isinstance(prepared, PreparedVqe)
    ansatz, model = prepared.ansatz, prepared.ansatz.model
    measured = _measured(run, prepared) or [
        (np.array(row.point), row.value, row.standard_error**2) for row in result.history if row.point
    ]
    assert result.value is not None
    measured.append((np.array(result.parameters), result.value, (result.standard_error or 0.0) ** 2))
    fitted = measured[-MAX_POINTS:]
    if model is None and len({tuple(point) for point, *_ in fitted}) < 2:
        return None
    points, values, variances = (np.array(column) for column in zip(*fitted, strict=True))
    simulated = np.zeros(len(points)) if model is None else np.array([model.energy(point) for point in points])
    process = TrigonometricProcess.condition(ansatz.frequencies, points, values - simulated, variances)
    source = f"a model fitted to {len(fitted)} measured points" + (", on a simulation" if model is not None else "")
    return Landscape(
        result,
        lambda rows: _simulated(ansatz, rows) + np.array([process.value(row) for row in rows]),
        lambda rows: np.array([process.standard_error(row) for row in rows]),
        np.array([math.pi / math.gcd(*numbers) for numbers in ansatz.frequencies]),
        tuple(f"angle {number}" for number in range(len(points[0]))),
        measured,
        source,
    )


def _measured(run: StoredRun, prepared: PreparedVqe) -> list[tuple[Point, float, float]]:
    """Return the points of all rounds that measured the whole energy, with value and variance.

    Of runs with error mitigation there are none here: their circuits and estimates are others.
    """
    if prepared.settings.mitigation:
        return []
    found: list[MeasuredPub] = []
    evaluated = evaluation(prepared.energy.observable, prepared.ansatz, lambda _: found)
    start = prepared.ansatz.initial_point[None, :]
    pubs = [SamplerPub.coerce((circuit, start, 1)) for circuit in evaluated.circuits]
    keys = [describe_pub(pub).fingerprint for pub in pubs]
    measured = []
    for round_ in run.rounds():
        if not round_.complete or [pub.fingerprint for pub in round_.pubs[: len(keys)]] != keys:
            continue
        found[:] = stored_points(round_)[: len(keys)]
        points, estimates = evaluated.energies(found[0].points, 1)
        pairs = zip(points, estimates, strict=True)
        measured += [(point, each.value, each.variance) for point, each in pairs if isinstance(each, Estimate)]
    return measured


def _simulated(ansatz: Ansatz, rows: Point) -> Point:
    """Return the simulated energies of rows that differ in one or two angles; 0 without a simulation.

    Along an angle of highest frequency F the energy has 2F + 1 unknowns, so few simulations give all rows exactly.
    """
    if ansatz.model is None:
        return np.zeros(len(rows))
    varied = [angle for angle in range(rows.shape[1]) if np.ptp(rows[:, angle]) > 0]
    counts = [2 * max(ansatz.frequencies[angle]) + 1 for angle in varied]
    nodes: list[Point] = [np.linspace(0.0, 2 * math.pi, count, endpoint=False) for count in counts]
    weights = [_interpolation(rows[:, angle], at) for angle, at in zip(varied, nodes, strict=True)]
    grid = (
        np.stack([axis.ravel() for axis in np.meshgrid(*nodes, indexing="ij")], axis=-1) if varied else np.zeros((1, 0))
    )
    energies = []
    for node in grid:
        point = rows[0].copy()
        point[varied] = node
        energies.append(ansatz.model.energy(point))
    if not varied:
        return np.full(len(rows), energies[0])
    if len(varied) == 1:
        return np.asarray(weights[0] @ np.array(energies))
    return np.asarray(np.einsum("ki,kj,ij->k", *weights, np.array(energies).reshape(len(nodes[0]), -1)))


def _interpolation(angles: Point, nodes: Point) -> Point:
    """Return Dirichlet's kernel (k, m): the weights by which values at m equally spaced nodes give k angles' values."""
    highest = (len(nodes) - 1) // 2
    differences = angles[:, None] - nodes[None, :]
    waves = [np.cos(number * differences) for number in range(1, highest + 1)]
    return np.asarray((1.0 + 2.0 * np.sum(waves, axis=0)) / len(nodes))


def _qaoa(run: StoredRun, result: RunResult) -> Landscape | None:
    settings = run.settings
    assert isinstance(settings, QaoaSettings)
    layers = len(result.parameters) // 2
    problem = read_binary(run.problem, settings.objective)
    if problem.num_variables > WHOLE_VARIABLES:
        return None
    ansatz = circuit_of(problem, settings.model_copy(update={"layers": layers}), run.record.seed)
    simulation = QaoaSimulation.of(ansatz.cost, ansatz.mixer, ansatz.ones, ansatz.warm_start_angles)
    return Landscape(
        result,
        lambda rows: problem.sign * np.array([simulation.energy(row) for row in rows]),
        None,
        math.pi / 2 * ansatz.scales,
        tuple(f"{letter}{_subscript(layer, layers)}" for letter in "βγ" for layer in range(1, layers + 1)),
        [],
        "a simulation of the circuit",
        problem.sign < 0,
    )


def _subscript(layer: int, layers: int) -> str:
    return "" if layers == 1 else str(layer).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _widest(model: Landscape) -> tuple[int, ...]:
    """Return the one angle, or the two along which the energy varies most; of QAOA the first layer's."""
    count = len(model.reach)
    if model.errors is None:
        return 0, count // 2
    ranges = [float(np.ptp(model.energies(_line(model, angle, 17)))) for angle in range(count)]
    return tuple(sorted(sorted(range(count), key=lambda angle: -ranges[angle])[:2]))


def _line(model: Landscape, angle: int, number: int) -> Point:
    rows = np.tile(np.array(model.result.parameters), (number, 1))
    rows[:, angle] += np.linspace(-model.reach[angle], model.reach[angle], number)
    return rows


def _along_one(model: Landscape, angle: int) -> Picture:
    result, rows = model.result, _line(model, angle, LINE)
    assert result.value is not None
    energies, at = model.energies(rows), rows[:, angle]
    figure, axes = axes_of(f"{result.problem}: landscape\n{model.source}")
    axes.plot(at, energies, color=BLUE, linewidth=1.4, label="model")
    if model.errors is not None:
        errors = model.errors(rows)
        axes.fill_between(at, energies - errors, energies + errors, color=BLUE, alpha=0.2, linewidth=0)
    others = [each for each in range(len(result.parameters)) if each != angle]
    end = np.array(result.parameters)
    near = [row for row in model.measured[:-1] if np.abs((row[0] - end)[others]).max(initial=0.0) <= SAME_RAD]
    if near:
        axes.errorbar(
            [_around(row[0][angle], end[angle], model.reach[angle]) for row in near],
            [row[1] for row in near],
            yerr=[math.sqrt(row[2]) for row in near],
            fmt="o",
            color=MUTED,
            markersize=4,
            capsize=2,
            label="measured (± 1 standard error)",
        )
    axes.errorbar(
        [end[angle]], [result.value], yerr=[result.standard_error or 0.0], fmt="s", color=ORANGE, label="result"
    )
    if result.exact is not None:
        axes.axhline(result.exact, color=GREEN, linewidth=1, label="exact" if result.unit else "optimum")
    axes.set_xlabel(f"{model.names[angle]} (rad)")
    axes.set_ylabel(_quantity(result))
    axes.ticklabel_format(axis="y", useOffset=False)
    legend(axes, below=True)
    words = f"Along {model.names[angle]} the energy of the model is {energies.min():.4f} to {energies.max():.4f}"
    return Picture(
        "landscape", "Landscape along one angle", f"{words}; the result lies at {end[angle]:.4f} rad.", figure
    )


def _along_two(model: Landscape, first: int, second: int) -> Picture:
    result, end = model.result, np.array(model.result.parameters)
    across, up = (_line(model, angle, GRID)[:, angle] for angle in (first, second))
    rows = np.tile(end, (GRID * GRID, 1))
    rows[:, first], rows[:, second] = np.tile(across, GRID), np.repeat(up, GRID)
    energies = model.energies(rows).reshape(GRID, GRID)
    figure, axes = axes_of(f"{result.problem}: landscape\n{model.source}", (5.4, 4.4))
    bar = _contours(axes, across, up, energies, is_maximized=model.is_maximized)
    bar.set_label(_quantity(result))
    path = [point for point, *_ in model.measured] if len(model.measured) <= MAX_POINTS else []
    if path:
        places = [
            [_around(point[angle], end[angle], model.reach[angle]) for point in path] for angle in (first, second)
        ]
        axes.plot(*places, "o", color=MUTED, markersize=3, label="measured, seen along the other angles")
    axes.plot([end[first]], [end[second]], "s", color=ORANGE, markersize=7, label="result")
    axes.set_xlabel(f"{model.names[first]} (rad)")
    axes.set_ylabel(f"{model.names[second]} (rad)")
    legend(axes, below=True)
    words = (
        f"The model is {energies.min():.4f} to {energies.max():.4f} over {model.names[first]} and {model.names[second]}"
    )
    words += f"; the result lies at {end[first]:.4f} and {end[second]:.4f} rad."
    return Picture("landscape", "Landscape along two angles", words, figure)


def _contours(axes: Axes, across: Point, up: Point, energies: Point, *, is_maximized: bool) -> Colorbar:
    """Fill contours in one colour, the darker the better, readable in light and dark; return their scale."""
    edges = np.linspace(energies.min(), energies.max() + 1e-12, LEVELS + 1)
    strengths = np.linspace(0.05, 0.85, LEVELS) if is_maximized else np.linspace(0.85, 0.05, LEVELS)
    filled = axes.contourf(across, up, energies, edges, colors=[(BLUE, float(alpha)) for alpha in strengths])
    figure = axes.get_figure()
    assert figure is not None
    with rc_context(RC):
        bar = figure.colorbar(
            filled, ax=axes, format="%.4g", ticks=[float(edges[index]) for index in (0, LEVELS // 2, LEVELS)]
        )
    bar.outline.set_visible(False)
    return bar


def _around(angle: float, centre: float, reach: float) -> float:
    """Return the angle in the period around a centre."""
    return centre + math.remainder(angle - centre, 2 * reach)


def _quantity(result: RunResult) -> str:
    return f"{result.value_name} ({result.unit})" if result.unit else result.value_name
