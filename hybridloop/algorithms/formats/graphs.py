"""Readers for graphs in GraphML and node-link JSON; edge lists are read in `problems/graphs.py`."""

from __future__ import annotations

import difflib
from typing import Any
from xml.parsers import expat

from hybridloop.algorithms.formats.json_text import JsonDocument
from hybridloop.algorithms.problems.graphs import MAX_EDGES, Graph, GraphBuilder
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import ProblemError

MAX_CHARACTERS = 200 * MAX_EDGES
_SIMILAR = 0.8  # a name this similar to `weight` is a misspelt one
_DIRECTED = ("the graph is directed", "Give an undirected graph: each edge once, with its total weight.")
_SHOWN = ("id", "name", "label", "title", "color", "colour")  # names that change no problem
_NODE_NAMES = (*_SHOWN, "data", "group", "pos", "x", "y", "z", "size", "shape", "type", "value", "level", "bipartite")
_LINK_NAMES = ("source", "target", "weight", "data", "key", *_SHOWN)


def read_graphml(text: str, source: str) -> Graph:
    """Read a GraphML graph (U. Brandes et al., Graph Drawing 2001, 501); edge weights are the data named `weight`.

    Raises ProblemError for malformed XML, directed edges, hyperedges, nested graphs, document types, data of edges that
    are not declared, and a name that is nearly `weight`.
    """
    if len(text) > MAX_CHARACTERS:
        problem = f"the text has more than {MAX_CHARACTERS:,} characters"
        raise ProblemError(source, None, problem, "Give a smaller graph.")
    return _GraphMl(source).read(text)


class _GraphMl:
    """A single-pass parser of GraphML on expat's callbacks."""

    def __init__(self, source: str) -> None:
        self._builder = GraphBuilder(source)
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True  # the text of a weight arrives in one piece
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._keys: set[str] = set()
        self._weight_key: str | None = None
        self._in_weight_key = False
        self._default = 1.0
        self._graphs = 0
        self._edge: tuple[str, str, int] | None = None
        self._weight = 1.0
        self._words: list[str] | None = None  # the text of the current element, if it is a weight

    def read(self, text: str) -> Graph:
        try:
            self._parser.Parse(text, True)  # noqa: FBT003  # the parser's own signature: isfinal
        except expat.ExpatError as error:
            problem = f"this is not XML: {expat.ErrorString(error.code)}"
            raise self._builder.error(error.lineno, problem, "Export the file again.") from error
        if not self._graphs:
            raise self._builder.error(None, "there is no <graph>", "Give a GraphML file with a graph.")
        return self._builder.build()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        line, name = self._parser.CurrentLineNumber, tag.rsplit(" ", 1)[-1]
        if name == "graph":
            self._graphs += 1
            if self._graphs > 1:
                raise self._builder.error(line, "there is a second <graph>", "Give a file with one graph.")
            if attributes.get("edgedefault") == "directed":
                raise self._builder.error(line, *_DIRECTED)
        elif name == "key":
            self._declare(attributes, line)
        elif name == "default" and self._in_weight_key:
            self._words = []
        elif name == "node":
            identifier = self._attribute(attributes, "id", name, line)
            if identifier in self._builder.nodes:
                raise self._builder.error(line, f"node {identifier!r} is given twice", "Give each node once.")
            self._builder.add_node(identifier, line)
        elif name == "edge":
            source, target = (self._attribute(attributes, key, name, line) for key in ("source", "target"))
            if attributes.get("directed") == "true":
                raise self._builder.error(line, *_DIRECTED)
            self._edge, self._weight = (source, target, line), self._default
        elif name == "hyperedge":
            raise self._builder.error(line, "hyperedges are not supported", "Give edges between two nodes.")
        elif name == "data" and self._edge is not None:
            if (key := attributes.get("key")) not in self._keys:
                raise self._builder.error(line, f"the data key {key!r} is not declared", "Declare it with <key>.")
            self._words = [] if key == self._weight_key else None

    def _declare(self, attributes: dict[str, str], line: int) -> None:
        """Keep the id of a key; that of the edges' weights in particular."""
        identifier, title = self._attribute(attributes, "id", "key", line), attributes.get("attr.name")
        self._keys.add(identifier)
        if attributes.get("for") not in ("edge", "all", None):
            return
        if title == "weight":
            self._weight_key, self._in_weight_key = identifier, True
        elif difflib.get_close_matches((title or identifier).lower()[:80], ["weight"], cutoff=_SIMILAR):
            problem = f"there is no data {title or identifier!r} of edges in this format"
            raise self._builder.error(line, problem, 'Did you mean attr.name="weight"?')

    def _end(self, tag: str) -> None:
        line, name = self._parser.CurrentLineNumber, tag.rsplit(" ", 1)[-1]
        if name in ("data", "default") and self._words is not None:
            words, self._words = "".join(self._words).strip(), None
            weight = self._builder.parse_weight(words, line)
            if name == "data":
                self._weight = weight
            else:
                self._default = weight
        elif name == "key":
            self._in_weight_key = False
        elif name == "edge" and self._edge is not None:
            (source, target, edge_line), self._edge = self._edge, None
            self._builder.add_edge(source, target, self._weight, edge_line)

    def _characters(self, data: str) -> None:
        if self._words is not None:
            self._words.append(data)

    def _doctype(self, *_: Any) -> None:
        problem = "it declares a document type, which GraphML does not need"
        raise self._builder.error(self._parser.CurrentLineNumber, problem, "Remove the declaration.")

    def _attribute(self, attributes: dict[str, str], key: str, tag: str, line: int) -> str:
        if not (value := attributes.get(key)):
            raise self._builder.error(line, f"<{tag}> has no {key}", "Export the file again.")
        return value


