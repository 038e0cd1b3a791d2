"""Graphs of networkx and rustworkx, and lists of weighted edges, as node-link JSON."""

from __future__ import annotations

import json
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

from hybridloop.errors import InputError
from hybridloop.inputs.formats.graphs import OF_OBJECT
from hybridloop.inputs.problem_objects import not_a_problem

_NAME = "graph"
_WEIGHT = "weight"


def networkx_graph(graph: Any) -> tuple[str, str]:
    """Return the name and text of a networkx graph; nodes become qubits in the graph's order."""
    if not (hasattr(graph, "is_directed") and hasattr(graph, "nodes")):
        raise not_a_problem(graph, "Give a networkx.Graph.")
    _check_undirected(directed=graph.is_directed(), remedy="Give graph.to_undirected().")
    edges = [(first, second, data) for first, second, data in graph.edges(data=True)]
    if graph.is_multigraph() and len({frozenset(edge[:2]) for edge in edges}) < len(edges):
        raise InputError("problem", "the multigraph has parallel edges", "Give a networkx.Graph with summed weights.")
    return str(graph.name or _NAME), graph_text(graph.nodes, edges, dict(graph.nodes(data=_WEIGHT)))


def rustworkx_graph(graph: Any) -> tuple[str, str]:
    """Return the name and text of a rustworkx graph; a node's name is its payload, or its index without one."""
    if not (hasattr(graph, "node_indices") and hasattr(graph, "weighted_edge_list")):
        raise not_a_problem(graph, "Give a rustworkx.PyGraph.")
    from rustworkx import PyDiGraph

    _check_undirected(directed=isinstance(graph, PyDiGraph), remedy="Give graph.to_undirected().")
    indices = list(graph.node_indices())
    payloads = [graph[index] for index in indices]
    has_names = all(isinstance(name, str | int) for name in payloads) and len(set(map(str, payloads))) == len(payloads)
    names = dict(zip(indices, payloads if has_names else indices, strict=True))
    edges = [(names[first], names[second], data) for first, second, data in graph.weighted_edge_list()]
    return _NAME, graph_text(names.values(), edges)


def graph_text(
    nodes: Iterable[object],
    edges: Iterable[tuple[object, object, object]],
    node_weights: Mapping[Any, object] | None = None,
) -> str:
    """Return node-link JSON. The third item of an edge is a weight, a mapping with a `weight`, or None for 1.

    `node_weights` are used where all nodes have one.
    Raises InputError for nodes that have one name, and for numbers of edges that are not called `weight`.
    """
    names: dict[str, object] = {}
    for node in nodes:
        if names.setdefault(str(node), node) is not node:
            problem = f"two nodes are called {str(node)[:80]!r}, once as {type(node).__name__}"
            raise InputError("problem", problem, "Give each node a name of its own.")
    listed = list(edges)
    _check_attributes([data for *_, data in listed if isinstance(data, Mapping)])
    links = [
        {"source": str(first), "target": str(second), _WEIGHT: _weight(data, f"the edge between {first} and {second}")}
        for first, second, data in listed
    ]
    given = [None if node_weights is None else node_weights.get(node) for node in names.values()]
    weights = [{} if None in given else {_WEIGHT: _weight(each, "the nodes")} for each in given]
    listed_nodes = [{"id": name, **weight} for name, weight in zip(names, weights, strict=True)]
    return json.dumps({"graph": OF_OBJECT, "nodes": listed_nodes, "links": links})


def _check_undirected(*, directed: bool, remedy: str) -> None:
    if directed:
        raise InputError("problem", "the graph is directed, and a cut has no direction", remedy)


def _check_attributes(attributes: list[Mapping[object, object]]) -> None:
    """Refuse numbers under other names where no edge has a weight: each edge would count as 1 in silence."""
    if any(_WEIGHT in data for data in attributes):
        return
    for data in attributes:
        for name, value in data.items():
            if isinstance(value, numbers.Real) and not isinstance(value, bool):
                problem = f"the edges have a number {str(name)[:80]!r}, and no weight"
                raise InputError("problem", problem, "Name it weight, or remove it, and each edge counts as 1.")


def _weight(data: object, where: str) -> float:
    weight = data.get(_WEIGHT, 1.0) if isinstance(data, Mapping) else data
    if weight is None:
        return 1.0
    if isinstance(weight, bool) or not isinstance(weight, numbers.Real):
        problem = f"the weight of {where} is {str(weight)[:80]!r}, no number"
        raise InputError("problem", problem, "Give a number.")
    return float(weight)
