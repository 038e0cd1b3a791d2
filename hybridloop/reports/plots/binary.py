"""Plots of a binary problem: a histogram of the final shots by objective, and the cut on its graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from hybridloop.algorithms.binary.ising import MAX_ENUMERATED_VARIABLES
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.rounds import Counts
from hybridloop.journal import RoundRecord
from hybridloop.preparation.binary import read_binary
from hybridloop.reports.plots.request import PlotRequest
from hybridloop.reports.plots.style import BLUE, GREEN, GRID, INK, MUTED, ORANGE, PAPER, Picture, axes_of, legend
from hybridloop.runs.stored_run import StoredRun
from hybridloop.runtime.text_table import count_text
from hybridloop.tasks.submission.results import stored_points

MAX_NODES, MAX_EDGES = 100, 1000  # that are distinguishable in a picture
_MAX_LABELS = 40
_SHORT, _MAX_LETTERS = 2, 14  # letters of names that are written into a node, or beside it
_MAX_WEIGHTS = 40
_MAX_BARS = 40
_GRAPHS = ("max-cut", "independent-set")
_LAYOUT_SEED = 1
_SAMPLE = 20_000  # random assignments of a problem that is too large to enumerate
_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class MeasuredAssignment:
    """An assignment in the counts of the final measurement (rightmost character = variable 0)."""

    bitstring: str
    value: float
    shots: int
    is_feasible: bool


def final_assignments(run: StoredRun, problem: BinaryProblem) -> list[MeasuredAssignment]:
    """Return the assignments of the last complete round, sorted by feasibility, objective and frequency."""
    last = None
    for round_ in run.rounds():
        last = round_ if round_.complete else last
    shots_of = Counter[str]()
    for counts in [] if last is None else _counts(last):
        for bits, shots in counts.bitstrings().items():
            shots_of[bits[-problem.num_variables :]] += shots  # without slack bits
    if not shots_of:
        return []
    rows = np.array([[int(bit) for bit in reversed(bits)] for bits in shots_of], dtype=np.uint8)
    values, feasible = problem.objective.energies(rows), problem.is_feasible(rows)
    measured = [
        MeasuredAssignment(bits, float(value), shots, bool(ok))
        for (bits, shots), value, ok in zip(shots_of.items(), values, feasible, strict=True)
    ]
    return sorted(measured, key=lambda row: (not row.is_feasible, problem.sign * row.value, -row.shots, row.bitstring))


def problem_of(run: StoredRun) -> BinaryProblem:
    """Read the binary problem of a QAOA run."""
    settings: Any = run.settings
    return read_binary(run.problem, settings.objective)


def histogram(request: PlotRequest) -> Picture | None:
    """Draw shots by objective beside those of random assignments, with the optimum and the means."""
    result, run = request.result, request.load()
    if result.value is None:
        return None
    problem = problem_of(run)
    measured = final_assignments(run, problem)
    if not measured:
        return None
    figure, axes = axes_of(f"{result.problem} on {result.target}: objective of the final shots")
    values = np.array([row.value for row in measured])
    random, shares = _random_values(problem)
    edges = _edges(np.round(np.concatenate([values, random]), _DECIMALS))
    total, best = sum(row.shots for row in measured), measured[0]
    groups = [("feasible", BLUE, True), ("infeasible", MUTED, False)]
    is_constrained = not all(row.is_feasible for row in measured)
    below = np.zeros(len(edges) - 1)
    for label, colour, is_feasible in groups:
        shots = np.array([row.shots if row.is_feasible is is_feasible else 0 for row in measured])
        heights, _ = np.histogram(values, edges, weights=shots)
        if heights.any():
            axes.bar(
                (edges[:-1] + edges[1:]) / 2,
                heights,
                0.9 * np.diff(edges),
                bottom=below,
                color=colour,
                edgecolor=PAPER,
                hatch=None if is_feasible else "//",
                label=label if is_constrained else "shots",
            )
        below = below + heights
    expected, _ = np.histogram(random, edges, weights=total * shares)
    outline = np.concatenate([[0.0], np.repeat(expected, 2), [0.0]])
    name = "random assignments" if not problem.constraints else "random feasible assignments"
    if expected.any():
        axes.plot(np.repeat(edges, 2), outline, color=INK, linewidth=1.2, label=name)
    of = "feasible " if problem.constraints else ""
    if (random_mean := result.reference) is not None:
        axes.axvline(random_mean, color=MUTED, linestyle=":", label=f"mean of random {of}assignments {random_mean:.4g}")
    axes.axvline(result.value, color=ORANGE, linestyle="--", label=f"mean of the {of}shots {result.value:.4g}")
    if result.exact is not None:
        axes.axvline(result.exact, color=GREEN, linewidth=1.5, label=f"optimum {result.exact:.4g}")
    axes.set_xlabel("objective")
    axes.set_ylabel("shots")
    legend(axes)
    at_best = sum(row.shots for row in measured if row.is_feasible and row.value == best.value)
    words = (
        f"Of {total:,} shots {at_best:,} ({at_best / total:.1%}) have the best measured objective, {best.value:.12g}."
    )
    if result.exact is not None:
        words += f" The optimum is {result.exact:.12g}."
    words += f" The mean of the {of}shots is {result.value:.4g}"
    words += "." if random_mean is None else f", that of all {of}assignments {random_mean:.4g}."
    return Picture("histogram", "Objective of the final shots", words, figure)


def _random_values(problem: BinaryProblem) -> tuple[np.ndarray, np.ndarray]:
    """Return objectives of uniformly random feasible assignments with their shares: of all, or of a sample of many."""
    if problem.num_variables <= MAX_ENUMERATED_VARIABLES:
        values, feasible = problem.objective.all_energies(), problem.all_feasible()
    else:
        rng = np.random.default_rng(_LAYOUT_SEED)
        rows = rng.integers(0, 2, (_SAMPLE, problem.num_variables), dtype=np.uint8)
        values, feasible = problem.objective.energies(rows), problem.is_feasible(rows)
    distinct, counts = np.unique(np.round(values[feasible], _DECIMALS), return_counts=True)
    return distinct, counts / max(int(feasible.sum()), 1)


def has_drawable_graph(problem: BinaryProblem) -> bool:
    """Return True for a problem on a graph that is small enough to draw."""
    is_small = problem.num_variables <= MAX_NODES and len(_pairs(problem)) <= MAX_EDGES
    return problem.kind in _GRAPHS and is_small


def cut(request: PlotRequest) -> Picture | None:
    """Draw the graph with the best measured assignment: sides by colour and shape, cut edges as solid lines."""
    result = request.result
    if not result.table:
        return None
    problem = problem_of(request.load())
    if not has_drawable_graph(problem):
        return None
    side = {place: int(row["value"]) for place, row in enumerate(result.table)}
    pairs, positions = _pairs(problem), _layout(problem)
    is_cut = problem.kind == "max-cut"
    title = f"{result.problem}: " + (
        f"a cut of {result.best_value:.12g}" if is_cut else f"{result.best_value:.12g} nodes"
    )
    figure, axes = axes_of(title, (5.4, 4.6))
    between = [pair for pair in pairs if side[pair[0]] != side[pair[1]]]
    within = [pair for pair in pairs if side[pair[0]] == side[pair[1]]]
    drawn = [("an edge within a side", within, GRID, "--"), ("a cut edge", between, INK, "-")]
    if not is_cut:
        drawn = [("an edge", pairs, GRID, "-")]
    for label, edges, colour, style in drawn:
        for i, j in edges:
            ends = np.array([positions[i], positions[j]])
            axes.plot(*ends.T, style, color=colour, linewidth=1.3, zorder=1, label=label)
    for value, colour, marker in ((0, BLUE, "o"), (1, ORANGE, "s")):
        nodes = [node for node in positions if side[node] == value]
        if nodes:
            points = np.array([positions[node] for node in nodes])
            axes.scatter(
                points[:, 0], points[:, 1], s=190, color=colour, marker=marker, zorder=2, label=_side(value, problem)
            )
    if len(positions) <= _MAX_LABELS:
        _name_nodes(axes, problem.labels, positions)
    _show_weights(axes, problem, positions)
    axes.set_axis_off()
    axes.margins(0.1)
    axes.set_aspect("equal")
    legend(axes, below=True)
    ones = [problem.labels[node] for node in positions if side[node]]
    words = f"{count_text(len(positions), 'node')}, {count_text(len(pairs), 'edge')}. With 1: {', '.join(ones[:50])}."
    if is_cut:
        words = (
            f"The cut contains {len(between)} of {len(pairs)} edges; its weight is {result.best_value:.12g}. {words}"
        )
    return Picture("cut", "The best cut on the graph" if is_cut else "The chosen nodes", words, figure)


def _name_nodes(axes: Axes, labels: Sequence[str], positions: Mapping[int, tuple[float, float]]) -> None:
    """Write short names into the nodes, and above the nodes if one is long."""
    are_short = max(map(len, labels)) <= _SHORT
    for node, place in positions.items():
        label = labels[node] if len(labels[node]) <= _MAX_LETTERS else f"{labels[node][: _MAX_LETTERS - 1]}…"
        place_of: dict[str, Any] = {"va": "center", "color": PAPER} if are_short else {"va": "bottom", "color": INK}
        offset = (0, 0) if are_short else (0, 10)
        ground = None if are_short else {"boxstyle": "round,pad=0.1", "facecolor": PAPER, "edgecolor": "none"}
        own: dict[str, Any] = {
            "textcoords": "offset points",
            "ha": "center",
            "fontsize": 9,
            "zorder": 3,
            "bbox": ground,
        }
        axes.annotate(label, place, offset, **own, **place_of)


def _show_weights(axes: Axes, problem: BinaryProblem, positions: Mapping[int, tuple[float, float]]) -> None:
    """Write the weights beside the edges of a small graph whose weights differ."""
    weights = {pair: -2 * coupling for pair, coupling in problem.objective.couplings.items()}
    if problem.kind != "max-cut" or len(weights) > _MAX_WEIGHTS or len(set(weights.values())) == 1:
        return
    for (i, j), weight in weights.items():
        middle = (np.array(positions[i]) + np.array(positions[j])) / 2
        ground = {"boxstyle": "round,pad=0.15", "facecolor": PAPER, "edgecolor": "none"}
        axes.annotate(f"{weight:g}", tuple(middle), ha="center", va="center", fontsize=8, color=MUTED, bbox=ground)


def _side(value: int, problem: BinaryProblem) -> str:
    if problem.kind == "max-cut":
        return f"side {value}"
    return "chosen" if value else "left out"


def _pairs(problem: BinaryProblem) -> list[tuple[int, int]]:
    polynomial = problem.constraints[0].violation if problem.constraints else problem.objective
    return sorted(polynomial.couplings)


def _layout(problem: BinaryProblem) -> dict[int, tuple[float, float]]:
    """Return reproducible coordinates of the nodes."""
    import rustworkx

    graph = rustworkx.PyGraph()
    graph.add_nodes_from(range(problem.num_variables))
    graph.add_edges_from([(i, j, 1.0) for i, j in _pairs(problem)])
    layout = rustworkx.spring_layout(graph, seed=_LAYOUT_SEED, num_iter=300)
    return {node: (float(x), float(y)) for node, (x, y) in layout.items()}


def _edges(values: np.ndarray) -> np.ndarray:
    """Return edges of bars: one bar per value if there are few, else bars of equal width."""
    distinct = np.unique(values)
    if len(distinct) == 1:
        return np.array([distinct[0] - 0.5, distinct[0] + 0.5])
    steps = np.diff(distinct)
    if (distinct[-1] - distinct[0]) / steps.min() <= _MAX_BARS:
        number = round((distinct[-1] - distinct[0]) / steps.min())
        half = (distinct[-1] - distinct[0]) / number / 2
        return np.linspace(distinct[0] - half, distinct[-1] + half, number + 2)
    return np.linspace(distinct[0], distinct[-1], _MAX_BARS + 1)


def _counts(round_: RoundRecord) -> Iterator[Counts]:
    for answer in stored_points(round_):
        yield from (counts for counts in answer if isinstance(counts, Counts))