def read_node_link(document: JsonDocument) -> Graph:
    """Read a node-link graph as rustworkx and networkx write it: `nodes` with ids, `links` or `edges` between them.

    The weight is the `weight` of a link or of its `data`, by default 1; rustworkx writes it as a string. Raises
    ProblemError for malformed nodes and links.
    """
    value, builder = document.value, GraphBuilder(document.source)
    if value.get("directed") not in (False, None):
        raise document.error(*_DIRECTED)
    if "links" in value and "edges" in value:
        raise document.error("there are 'links' and 'edges'", "Give one of them.")
    nodes, links = value["nodes"], value.get("links", value.get("edges", ()))
    for name, rows in (("nodes", nodes), ("links", links)):
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise document.error(f"{name!r} is not a list of objects", "Give node-link JSON.")
    if len(links) > MAX_EDGES:
        raise document.error(f"there are more than {MAX_EDGES:,} edges", "Give a smaller graph.")
    for position, node in enumerate(nodes):
        document.check_names(node, _NODE_NAMES)
        name = _name(document, node, "id", position)
        if name in builder.nodes:
            raise document.error(f"node {name!r} is given twice", "Give each node once.")
        builder.add_node(name, None)
    for link in links:
        document.check_names(link, _LINK_NAMES)
        source, target = (_name(document, link, key, None) for key in ("source", "target"))
        for name in (source, target):
            if name not in builder.nodes:
                problem = f"the link names {name!r}, which is not a node"
                raise document.error(problem, "Name nodes of the list.")
        builder.add_edge(source, target, _link_weight(document, link), None)
    return builder.build()


def _name(document: JsonDocument, row: dict[str, Any], key: str, default: int | None) -> str:
    value = row.get(key, default)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise document.error(f"{key!r} is {value!r}, not a name or number", "Name the node.")
    return str(value)


def _link_weight(document: JsonDocument, link: dict[str, Any]) -> float:
    data = link.get("data")
    if isinstance(data, dict):
        document.check_names(data, ("weight", *_SHOWN))
    weight = link.get("weight", data.get("weight", 1.0) if isinstance(data, dict) else 1.0)
    try:
        if isinstance(weight, bool) or not isinstance(weight, str | int | float):
            raise ValueError
        return parse_decimal(weight) if isinstance(weight, str) else float(weight)
    except (ValueError, OverflowError):
        raise document.error(f"the weight {weight!r} is not a number", "Give a number.") from None
