"""A binary problem's answer: how often which objective was seen, and the cut on its graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hybridloop.algorithms.problems.binary import BinaryProblem
from hybridloop.algorithms.rounds import Counts, FailedPoint
from hybridloop.journal import RoundRecord
from hybridloop.reports.plots.style import BLUE, GREEN, GRID, INK, MUTED, ORANGE, PAPER, Picture, axes_of, legend
from hybridloop.runs.result import RunResult
from hybridloop.runs.stored_run import KeptRun
from hybridloop.tasks.submission.results import measured

MOST_NODES, MOST_EDGES = 100, 1000  # that can be told apart in a picture
_MOST_LABELS = 40
_MOST_BARS = 40
_GRAPHS = ("max-cut", "independent-set")
_LAYOUT_SEED = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """An assignment that the final measurement saw (rightmost character = variable 0)."""

    bitstring: str
    value: float
    shots: int
    meets: bool


def seen_finally(run: KeptRun, problem: BinaryProblem) -> list[Seen]:
    """What the last complete round saw, the best first; of equal ones the most frequent."""
    last = None
    for round_ in run.rounds():
        last = round_ if round_.complete else last
    found: defaultdict[str, int] = defaultdict(int)
    for counts in [] if last is None else _counts(last):
        for bits, shots in counts.bitstrings().items():
            found[bits] += shots
    if not found:
        return []
    names = list(found)
    rows = np.array([[int(bit) for bit in reversed(name)] for name in names], dtype=np.uint8)
    values, meets = problem.objective.energies(rows), problem.is_feasible(rows)
    seen = [
        Seen(name, float(value), found[name], bool(met)) for name, value, met in zip(names, values, meets, strict=True)
    ]
    return sorted(seen, key=lambda each: (not each.meets, problem.sign * each.value, -each.shots, each.bitstring))


def histogram(result: RunResult, seen: Sequence[Seen]) -> Picture:
    """Shots by objective, those that break the constraint apart, with the optimum and the means."""
    figure, axes = axes_of(f"{result.problem} on {result.target}: objective of the final shots")
    values = np.array([each.value for each in seen])
    edges = _edges(values)
    groups = [("meets the constraint", BLUE, True), ("breaks it", MUTED, False)]
    constrained = not all(each.meets for each in seen)
    below = np.zeros(len(edges) - 1)
    for label, colour, met in groups:
        shots = np.array([each.shots if each.meets is met else 0 for each in seen])
        heights, _ = np.histogram(values, edges, weights=shots)
        if heights.any():
            axes.bar(
                (edges[:-1] + edges[1:]) / 2,
                heights,
                0.9 * np.diff(edges),
                bottom=below,
                color=colour,
                edgecolor=PAPER,
                hatch=None if met else "//",
                label=label if constrained else "shots",
            )
        below = below + heights
    axes.axvline(result.reference, color=MUTED, linestyle=":", label=f"mean of all assignments {result.reference:.4g}")
    if result.value is not None:
        axes.axvline(result.value, color=ORANGE, linestyle="--", label=f"mean of the shots {result.value:.4g}")
    if result.exact is not None:
        axes.axvline(result.exact, color=GREEN, linewidth=1.5, label=f"optimum {result.exact:.4g}")
    axes.set_xlabel("objective")
    axes.set_ylabel("shots")
    legend(axes)
    total, best = sum(each.shots for each in seen), seen[0]
    at_best = sum(each.shots for each in seen if each.meets and each.value == best.value)
    said = (
        f"Of {total:,} shots {at_best:,} ({at_best / total:.1%}) have the best objective that was seen, {best.value:g}."
    )
    if result.exact is not None:
        said += f" The optimum is {result.exact:g}."
    return Picture("histogram", "Objective of the final shots", said, figure)


def has_drawable_graph(problem: BinaryProblem) -> bool:
    """Whether it is a graph's, and small enough to be drawn."""
    is_small = problem.num_variables <= MOST_NODES and len(_pairs(problem)) <= MOST_EDGES
    return problem.kind in _GRAPHS and is_small


