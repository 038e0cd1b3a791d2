"""METIS: a graph as the neighbours of each node, below the numbers of nodes and edges. No numerical library.

G. Karypis and V. Kumar, METIS 5.1 manual (2013), section 4.1: line i has the neighbours of node i, numbered from 1,
each with its weight where the third number of the first line ends with 1, after weights of the node where it has a 1
before.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hybridloop.errors import ProblemError
from hybridloop.inputs.formats.rows import is_number, is_whole


@dataclass(frozen=True, slots=True)
class Adjacency:
    """The neighbours of numbered nodes: weight by (i, j) with i < j, counted from 1; weights of nodes, if any."""

    nodes: int
    edges: dict[tuple[int, int], float]
    node_weights: tuple[float, ...] | None


def read_adjacency(text: str, source: str) -> Adjacency:
    """Read a graph in METIS' format. Raises ProblemError with the line that is not, or whose counts are wrong."""
    lines = [
        (number, line)
        for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1)
        if not line.lstrip().startswith(("%", "#"))
    ]
    start = next((place for place, (_, line) in enumerate(lines) if line.strip()), 0)
    (first, count_line), *rest = lines[start:] or [(1, "")]
    counts = count_line.split()

    def error(line: int | None, problem: str, remedy: str = "Give the whole file.") -> ProblemError:
        return ProblemError(source, line, problem, remedy)

    if not 2 <= len(counts) <= 4 or not all(map(is_whole, counts)):
        raise error(first, "the first line has no numbers of nodes and of edges", "Begin with them: 5 6.")
    nodes, edges = int(counts[0]), int(counts[1])
    flags = counts[2].zfill(3) if len(counts) > 2 else "000"
    if len(flags) != 3 or set(flags) - {"0", "1"} or flags[0] == "1":
        raise error(first, f"the format {counts[2]!r} is not 0, 1, 10 or 11", "Give weights of nodes and edges alone.")
    weights_of_node = int(counts[3]) if len(counts) > 3 else int(flags[1])
    if weights_of_node > 1:
        raise error(first, f"nodes have {weights_of_node} weights each", "Give one.")
    while len(rest) > nodes and not rest[-1][1].strip():
        rest.pop()
    if len(rest) != nodes:
        raise error(first, f"the first line says {nodes} nodes, and {len(rest)} lines follow")
    found: dict[tuple[int, int], list[float]] = {}
    of_nodes: list[float] = []
    for node, (line, neighbours) in enumerate(rest, 1):
        words = neighbours.split()
        if not all(map(is_number, words)) or len(words) < weights_of_node:
            raise error(line, f"{' '.join(words)[:80]!r} are no neighbours of node {node}")
        of_nodes += [float(word) for word in words[:weights_of_node]]
        others = words[weights_of_node:]
        step = 1 + int(flags[2])
        if len(others) % step or not all(is_whole(word) and 1 <= int(word) <= nodes for word in others[::step]):
            raise error(line, f"{' '.join(words)[:80]!r} are no neighbours from 1 to {nodes}")
        for other, weight in zip(others[::step], others[1::step] if step == 2 else ["1"] * len(others), strict=True):
            found.setdefault((min(node, int(other)), max(node, int(other))), []).append(float(weight))
        if any(count > 1 for count in Counter(others[::step]).values()) or str(node) in others[::step]:
            raise error(line, f"node {node} has a neighbour twice, or itself", "Give each neighbour once.")
    for (i, j), weights in found.items():
        if len(weights) != 2 or weights[0] != weights[1]:
            raise error(rest[i - 1][0], f"nodes {i} and {j} do not name each other with one weight")
    if len(found) != edges:
        raise error(first, f"the first line says {edges} edges, and the lines have {len(found)}")
    pairs = {pair: weights[0] for pair, weights in found.items()}
    return Adjacency(nodes, pairs, tuple(of_nodes) if weights_of_node else None)
