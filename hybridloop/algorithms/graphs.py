"""Weighted graphs, and the edge lists that they come in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hybridloop.algorithms.ising import is_usable
from hybridloop.errors import ProblemError

MOST_NODES = 2000  # one qubit each; targets and simulators end long before
MOST_EDGES = 100_000
LONGEST_NAME = 200

Edge = tuple[int, int, float]


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes by their names, in the order of their qubits, and edges (i, j, weight) with i < j, each pair once."""

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    source: str


@dataclass(slots=True)
class GraphBuilder:
    """A graph while it is read: nodes and edges as they come, each refused with the line that gives it."""

    source: str
    nodes: dict[str, int] = field(default_factory=dict)
    edges: dict[tuple[int, int], tuple[float, int | None]] = field(default_factory=dict)

    def node(self, name: str, line: int | None) -> int:
        """The node of a name, new if it was not there."""
        if len(name) > LONGEST_NAME or not name.isprintable():
            problem = f"{name[:40]!r} is no name of up to {LONGEST_NAME} characters that can be printed"
            raise self.refusal(line, problem, "Give the node another name.")
        index = self.nodes.setdefault(name, len(self.nodes))
        if index >= MOST_NODES:
            raise self.refusal(line, f"there are more than {MOST_NODES:,} nodes", "Give a smaller graph.")
        return index

    def edge(self, one: str, other: str, weight: float, line: int | None) -> None:
        """An edge between two names."""
        if one == other:
            problem = f"node {one!r} has an edge to itself, which no cut can part"
            raise self.refusal(line, problem, "Leave self-loops out.")
        if not is_usable(weight):
            raise self.refusal(line, f"the weight is {weight}", "Give a finite number, in a unit that suits it.")
        i, j = sorted((self.node(one, line), self.node(other, line)))
        if (i, j) in self.edges:
            first = self.edges[i, j][1]
            where = "" if first is None else f" (line {first} has it)"
            problem = f"the edge between {one!r} and {other!r} is there already{where}"
            raise self.refusal(line, problem, "Give each edge once, with its whole weight.")
        if len(self.edges) >= MOST_EDGES:
            raise self.refusal(line, f"there are more than {MOST_EDGES:,} edges", "Give a smaller graph.")
        self.edges[i, j] = (weight, line)

    def graph(self) -> Graph:
        """The graph, when all of it is in."""
        if not any(weight for weight, _ in self.edges.values()):
            what = "every weight is 0" if self.edges else "the graph has no edge"
            raise self.refusal(None, what, "Give a graph with at least one edge whose weight is not 0.")
        edges = tuple((i, j, weight) for (i, j), (weight, _) in sorted(self.edges.items()))
        return Graph(tuple(self.nodes), edges, self.source)

    def refusal(self, line: int | None, problem: str, remedy: str) -> ProblemError:
        """The error of this text."""
        return ProblemError(self.source, line, problem, remedy)


def graph_of(num_nodes: int, edges: Iterable[tuple[int, int, float]], source: str = "graph") -> Graph:
    """A graph from numbers: nodes 0 … num_nodes − 1, each a qubit, and edges (i, j, weight)."""
    builder = GraphBuilder(source)
    for number in range(num_nodes):
        builder.node(str(number), None)
    for i, j, weight in edges:
        if not (0 <= i < num_nodes and 0 <= j < num_nodes):
            problem = f"the edge ({i}, {j}) names a node that is not among {num_nodes}"
            raise builder.refusal(None, problem, f"Number the nodes from 0 to {num_nodes - 1}.")
        builder.edge(str(i), str(j), float(weight), None)
    return builder.graph()


def read_edge_list(text: str, source: str) -> Graph:
    """A graph of lines `node node [weight]`; `#`, `%` or `//` begin a comment, names are any words without blanks.

    Nodes are qubits in the order in which they come up, or by number where all names are whole numbers. A first line
    `nodes edges` above weighted lines (rudy's format, as in the Gset) is a header, if the count of edges is right;
    then nodes count from 1.
    """
    if text.count("\n") > 2 * MOST_EDGES:  # before the lines are looked at one by one
        raise ProblemError(source, None, f"there are more than {2 * MOST_EDGES:,} lines", "Give a smaller graph.")
    rows = [(number, words) for number, line in enumerate(text.splitlines(), 1) if (words := _words(line))]
    builder = GraphBuilder(source)
    for number, words in rows:
        if len(words) not in (2, 3):
            problem = f"{' '.join(words)[:80]!r} is not two nodes, with a weight or without"
            raise builder.refusal(number, problem, "Write `node node` or `node node weight` in a line.")
    if _has_header(rows):
        count = int(rows[0][1][0])
        if count > MOST_NODES:
            raise builder.refusal(rows[0][0], f"there are more than {MOST_NODES:,} nodes", "Give a smaller graph.")
        numbered = [str(number) for number in range(1, count + 1)]
        rows = rows[1:]
    else:
        names = dict.fromkeys(name for _, words in rows for name in words[:2])
        numbered = sorted(names, key=int) if all(_is_whole(name) for name in names) else []
    for name in numbered:
        builder.node(name, None)
    for number, (one, other, *rest) in rows:
        if numbered and (one not in builder.nodes or other not in builder.nodes):
            problem = f"the edge {one} {other} names a node that is not among the {len(numbered)} of the header"
            raise builder.refusal(number, problem, f"Number the nodes from 1 to {len(numbered)}.")
        builder.edge(one, other, _weight(builder, number, rest[0]) if rest else 1.0, number)
    return builder.graph()


def _words(line: str) -> list[str]:
    for mark in ("#", "%", "//"):
        line = line.split(mark, 1)[0]
    return line.replace(",", " ").split()


def _has_header(rows: list[tuple[int, list[str]]]) -> bool:
    first, *rest = [words for _, words in rows] or [[]]
    numbers = len(first) == 2 and all(_is_whole(word) for word in first)
    return bool(rest) and numbers and all(len(words) == 3 for words in rest) and int(first[1]) == len(rest)


def _is_whole(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 9


def _weight(builder: GraphBuilder, number: int, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise builder.refusal(number, f"the weight {word[:40]!r} is not a number", "Correct the line.") from None
