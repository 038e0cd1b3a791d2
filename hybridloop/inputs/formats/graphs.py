"""Readers for graphs in GraphML, node-link JSON, METIS, DIMACS, GML and GEXF; tables of edges have their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from hybridloop.algorithms.binary.graphs import MAX_EDGES, Graph, GraphBuilder
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.adjacency import read_adjacency
from hybridloop.inputs.formats.json_text import JsonDocument
from hybridloop.inputs.formats.rows import is_number, is_whole

OF_OBJECT: Mapping[str, Any] = {"object": True}  # `graph` of node-link JSON that was written for an object
MAX_CHARACTERS = 200 * MAX_EDGES
_DIRECTED = ("the graph is directed", "Give an undirected graph: each edge once, with its total weight.")
_SHOWN = ("id", "name", "label", "title", "color", "colour", "key")  # names that change no problem
_DRAWN = ("pos", "x", "y", "z", "size", "shape", "type", "level", "group", "bipartite", "data", "viz")
_WEIGHT = "weight"
_STRUCTURE = ("graphml", "graph", "node", "edge", "gexf", "nodes", "edges")  # elements of XML without text of their own
_DECLARE = "Declare each node."
_GEXF_NAMESPACE = re.compile(r"http://(?:www\.)?gexf\.net/1\.\d(?:draft)?(?=[\"'])")
_KNOWN_GEXF = "http://www.gexf.net/1.2draft"  # to networkx; a graph's elements are the same in 1.3


@dataclass(slots=True)
class _Attributes:
    """Nodes and edges with their attributes, from which the weights are chosen once all are known.

    The weight of an edge is its `weight`, else the only attribute that is a number in all edges which have it. That of
    a node is its `weight`.
    """

    source: str
    nodes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    edges: list[tuple[str, str, Mapping[str, Any], int | None]] = field(default_factory=list)
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of edges

    def graph(self, kind: str) -> Graph:
        """Return the graph of a text of this kind. Raises ProblemError where it has no clear weight."""
        builder = GraphBuilder(self.source)
        numbers = _numeric([data for _, _, data, _ in self.edges] + [self.defaults])
        chosen = next((name for name in numbers if name.lower() == _WEIGHT), None)
        if chosen is None and len(numbers) > 1:
            problem = f"the edges have the numbers {', '.join(map(repr, numbers))[:80]}, and no weight"
            raise builder.error(None, problem, "Name one weight, or remove them, and each edge counts as 1.")
        named = {name for _, _, data, _ in self.edges for name in data if name.lower() == _WEIGHT}
        chosen = chosen or next(iter(numbers or named), None)  # a weight that is no number is reported with its edge
        reading, unused = [kind], [f"{name!r} of the edges" for name in numbers if name != chosen]
        if chosen is not None:
            reading.append(f"{chosen[:40]!r} as weight")
        of_nodes = _numeric(self.nodes.values())
        for name, data in self.nodes.items():
            builder.add_node(name, None)
            if _WEIGHT in of_nodes and data.get(_WEIGHT) is not None:
                builder.node_weights[name] = float(data[_WEIGHT])
        unused += [f"{name!r} of the nodes" for name in of_nodes if name != _WEIGHT]
        for first, second, data, line in self.edges:
            given = {**self.defaults, **data}
            if chosen not in (None, *given) and str(chosen).lower() != _WEIGHT:
                problem = f"the edge between {first!r} and {second!r} has no {chosen!r}, and other edges have"
                raise builder.error(line, problem, "Name the weight 'weight', or give each edge one.")
            weight = given.get(chosen, 1.0) if chosen is not None else 1.0
            builder.add_edge(first, second, self._number(builder, weight, line), line)
        return builder.build(f"read as {', '.join(reading)}", unused=unused)

    @staticmethod
    def _number(builder: GraphBuilder, weight: Any, line: int | None) -> float:
        if isinstance(weight, str):
            return builder.parse_weight(weight.strip(), line)
        try:
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise ValueError
            return float(weight)
        except (ValueError, OverflowError):
            problem = f"the weight {str(weight)[:40]!r} is not a number"
            raise builder.error(line, problem, "Give a number.") from None


def _numeric(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of attributes that are numbers wherever they are, but for those that are shown or drawn."""
    kinds: dict[str, bool] = {}
    for data in rows:
        for name, value in data.items():
            is_one = not isinstance(value, bool) and (
                isinstance(value, int | float) or (isinstance(value, str) and is_number(value.strip()))
            )
            kinds[name] = kinds.get(name, True) and is_one
    return [name for name, is_one in kinds.items() if is_one and name.lower() not in (*_SHOWN, *_DRAWN)]


