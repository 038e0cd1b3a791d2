"""Weighted graphs, built of edges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hybridloop.algorithms.problems.ising import MAX_MAGNITUDE, is_in_range
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import ProblemError

MAX_NODES = 2000  # one qubit each; targets and simulators take far fewer
MAX_EDGES = 100_000
MAX_NAME_LENGTH = 200

Edge = tuple[int, int, float]


@dataclass(frozen=True, slots=True)
class Graph:
    """A weighted undirected graph: node names in qubit order, and edges (i, j, weight) with i < j, each pair once."""

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    source: str


@dataclass(slots=True)
class GraphBuilder:
    """A builder that collects nodes and edges and checks each; its errors name the line of the text."""

    source: str
    nodes: dict[str, int] = field(default_factory=dict)
    edges: dict[tuple[int, int], tuple[float, int | None]] = field(default_factory=dict)

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

    def parse_weight(self, word: str, line: int) -> float:
        """Return the weight as a number. Raises ProblemError if it is none."""
        try:
            return parse_decimal(word)
        except ValueError:
            raise self.error(line, f"the weight {word[:40]!r} is not a number", "Correct the line.") from None

    def build(self) -> Graph:
        """Return the graph. Raises ProblemError if it has no edge with a weight other than 0."""
        if not any(weight for weight, _ in self.edges.values()):
            problem = "every weight is 0" if self.edges else "the graph has no edge"
            raise self.error(None, problem, "Give a graph with at least one edge whose weight is not 0.")
        edges = tuple((i, j, weight) for (i, j), (weight, _) in sorted(self.edges.items()))
        return Graph(tuple(self.nodes), edges, self.source)

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


def graph_from_rows(rows: list[tuple[int, list[str]]], source: str) -> Graph:
    """Build a graph from the line and the words of each edge: two nodes and a weight, by default 1.

    Nodes become qubits in order of appearance, or in numeric order if all names are whole numbers. A first row
    `nodes edges` above weighted ones (rudy's format, as in the Gset) is taken as a header if its count of edges is
    right; nodes are then numbered from 1. Raises ProblemError with the line of what is malformed.
    """
    builder = GraphBuilder(source)
    # numbered nodes keep their numeric order
    if _has_header(rows):
        count = int(rows[0][1][0])
        if count > MAX_NODES:
            raise builder.error(rows[0][0], f"there are more than {MAX_NODES:,} nodes", "Give a smaller graph.")
        numbered = [str(number) for number in range(1, count + 1)]
        rows = rows[1:]
    else:
        names = dict.fromkeys(name for _, words in rows for name in words[:2])
        numbered = sorted(names, key=int) if all(_is_whole_number(name) for name in names) else []
    for name in numbered:
        builder.add_node(name, None)
    # edges; in an unnumbered list they also add the nodes
    for number, (first, second, *rest) in rows:
        if numbered and (first not in builder.nodes or second not in builder.nodes):
            problem = f"the edge {first} {second} names a node that is not among the {len(numbered)} of the header"
            raise builder.error(number, problem, f"Number the nodes from 1 to {len(numbered)}.")
        if first == second and rest:
            remedy = "Remove self-loops. Terms of a QUBO are given in Python: hl.qaoa({(0, 0): -1.0, (0, 1): 2.0})."
            raise builder.error(number, f"node {first[:40]!r} has an edge to itself", remedy)
        builder.add_edge(first, second, builder.parse_weight(rest[0], number) if rest else 1.0, number)
    return builder.build()


def _has_header(rows: list[tuple[int, list[str]]]) -> bool:
    first, *rest = [words for _, words in rows] or [[]]
    numbers = len(first) == 2 and all(_is_whole_number(word) for word in first)
    return bool(rest) and numbers and all(len(words) == 3 for words in rest) and int(first[1]) == len(rest)


def _is_whole_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 9
