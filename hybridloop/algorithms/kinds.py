"""What a text looks like before it is read: for a word about one that came to an algorithm that can't use it."""

from __future__ import annotations

import enum
import itertools
import json
import re

_LOOKED_AT = 20  # lines
_LONGEST = 500  # characters of a line that may be an edge
_GEOMETRY = re.compile(
    r"\s*\d+[ \t]*\n[^\n]*\n\s*[A-Za-z]{1,2}\d*(\s+[-+]?[\d.]+(e[-+]?\d+)?){3}\s*(\n|$)", re.IGNORECASE
)
_YAML = re.compile(r"[A-Za-z_]+:(\s|$)")


class Kind(enum.StrEnum):
    """What is told apart, in words."""

    FCIDUMP = "a molecule's integrals (FCIDUMP)"
    QCSCHEMA = "a molecule's integrals (QCSchema)"
    PAULI_SUM = "a Pauli sum"
    GEOMETRY = "a molecule's geometry (XYZ)"
    EDGE_LIST = "a graph (an edge list)"
    GRAPHML = "a graph (GraphML)"
    NODE_LINK = "a graph (node-link JSON)"
    BINARY = "a binary problem (JSON)"
    CIRCUIT = "a circuit (OpenQASM)"
    SETTINGS = "settings (YAML)"


OF_ENERGIES = frozenset({Kind.FCIDUMP, Kind.QCSCHEMA, Kind.PAULI_SUM, Kind.GEOMETRY})
OF_ASSIGNMENTS = frozenset({Kind.EDGE_LIST, Kind.GRAPHML, Kind.NODE_LINK, Kind.BINARY})
_BY_KEY = {
    "terms": Kind.PAULI_SUM,
    "wavefunction": Kind.QCSCHEMA,
    "properties": Kind.QCSCHEMA,
    "schema_name": Kind.QCSCHEMA,
    "nodes": Kind.NODE_LINK,
    "linear_biases": Kind.BINARY,
    "qubo": Kind.BINARY,
    "J": Kind.BINARY,
    "numbers": Kind.BINARY,
    "returns": Kind.BINARY,
}


def is_geometry(text: str) -> bool:
    """Whether it is an XYZ text: a number of atoms, a comment, then lines of a symbol and three coordinates."""
    return _GEOMETRY.match(text) is not None


def kind_of(text: str) -> Kind | None:
    """What the text looks like; None where it looks like nothing that is known, or like several."""
    begins = text[:_LONGEST].lstrip("\ufeff \t\r\n")
    if begins[:4].upper() == "&FCI":
        return Kind.FCIDUMP
    if begins.startswith(("{", "[")):
        return _kind_of_json(text.lstrip("\ufeff"))
    if begins.startswith("<"):
        return Kind.GRAPHML if "<graphml" in text[: 10 * _LONGEST] else None
    if is_geometry(text):
        return Kind.GEOMETRY
    lines = [words for line in itertools.islice(text.splitlines(), _LOOKED_AT) if (words := _words(line))]
    if any(line[0] == "OPENQASM" for line in lines[:1]):
        return Kind.CIRCUIT
    if lines and all(_YAML.match(" ".join(line)) or line[0] == "-" for line in lines):
        return Kind.SETTINGS
    return Kind.EDGE_LIST if lines and all(map(_is_edge, lines)) else None


def _kind_of_json(text: str) -> Kind | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # whoever reads it says what is wrong with it
        return None
    found = {_BY_KEY[key] for key in value if key in _BY_KEY} if isinstance(value, dict) else set()
    return found.pop() if len(found) == 1 else None


def _words(line: str) -> list[str]:
    for mark in ("#", "%", "//"):
        line = line[:_LONGEST].split(mark, 1)[0]
    return line.replace(",", " ").split()


def _is_edge(words: list[str]) -> bool:
    return len(words) == 2 or (len(words) == 3 and _is_number(words[2]))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