def read_graphml(text: str, source: str) -> Graph:
    """Read a GraphML graph (U. Brandes et al., Graph Drawing 2001, 501).

    The weight of an edge is its data `weight`, or the only data that are numbers. Raises ProblemError for malformed
    XML, directed edges, hyperedges, nested graphs, document types, and data that are not declared.
    """
    if len(text) > MAX_CHARACTERS:
        problem = f"the text has more than {MAX_CHARACTERS:,} characters"
        raise ProblemError(source, None, problem, "Give a smaller graph.")
    return _GraphMl(source).read(text)


class _GraphMl:
    """A single-pass parser of GraphML on expat's callbacks."""

    def __init__(self, source: str) -> None:
        self._found = _Attributes(source)
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True  # the text of a weight arrives in one piece
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._keys: dict[str, str] = {}  # id of data → name
        self._defaults: dict[str, str] = {}
        self._key = ""
        self._is_of_edges = False
        self._graphs = 0
        self._data: dict[str, str] | None = None  # of the current node or edge
        self._words: list[str] | None = None  # the text of the current data
        self._open: list[str] = []  # names of the elements around

    def read(self, text: str) -> Graph:
        try:
            self._parser.Parse(text, True)  # noqa: FBT003  # the parser's own signature: isfinal
        except expat.ExpatError as error:
            problem = f"this is not XML: {expat.ErrorString(error.code)}"
            raise self._error(error.lineno, problem, "Export the file again.") from error
        if not self._graphs:
            raise self._error(None, "there is no <graph>", "Give a GraphML file with a graph.")
        self._found.defaults = self._defaults
        for *ends, _, line in self._found.edges:
            for name in ends:
                if name not in self._found.nodes:
                    raise self._error(line, f"the edge names {name!r}, which is no node", _DECLARE)
        return self._found.graph("GraphML")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._words = None  # data that have elements in them are drawn, and no number
        line, name = self._parser.CurrentLineNumber, tag.rsplit(" ", 1)[-1]
        self._open.append(name)
        if name == "graph":
            self._graphs += 1
            if self._graphs > 1:
                raise self._error(line, "there is a second <graph>", "Give a file with one graph.")
            if attributes.get("edgedefault") == "directed":
                raise self._error(line, *_DIRECTED)
        elif name == "key":
            self._key = self._attribute(attributes, "id", name, line)
            self._keys[self._key] = attributes.get("attr.name") or self._key
            self._is_of_edges = attributes.get("for") in ("edge", "all", None)
        elif name == "default" and self._is_of_edges:
            self._words = []
        elif name == "node":
            identifier = self._attribute(attributes, "id", name, line)
            if identifier in self._found.nodes:
                raise self._error(line, f"node {identifier!r} is given twice", "Give each node once.")
            self._data = {}
            self._found.nodes[identifier] = self._data
        elif name == "edge":
            source, target = (self._attribute(attributes, key, name, line) for key in ("source", "target"))
            if attributes.get("directed") == "true":
                raise self._error(line, *_DIRECTED)
            if len(self._found.edges) >= MAX_EDGES:
                raise self._error(line, f"there are more than {MAX_EDGES:,} edges", "Give a smaller graph.")
            self._data = {}
            self._found.edges.append((source, target, self._data, line))
        elif name == "hyperedge":
            raise self._error(line, "hyperedges are not supported", "Give edges between two nodes.")
        elif name == "data" and self._data is not None:
            if (key := attributes.get("key")) not in self._keys:
                raise self._error(line, f"the data key {key!r} is not declared", "Declare it with <key>.")
            self._key, self._words = str(key), []

    def _end(self, _tag: str) -> None:
        name = self._open.pop()
        if name in ("data", "default") and self._words is not None:
            words, self._words = "".join(self._words).strip(), None
            target = self._defaults if name == "default" or self._data is None else self._data
            target[self._keys[self._key]] = words
        elif name == "key":
            self._is_of_edges = False
        elif name in ("node", "edge"):
            self._data = None

    def _characters(self, data: str) -> None:
        if self._words is not None:
            self._words.append(data)
        elif data.strip() and self._open[-1] in _STRUCTURE:
            problem = f"there is text in <{self._open[-1]}>: {data.strip()[:40]!r}"
            raise self._error(self._parser.CurrentLineNumber, problem, "Remove it.")

    def _doctype(self, *_: Any) -> None:
        problem = "it declares a document type, which GraphML does not need"
        raise self._error(self._parser.CurrentLineNumber, problem, "Remove the declaration.")

    def _attribute(self, attributes: dict[str, str], key: str, tag: str, line: int) -> str:
        if not (value := attributes.get(key)):
            raise self._error(line, f"<{tag}> has no {key}", "Export the file again.")
        return value

    def _error(self, line: int | None, problem: str, remedy: str) -> ProblemError:
        return ProblemError(self._found.source, line, problem, remedy)


