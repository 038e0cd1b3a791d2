"""Reads graphs from GraphML and from node-link JSON; edge lists are read in `graphs`."""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from hybridloop.algorithms.graphs import MOST_EDGES, Graph, GraphBuilder
from hybridloop.algorithms.lined_json import LinedJson
from hybridloop.errors import ProblemError

MOST_CHARACTERS = 200 * MOST_EDGES


def read_graphml(text: str, source: str) -> Graph:
    """A GraphML graph (U. Brandes et al., Graph Drawing 2001, 501), its edges weighted by their data named `weight`.

    Directed edges count as undirected ones. Hyperedges, nested graphs and document types are refused.
    """
    if len(text) > MOST_CHARACTERS:
        raise ProblemError(source, None, f"it has more than {MOST_CHARACTERS:,} characters", "Give a smaller graph.")
    return _GraphMl(source).read(text)


class _GraphMl:
    """One pass over the XML."""

    def __init__(self, source: str) -> None:
        self._builder = GraphBuilder(source)
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True  # a weight comes in one piece
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._weight_key: str | None = None
        self._in_weight_key = False
        self._default = 1.0
        self._graphs = 0
        self._edge: tuple[str, str, int] | None = None
        self._weight = 1.0
        self._words: list[str] | None = None  # of an element whose text is a weight

    def read(self, text: str) -> Graph:
        try:
            self._parser.Parse(text, True)  # noqa: FBT003  # the parser's own signature: this is all of it
        except expat.ExpatError as error:
            problem = f"this is no XML: {expat.ErrorString(error.code)}"
            raise self._builder.refusal(error.lineno, problem, "Export the file again.") from error
        if not self._graphs:
            raise self._builder.refusal(None, "there is no <graph>", "Give a GraphML file.")
        return self._builder.graph()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        line, name = self._parser.CurrentLineNumber, tag.rsplit(" ", 1)[-1]
        if name == "graph":
            self._graphs += 1
            if self._graphs > 1:
                raise self._builder.refusal(line, "there is a second <graph>", "Give a file with one graph.")
        elif name == "key":
            if attributes.get("attr.name") == "weight" and attributes.get("for") in ("edge", "all", None):
                self._weight_key = self._attribute(attributes, "id", name, line)
                self._in_weight_key = True
        elif name == "default" and self._in_weight_key:
            self._words = []
        elif name == "node":
            identifier = self._attribute(attributes, "id", name, line)
            if identifier in self._builder.nodes:
                raise self._builder.refusal(line, f"node {identifier!r} is there already", "Give each node once.")
            self._builder.node(identifier, line)
        elif name == "edge":
            one, other = (self._attribute(attributes, key, name, line) for key in ("source", "target"))
            self._edge, self._weight = (one, other, line), self._default
        elif name == "hyperedge":
            raise self._builder.refusal(line, "hyperedges are not supported", "Give edges between two nodes.")
        elif name == "data" and self._edge is not None and attributes.get("key") == self._weight_key is not None:
            self._words = []

    def _end(self, tag: str) -> None:
        line, name = self._parser.CurrentLineNumber, tag.rsplit(" ", 1)[-1]
        if name in ("data", "default") and self._words is not None:
            words, self._words = "".join(self._words).strip(), None
            if name == "data":
                self._weight = self._number(words, line)
            else:
                self._default = self._number(words, line)
        elif name == "key":
            self._in_weight_key = False
        elif name == "edge" and self._edge is not None:
            (one, other, at), self._edge = self._edge, None
            self._builder.edge(one, other, self._weight, at)

    def _characters(self, data: str) -> None:
        if self._words is not None:
            self._words.append(data)

    def _doctype(self, *_: Any) -> None:
        problem = "it declares a document type, which GraphML has no use for"
        raise self._builder.refusal(self._parser.CurrentLineNumber, problem, "Remove the declaration.")

    def _attribute(self, attributes: dict[str, str], key: str, tag: str, line: int) -> str:
        if not (value := attributes.get(key)):
            raise self._builder.refusal(line, f"<{tag}> has no {key}", "Export the file again.")
        return value

    def _number(self, words: str, line: int) -> float:
        try:
            return float(words)
        except ValueError:
            problem = f"the weight {words[:40]!r} is not a number"
            raise self._builder.refusal(line, problem, "Correct the line.") from None


def read_node_link(document: LinedJson) -> Graph:
    """A graph as rustworkx and networkx write it: `nodes` with ids, `links` or `edges` with source and target.

    The weight is a link's `weight`, at its top or in its `data`; without one it is 1. rustworkx writes data as words.
    """
    value, builder = document.value, GraphBuilder(document.source)
    nodes, links = value.get("nodes"), value.get("links", value.get("edges"))
    for name, rows in (("nodes", nodes), ("links", links)):
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise document.refusal(value, f"{name!r} is no list of objects", "Give node-link JSON.")
    if len(links) > MOST_EDGES:
        raise document.refusal(value, f"there are more than {MOST_EDGES:,} edges", "Give a smaller graph.")
    for position, node in enumerate(nodes):
        name = _name(document, node, "id", position)
        if name in builder.nodes:
            raise document.refusal(node, f"node {name!r} is there already", "Give each node once.")
        builder.node(name, document.line_of(node))
    for link in links:
        one, other = (_name(document, link, key, None) for key in ("source", "target"))
        for name in (one, other):
            if name not in builder.nodes:
                raise document.refusal(link, f"the link names {name!r}, which is no node", "Name nodes that are there.")
        builder.edge(one, other, _link_weight(document, link), document.line_of(link))
    return builder.graph()


def _name(document: LinedJson, row: dict[str, Any], key: str, default: int | None) -> str:
    value = row.get(key, default)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise document.refusal(row, f"{key!r} is {value!r}, which is no name or number", "Name the node.")
    return str(value)


def _link_weight(document: LinedJson, link: dict[str, Any]) -> float:
    data = link.get("data")
    weight = link.get("weight", data.get("weight", 1.0) if isinstance(data, dict) else 1.0)
    try:
        if isinstance(weight, bool) or not isinstance(weight, str | int | float):
            raise ValueError
        return float(weight)
    except (ValueError, OverflowError):
        raise document.refusal(link, f"the weight {weight!r} is not a number", "Give a number.") from None