def cut(result: RunResult, problem: BinaryProblem) -> Picture:
    """The graph with the best assignment seen: its two sides by colour and shape, the edges between them drawn out."""
    side = {place: int(row["value"]) for place, row in enumerate(result.table)}
    pairs, where = _pairs(problem), _layout(problem)
    is_cut = problem.kind == "max-cut"
    title = f"{result.problem}: " + (f"a cut of {result.best_value:g}" if is_cut else f"{result.best_value:g} nodes")
    figure, axes = axes_of(title, (6.0, 4.6))
    between = [pair for pair in pairs if side[pair[0]] != side[pair[1]]]
    within = [pair for pair in pairs if side[pair[0]] == side[pair[1]]]
    drawn = [("an edge within a side", within, GRID, "--"), ("a cut edge", between, INK, "-")]
    if not is_cut:
        drawn = [("an edge", pairs, GRID, "-")]
    for label, some, colour, style in drawn:
        for number, (i, j) in enumerate(some):
            ends = np.array([where[i], where[j]])
            axes.plot(*ends.T, style, color=colour, linewidth=1.3, zorder=1, label=None if number else label)
    for value, colour, marker in ((0, BLUE, "o"), (1, ORANGE, "s")):
        nodes = [node for node in where if side[node] == value]
        if nodes:
            points = np.array([where[node] for node in nodes])
            axes.scatter(
                points[:, 0], points[:, 1], s=190, color=colour, marker=marker, zorder=2, label=_side(value, problem)
            )
    if len(where) <= _MOST_LABELS:
        for node, (x, y) in where.items():
            label = problem.labels[node]
            axes.text(x, y, label[:6], ha="center", va="center", fontsize=8, color=PAPER, zorder=3)
    axes.set_axis_off()
    axes.set_aspect("equal")
    legend(axes, below=True)
    ones = [problem.labels[node] for node in where if side[node]]
    said = f"{len(where)} nodes, {len(pairs)} edges; {len(ones)} nodes are 1: {', '.join(ones[:50])}."
    if is_cut:
        said = f"The cut parts {len(between)} of {len(pairs)} edges; its weight is {result.best_value:g}. " + said
    return Picture("cut", "The best cut on the graph" if is_cut else "The chosen nodes", said, figure)


def _side(value: int, problem: BinaryProblem) -> str:
    if problem.kind == "max-cut":
        return f"side {value}"
    return "chosen" if value else "left out"


def _pairs(problem: BinaryProblem) -> list[tuple[int, int]]:
    of = problem.objective if problem.constraint is None else problem.constraint.violation
    return sorted(of.couplings)


def _layout(problem: BinaryProblem) -> dict[int, tuple[float, float]]:
    """Where the nodes are drawn: the same place every time."""
    import rustworkx

    graph = rustworkx.PyGraph()
    graph.add_nodes_from(range(problem.num_variables))
    graph.add_edges_from([(i, j, 1.0) for i, j in _pairs(problem)])
    found = rustworkx.spring_layout(graph, seed=_LAYOUT_SEED, num_iter=300)
    return {node: (float(x), float(y)) for node, (x, y) in found.items()}


def _edges(values: np.ndarray) -> np.ndarray:
    """Bars' edges: one for each value where there are few, else equal ones."""
    distinct = np.unique(values)
    if len(distinct) == 1:
        return np.array([distinct[0] - 0.5, distinct[0] + 0.5])
    steps = np.diff(distinct)
    if (distinct[-1] - distinct[0]) / steps.min() <= _MOST_BARS:
        number = round((distinct[-1] - distinct[0]) / steps.min())
        half = (distinct[-1] - distinct[0]) / number / 2
        return np.linspace(distinct[0] - half, distinct[-1] + half, number + 2)
    return np.linspace(distinct[0], distinct[-1], _MOST_BARS + 1)


def _counts(round_: RoundRecord) -> Iterator[Counts]:
    latest = {(job.pub, job.point, job.part): job for job in round_.jobs}
    for answer in measured(round_.pubs, {at: job.counts or FailedPoint(job.reason) for at, job in latest.items()}):
        yield from (counts for counts in answer if isinstance(counts, Counts))