def read_node_link(document: JsonDocument) -> Graph:
    """Read a node-link graph as rustworkx, networkx and D3 write it: `nodes` with ids, `links` or `edges` between them.

    Nodes may be names, or be left out; links may be lists of two nodes and a weight. The weight is the `weight` of a
    link or of its `data`, else its only number, as D3's `value`; rustworkx writes it as a string. Raises ProblemError
    for malformed nodes and links.
    """
    value, found = document.value, _Attributes(document.source)
    if value.get("directed") not in (False, None):
        raise document.error(*_DIRECTED)
    if "links" in value and "edges" in value:
        raise document.error("there are 'links' and 'edges'", "Give one of them.")
    nodes, links = value.get("nodes"), value.get("links", value.get("edges", []))
    for name, rows, kinds in (("nodes", nodes or [], dict | str | int), ("links", links, dict | list)):
        if not isinstance(rows, list) or not all(isinstance(row, kinds) for row in rows):
            raise document.error(f"{name!r} is not a list of objects", "Give node-link JSON.")
    if len(links) > MAX_EDGES:
        raise document.error(f"there are more than {MAX_EDGES:,} edges", "Give a smaller graph.")
    positions: list[str] = []
    for position, node in enumerate(nodes or []):
        row = _flat(node) if isinstance(node, dict) else {"id": node}
        wrong = next((key for key in row if key.lower() in ("id", "name") and key not in ("id", "name")), None)
        if wrong is not None and "id" not in row:
            raise document.error(f"there is no key {wrong!r} in this format", f"Did you mean {wrong.lower()!r}?")
        name = _name(document, row, "id" if "id" in row else "name", position)
        if name in found.nodes:
            raise document.error(f"node {name!r} is given twice", "Give each node once.")
        found.nodes[name] = {key: each for key, each in row.items() if key not in _SHOWN}
        positions.append(name)
    are_named = any(isinstance(link, dict) and isinstance(link.get("source"), str) for link in links)
    have_ids = all("id" in node for node in nodes or [] if isinstance(node, dict))
    are_positions = not (are_named or have_ids)  # as D3 counts nodes that have names from 0
    for link in links:
        row = _flat(link) if isinstance(link, dict) else dict(zip(("source", "target", _WEIGHT), link, strict=False))
        if isinstance(link, list) and len(link) not in (2, 3):
            raise document.error(f"{str(link)[:60]} is not two nodes and a weight", "Give [0, 1, 1.5].")
        ends = [_name(document, row, key, None) for key in ("source", "target")]
        if are_positions:
            ends = [positions[int(end)] if is_whole(end) and int(end) < len(positions) else end for end in ends]
        for name in ends if nodes is not None else ():
            if name not in found.nodes:
                raise document.error(f"the link names {name!r}, which is not a node", "Name nodes of the list.")
        data = {key: each for key, each in row.items() if key not in ("source", "target")}
        found.edges.append((ends[0], ends[1], data, None))
    graph = found.graph("node-link JSON")
    return replace(graph, reading="") if value.get("graph") == OF_OBJECT else graph


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a node or link with those of its `data`."""
    data = row.get("data")
    return {**row, **data} if isinstance(data, dict) else dict(row)


def _name(document: JsonDocument, row: Mapping[str, Any], key: str, default: int | None) -> str:
    value = row.get(key, default)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise document.error(f"{key!r} is {value!r}, not a name or number", "Name the node.")
    return str(value)


def read_metis(text: str, source: str) -> Graph:
    """Read a graph in METIS' format (`read_adjacency`). Raises ProblemError."""
    found, builder = read_adjacency(text, source), GraphBuilder(source)
    for number in range(1, found.nodes + 1):
        builder.add_node(str(number), None)
    if found.node_weights is not None:
        builder.node_weights.update(zip(builder.nodes, found.node_weights, strict=True))
    for (i, j), weight in sorted(found.edges.items()):
        builder.add_edge(str(i), str(j), weight, None)
    return builder.build("read as METIS")


