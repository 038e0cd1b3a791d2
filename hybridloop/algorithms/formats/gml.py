"""Reader for graphs in GML (M. Himsolt, Graph Modelling Language, 1997)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hybridloop.algorithms.problems.graphs import Graph, GraphBuilder
from hybridloop.algorithms.problems.ising import is_in_range
from hybridloop.algorithms.problems.numbers import parse_decimal

_TOKEN = re.compile(r'[\[\]]|"[^"]*"|[^\s\[\]"]+')
_END = ("the text ends within a list", "Export the file again.")
MAX_DEPTH = 20  # of lists in lists
_IDS = ("id", "source", "target")

Pair = tuple[str, Any, int]  # key, value (text, number, or the pairs of a list), line


def read_gml(text: str, source: str) -> Graph:
    """Read a GML graph. Nodes are named by their labels if all have one of their own, else by their ids.

    Raises ProblemError for malformed text, directed graphs, and edges with a number that is not called `weight`.
    """
    builder = GraphBuilder(source)
    found = _pairs(_tokens(text), builder, depth=0)
    graphs = [(value, line) for key, value, line in found if key == "graph" and isinstance(value, list)]
    if len(graphs) != 1:
        raise builder.error(None, f"there are {len(graphs)} graphs", "Give a file with one: graph [ … ].")
    members, line = graphs[0]
    if any(key == "directed" and value not in (0.0, "0", "false") for key, value, _ in members):
        remedy = "Give an undirected graph: each edge once, with its total weight."
        raise builder.error(line, "the graph is directed", remedy)
    nodes = [(dict_of(value), line) for key, value, line in members if key == "node" and isinstance(value, list)]
    edges = [(dict_of(value), line) for key, value, line in members if key == "edge" and isinstance(value, list)]
    labels = [node.get("label") for node, _ in nodes]
    by_label = all(isinstance(label, str) and label for label in labels) and len(set(labels)) == len(labels)
    names: dict[object, str] = {}
    for node, line in nodes:
        if node.get("id") is None or node["id"] in names:
            raise builder.error(line, "a node has no id of its own", "Give each node an id.")
        names[node["id"]] = str(node["label"] if by_label else node["id"])
        builder.add_node(names[node["id"]], line)
    is_weighted = any("weight" in edge for edge, _ in edges)
    for edge, line in edges:
        for key, value in edge.items():
            if key not in (*_IDS, "weight", "key") and isinstance(value, float) and not is_weighted:
                problem = f"the edge has a number {key!r}, and no weight"
                raise builder.error(line, problem, "Name it weight, or remove it, and each edge counts as 1.")
        ends = [names.get(edge.get(key)) for key in ("source", "target")]
        if None in ends:
            raise builder.error(line, "an edge names no node", "Give the ids of nodes as source and target.")
        weight = edge.get("weight", 1.0)
        if not isinstance(weight, float) or not is_in_range(weight):
            raise builder.error(line, f"the weight {str(weight)[:40]!r} is not a number", "Give a number.")
        builder.add_edge(str(ends[0]), str(ends[1]), weight, line)
    return builder.build()


def dict_of(pairs: list[Pair]) -> dict[str, Any]:
    """Return the members of a list by their key."""
    return {key: value for key, value, _ in pairs}


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line, position = 1, 0
    lines = [row if not row.lstrip().startswith("#") else "" for row in text.split("\n")]
    joined = "\n".join(lines)
    for match in _TOKEN.finditer(joined):
        line += joined.count("\n", position, match.start())
        position = match.start()
        yield match[0], line


def _pairs(tokens: Iterator[tuple[str, int]], builder: GraphBuilder, depth: int) -> list[Pair]:
    """Return the pairs up to the end of the list, or of the text at depth 0."""
    pairs: list[Pair] = []
    for key, line in tokens:
        if key == "]" and depth:
            return pairs
        if not re.fullmatch(r"[A-Za-z]\w*", key):
            raise builder.error(line, f"{key[:40]!r} is no key", "Give pairs of a key and a value, as in: id 1.")
        word, line = next(tokens, ("]", line))
        if word == "]":
            raise builder.error(line, f"the key {key[:40]!r} has no value", "Export the file again.")
        if word == "[":
            if depth >= MAX_DEPTH:
                raise builder.error(line, "the lists are nested too deeply", "Export the file again.")
            pairs.append((key, _pairs(tokens, builder, depth + 1), line))
        else:
            pairs.append((key, _value(key, word), line))
    if depth:
        raise builder.error(None, *_END)
    return pairs


def _value(key: str, word: str) -> str | float:
    """Return the text or number of a word; an id is text, since large ones would lose digits."""
    if word.startswith('"'):
        return word[1:-1]
    if key in _IDS:
        return word
    try:
        return parse_decimal(word)
    except ValueError:
        return word
