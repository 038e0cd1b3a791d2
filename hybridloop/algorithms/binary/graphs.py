"""Weighted graphs, built of edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hybridloop.algorithms.binary.ising import MAX_MAGNITUDE, is_in_range
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import ProblemError

MAX_NODES = 2000  # one qubit each; targets and simulators take far fewer
MAX_EDGES = 100_000
MAX_NAME_LENGTH = 200

Edge = tuple[int, int, float]


@dataclass(frozen=True, slots=True)
class Graph:
    """A weighted undirected graph: node names in qubit order, and edges (i, j, weight) with i < j, each pair once.

    `node_weights` are None where the text has none. `reading` says how the text was read, and `unused` what else it
    has.
    """

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    source: str
    node_weights: tuple[float, ...] | None = None
    reading: str = ""
    unused: tuple[str, ...] = ()

    @property
    def counts(self) -> str:
        """The numbers of nodes and edges."""
        return f"{len(self.nodes)} nodes, {len(self.edges)} edge{'s' * (len(self.edges) != 1)}"

    @property
    def size(self) -> str:
        """The numbers of nodes and edges, and the range of the weights where they are not all 1."""
        weights = [weight for *_, weight in self.edges]
        low, high = min(weights), max(weights)
        span = "" if low == high == 1.0 else f", weights {low:g} to {high:g}" if low < high else f", weight {low:g}"
        return f"{self.counts}{span}"


@dataclass(slots=True)
class GraphBuilder:
    """A builder that collects nodes and edges and checks each; its errors name the line of the text."""

    source: str
    nodes: dict[str, int] = field(default_factory=dict)
    edges: dict[tuple[int, int], tuple[float, int | None]] = field(default_factory=dict)
    node_weights: dict[str, float] = field(default_factory=dict)

    def add_node(self, name: str, line: int | None) -> int:
        """Return the index of the node, which is added if it is new."""
        if len(name) > MAX_NAME_LENGTH or not name.isprintable():
            problem = f"the node name {name[:40]!r} is too long or not printable"
            raise self.error(line, problem, f"Use names of at most {MAX_NAME_LENGTH} printable characters.")
        index = self.nodes.setdefault(name, len(self.nodes))
        if index >= MAX_NODES:
            raise self.error(line, f"there are more than {MAX_NODES:,} nodes", "Give a smaller graph.")
        return index

    def add_edge(self, source: str, target: str, weight: float, line: int | None) -> None:
        """Add an undirected edge between two nodes, which are added if they are new."""
        if source == target:
            problem = f"node {source!r} has an edge to itself"
            raise self.error(line, problem, "Remove self-loops.")
        if not is_in_range(weight):
            raise self.error(line, f"the weight is {weight}", f"Give a finite number of at most {MAX_MAGNITUDE:g}.")
        i, j = sorted((self.add_node(source, line), self.add_node(target, line)))
        if (i, j) in self.edges:
            first = self.edges[i, j][1]
            where = "" if first is None else f" (first on line {first})"
            problem = f"the edge between {source!r} and {target!r} is given twice{where}"
            raise self.error(line, problem, "Give each edge once, with its total weight.")
        if len(self.edges) >= MAX_EDGES:
            raise self.error(line, f"there are more than {MAX_EDGES:,} edges", "Give a smaller graph.")
        self.edges[i, j] = (weight, line)

    def parse_weight(self, word: str, line: int | None) -> float:
        """Return the weight as a number. Raises ProblemError if it is none."""
        try:
            return parse_decimal(word)
        except ValueError:
            raise self.error(line, f"the weight {word[:40]!r} is not a number", "Correct the line.") from None

    def build(self, reading: str = "", *, unused: Sequence[str] = ()) -> Graph:
        """Return the graph. Raises ProblemError if it has no edge with a weight other than 0."""
        if not any(weight for weight, _ in self.edges.values()):
            problem = "every weight is 0" if self.edges else "the graph has no edge"
            raise self.error(None, problem, "Give a graph with at least one edge whose weight is not 0.")
        missing = next((name for name in self.nodes if name not in self.node_weights), None)
        if self.node_weights and missing is not None:
            raise self.error(None, f"node {missing!r} has no weight, and others have", "Give each node one, or none.")
        edges = tuple((i, j, weight) for (i, j), (weight, _) in sorted(self.edges.items()))
        weights = tuple(self.node_weights[name] for name in self.nodes) if self.node_weights else None
        return Graph(tuple(self.nodes), edges, self.source, weights, reading, tuple(unused))

    def error(self, line: int | None, problem: str, remedy: str) -> ProblemError:
        return ProblemError(self.source, line, problem, remedy)


def graph_from_edges(num_nodes: int, edges: Iterable[tuple[int, int, float]], source: str = "graph") -> Graph:
    """Build a graph with nodes 0 … num_nodes − 1, one qubit each, and edges (i, j, weight)."""
    builder = GraphBuilder(source)
    for number in range(num_nodes):
        builder.add_node(str(number), None)
    for i, j, weight in edges:
        if not (0 <= i < num_nodes and 0 <= j < num_nodes):
            problem = f"the edge ({i}, {j}) names a node that is not among the {num_nodes} nodes"
            raise builder.error(None, problem, f"Number the nodes from 0 to {num_nodes - 1}.")
        builder.add_edge(str(i), str(j), float(weight), None)
    return builder.build()
