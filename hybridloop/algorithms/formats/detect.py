"""Detection of a text's format by its content, never by the file's name; it imports no numerical library.

The detected format is named in the message for a text that an algorithm cannot use.
"""

from __future__ import annotations

import enum
import itertools
import json
import re

from hybridloop.algorithms.formats.geometry import is_geometry

_MAX_LINES = 20  # that are looked at
_MAX_LINE_LENGTH = 500  # characters of a line that may be an edge
_YAML = re.compile(r"[A-Za-z_]+:(\s|$)")


class InputFormat(enum.StrEnum):
    """A format of input text; the value names it in messages."""

    FCIDUMP = "a molecule's integrals (FCIDUMP)"
    MOLECULE = "a molecule's integrals and geometry (JSON)"
    PAULI_SUM = "a Pauli sum"
    GEOMETRY = "a molecule's geometry"
    EDGE_LIST = "a graph (an edge list)"
    TABLE = "a table (CSV)"
    GRAPHML = "a graph (GraphML)"
    NODE_LINK = "a graph (node-link JSON)"
    BINARY = "a binary problem (JSON)"
    CIRCUIT = "a circuit (OpenQASM)"
    SETTINGS = "settings (YAML)"


ENERGY_FORMATS = frozenset({InputFormat.FCIDUMP, InputFormat.MOLECULE, InputFormat.PAULI_SUM, InputFormat.GEOMETRY})
BINARY_FORMATS = frozenset(
    {InputFormat.EDGE_LIST, InputFormat.TABLE, InputFormat.GRAPHML, InputFormat.NODE_LINK, InputFormat.BINARY}
)
_FORMAT_BY_KEY = {
    "fcidump": InputFormat.MOLECULE,
    "terms": InputFormat.PAULI_SUM,
    "nodes": InputFormat.NODE_LINK,
    "linear_biases": InputFormat.BINARY,
    "qubo": InputFormat.BINARY,
    "J": InputFormat.BINARY,
    "numbers": InputFormat.BINARY,
    "returns": InputFormat.BINARY,
}


def detect_format(text: str) -> InputFormat | None:
    """Return the format the text seems to have; None if it is unknown or ambiguous."""
    start = text[:_MAX_LINE_LENGTH].lstrip("\ufeff \t\r\n")
    if start[:4].upper() == "&FCI":
        return InputFormat.FCIDUMP
    if start.startswith(("{", "[")):
        return _detect_json_format(text.lstrip("\ufeff"))
    if start.startswith("<"):
        return InputFormat.GRAPHML if "<graphml" in text[: 10 * _MAX_LINE_LENGTH] else None
    if is_geometry(text):
        return InputFormat.GEOMETRY
    lines = [words for line in itertools.islice(text.splitlines(), _MAX_LINES) if (words := _words(line))]
    if any(line[0] == "OPENQASM" for line in lines[:1]):
        return InputFormat.CIRCUIT
    if lines and all(_YAML.match(" ".join(line)) or line[0] == "-" for line in lines):
        return InputFormat.SETTINGS
    if lines and all(map(_is_edge, lines)):
        return InputFormat.EDGE_LIST
    return InputFormat.TABLE if _is_table(text) else None


def _detect_json_format(text: str) -> InputFormat | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # its reader will report the error
        return None
    formats = {_FORMAT_BY_KEY[key] for key in value if key in _FORMAT_BY_KEY} if isinstance(value, dict) else set()
    return formats.pop() if len(formats) == 1 else None


def _is_table(text: str) -> bool:
    """Return whether the first lines have one number of cells, of which some below the first line are numbers."""
    lines = [line[:_MAX_LINE_LENGTH] for line in itertools.islice(text.splitlines(), _MAX_LINES)]
    rows = [re.split("[,;\t]", line) for line in lines if line.strip() and not line.startswith("#")]
    is_even = len(rows) > 1 and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1
    return is_even and any(_is_number(cell) for row in rows[1:] for cell in row)


def _words(line: str) -> list[str]:
    for mark in ("#", "%", "//"):
        line = line[:_MAX_LINE_LENGTH].split(mark, 1)[0]
    return line.replace(",", " ").split()


def _is_edge(words: list[str]) -> bool:
    return len(words) == 2 or (len(words) == 3 and _is_number(words[2]))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