def read_dimacs(text: str, source: str) -> Graph:
    """Read a graph in DIMACS' format: `p edge nodes edges`, then `e node node [weight]`, and `n node weight`.

    D. S. Johnson and M. A. Trick, DIMACS Series 26 (1996). Raises ProblemError for directed problems, and for other
    lines and counts.
    """
    builder, counts, found = GraphBuilder(source), None, 0
    for line, text_line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        words = text_line.split()
        if not words or words[0].startswith(("c", "#")):
            continue
        code, rest = words[0], words[1:]
        if code == "p" and counts is None and len(rest) == 3 and all(map(is_whole, rest[1:])):
            if rest[0] in ("sp", "max", "min", "asn"):
                problem = f"this is a problem of DIMACS' kind {rest[0]!r}, and undirected edges are read"
                raise builder.error(line, problem, "Give `p edge nodes edges`.")
            counts = int(rest[1]), int(rest[2])
            for number in range(1, min(counts[0], MAX_EDGES) + 1):
                builder.add_node(str(number), line)
        elif code == "n" and counts is not None and len(rest) == 2 and rest[0] in builder.nodes:
            builder.node_weights[rest[0]] = builder.parse_weight(rest[1], line)
        elif code == "e" and counts is not None and len(rest) in (2, 3) and all(e in builder.nodes for e in rest[:2]):
            builder.add_edge(rest[0], rest[1], builder.parse_weight(rest[2], line) if rest[2:] else 1.0, line)
            found += 1
        else:
            problem = f"{text_line.strip()[:80]!r} is no edge of DIMACS' format"
            raise builder.error(line, problem, "Write `e node node` below `p edge nodes edges`.")
    if counts is None or counts[1] != found:
        stated = "no numbers of nodes and edges" if counts is None else f"{counts[1]} edges"
        raise builder.error(None, f"its line `p` states {stated}, and {found} follow", "Give the whole file.")
    return builder.build("read as DIMACS")


def read_with_networkx(text: str, source: str, kind: str) -> Graph:
    """Read a graph in GML or GEXF, which takes networkx. Raises ProblemError, InputError without it."""
    try:
        import networkx
    except ImportError as error:
        remedy = "Install it: pip install 'hybridloop[networkx]'."
        raise InputError("problem", f"{source}: {kind} needs networkx, which is not installed", remedy) from error
    if len(text) > MAX_CHARACTERS:
        raise ProblemError(
            source, None, f"the text has more than {MAX_CHARACTERS:,} characters", "Give a smaller graph."
        )
    if re.search(r"<!(?:DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise ProblemError(source, None, "it declares a document type, which is not needed", "Remove the declaration.")
    text = _GEXF_NAMESPACE.sub(_KNOWN_GEXF, text)
    try:
        if kind == "GML":
            body = "\n".join(line for line in text.lstrip("\ufeff").splitlines() if not line.lstrip().startswith("#"))
            try:
                graph = networkx.parse_gml(body)
            except networkx.NetworkXError as error:
                if "label" not in str(error):
                    raise
                graph = networkx.parse_gml(body, label="id")
        else:
            import io

            _check_gexf(text, source)
            graph = networkx.read_gexf(io.BytesIO(text.lstrip("\ufeff").encode()))
    except ProblemError:
        raise
    except Exception as error:  # networkx raises many kinds for malformed text
        problem = f"networkx can't read this {kind}: {' '.join(str(error).split())[:120]}"
        raise ProblemError(source, None, problem, "Export the file again.") from error
    if graph.is_directed():
        raise ProblemError(source, None, *_DIRECTED)
    found = _Attributes(source)
    for node, data in graph.nodes(data=True):
        found.nodes[str(node)] = data
    if len(found.nodes) < graph.number_of_nodes():
        raise ProblemError(source, None, "two nodes have one name", "Give each node a name of its own.")
    for first, second, data in graph.edges(data=True):
        given = {name: each for name, each in data.items() if name not in ("id", "label")}
        found.edges.append((str(first), str(second), given, None))
    if len(found.edges) > MAX_EDGES:
        raise ProblemError(source, None, f"there are more than {MAX_EDGES:,} edges", "Give a smaller graph.")
    if kind == "GEXF" and not re.search(r"<edge\b[^>]*\bweight=", text):  # networkx counts edges without weight as 1
        for _, _, data, _ in found.edges:
            if isinstance(data, dict) and data.get(_WEIGHT) == 1.0:
                data.pop(_WEIGHT)
    return found.graph(kind)


def _check_gexf(text: str, source: str) -> None:
    """Raise ProblemError for edges to nodes that are not declared, and for text beside elements: networkx takes both.

    The text declares no document type.
    """
    nodes, ends = set[str](), list[str]()
    for element in ElementTree.fromstring(text.lstrip("\ufeff")).iter():
        name = element.tag.rpartition("}")[2]
        inside = "".join([element.text or "", *(child.tail or "" for child in element)]).strip()
        if inside and name in _STRUCTURE:
            raise ProblemError(source, None, f"there is text in <{name}>: {inside[:40]!r}", "Remove it.")
        if name == "node":
            nodes.add(element.get("id", ""))
        elif name == "edge":
            ends += [element.get("source", ""), element.get("target", "")]
    if unknown := next((name for name in ends if name not in nodes), None):
        raise ProblemError(source, None, f"the edge names {unknown!r}, which is no node", _DECLARE)
