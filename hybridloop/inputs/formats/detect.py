"""Detection of a text's format by its content, never by the file's name; it imports no numerical library.

All lines are looked at. The detected format is named in the message for a text that an algorithm cannot use.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from hybridloop.errors import ProblemError
from hybridloop.inputs.formats.geometry import geometry_format
from hybridloop.inputs.formats.rows import BLANKS, json_rows, read_rows
from hybridloop.runtime.leaves import leaf
from hybridloop.settings.input_format import InputFormat

if TYPE_CHECKING:
    from hybridloop.inputs.formats import adjacency, evidence, json_text, pauli_text
else:
    evidence = leaf("hybridloop.inputs.formats.evidence")
    adjacency = leaf("hybridloop.inputs.formats.adjacency")
    json_text = leaf("hybridloop.inputs.formats.json_text")
    pauli_text = leaf("hybridloop.inputs.formats.pauli_text")

LABEL_KEYS = ("pauli", "label", "paulis", "pauli_string", "term", "operator")
COEFFICIENT_KEYS = ("coeffs", "coeff", "coefficients", "coefficient", "weight", "value")

T = TypeVar("T")
_START = 5000  # characters in which a format of XML names itself
_XML = re.compile(r"<(?:\w+:)?(graphml|gexf)\b")
_YAML = re.compile(r"(?:[A-Za-z_]+:|-)(\s|$)")
_GML = re.compile(r"\s*(?:(?:#|Creator\b|Version\b|comment\b)[^\n]*\n\s*)*graph\s*\[", re.IGNORECASE)
_CODED = re.compile(r"(?:[c#][^\n]*\n\s*)*p[ \t]+(\w+)[ \t]+(?:unconstrained[ \t]+)?\d")
_CODES = {"qubo": InputFormat.QBSOLV, "cnf": InputFormat.CNF, "wcnf": InputFormat.CNF}
_CLAUSE = re.compile(r"(?P<weight>h|\d+(?:\.\d+)?)(?:\s+-?[1-9]\d*)+\s+0", re.ASCII)
_LP = re.compile(
    r"(?:\s*\\[^\n]*\n)*\s*(?:maxim(?:i[sz]e|um)|minim(?:i[sz]e|um)|max|min)\b.*^[ \t]*"
    r"(?:subject\s+to|such\s+that|s\.?t\.?|bin(?:ary|aries)?)\b",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_MPS = re.compile(
    r"(?:\*[^\n]*\n)*+(?:NAME\b[^\n]*\n)?(?:\*[^\n]*\n)*+"
    r"(?:OBJSENSE\b[^\n]*\n(?:[ \t][^\n]*\n)?|OBJNAME\b[^\n]*\n(?:[ \t][^\n]*\n)?)*ROWS[ \t]*\n"
)
_QASM = re.compile(r"(?:\s*//[^\n]*\n)*\s*OPENQASM\b")
_FORMAT_BY_KEY = {
    "fcidump": InputFormat.MOLECULE,
    "terms": InputFormat.PAULIS,
    "paulis": InputFormat.PAULIS,
    "nodes": InputFormat.NODE_LINK,
    "edges": InputFormat.NODE_LINK,
    "links": InputFormat.NODE_LINK,
    "symbols": InputFormat.QCSCHEMA,
    "molecule": InputFormat.QCSCHEMA,
    "variable_ids": InputFormat.BQPJSON,
    "linear_biases": InputFormat.BINARY,
    "qubo": InputFormat.BINARY,
    "J": InputFormat.BINARY,
    "numbers": InputFormat.BINARY,
    "returns": InputFormat.BINARY,
    "polynomial": InputFormat.BINARY,
    "labs": InputFormat.BINARY,
}


@lru_cache(maxsize=4)  # a run looks at a text several times
def detect_format(text: str) -> InputFormat | None:
    """Return the format of a text; None if it is unknown, ambiguous or contradicts itself, which a reader reports."""
    if BLANKS.search(text) is not None:
        return None
    start = text[:_START].lstrip("\ufeff \t\r\n")
    if re.match(r"(?:[!#][^\n]*\n\s*)*[&$]FCI\b", start, re.IGNORECASE):
        return InputFormat.FCIDUMP
    if start.startswith(("{", "[")):
        return _of(lambda: _json_format(json_text.read_json(text, "")))
    if start.startswith("<"):
        found = _XML.search(start)
        return None if found is None else InputFormat(found[1])
    if _GML.match(start):
        return InputFormat.GML
    if _LP.match(text.lstrip("\ufeff")):
        return InputFormat.LP
    if _MPS.match(start):
        return InputFormat.MPS
    if (coded := _CODED.match(start)) is not None:
        return _CODES.get(coded[1], InputFormat.DIMACS)
    if _has_hard_clauses(text):
        return InputFormat.CNF
    if _QASM.match(start):
        return InputFormat.CIRCUIT
    if (geometry := geometry_format(text)) is not None:
        return geometry
    if pauli_text.is_pauli_text(text):
        return InputFormat.PAULIS
    lines = [stripped for line in text.splitlines() if (stripped := line.split("#", 1)[0].strip())]
    if lines and all(map(_YAML.match, lines)):
        return InputFormat.SETTINGS
    if _of(lambda: adjacency.read_adjacency(text, "")) is not None:
        return InputFormat.METIS
    return _of(lambda: evidence.layout_of(read_rows(text, "")))


def _has_hard_clauses(text: str) -> bool:
    """Return whether all lines are clauses of MaxSAT without a line `p`, of which some are hard."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and line.split()[0] != "c"]
    return any(line.startswith("h") for line in lines) and all(map(_CLAUSE.fullmatch, lines))


def check_blanks(text: str, source: str) -> None:
    """Raise ProblemError for a line with very many blanks in a row, which patterns would take long to try."""
    if BLANKS.search(text) is not None:
        raise ProblemError(source, None, "a line has 500 blanks in a row", "Remove them.")


def _of(found: Callable[[], T]) -> T | None:
    try:
        return found()
    except ProblemError:
        return None


def _json_format(value: Any) -> InputFormat | None:
    if isinstance(value, dict):
        formats = {_FORMAT_BY_KEY[key] for key in value if key in _FORMAT_BY_KEY}
        if not formats and value and all(pauli_text.is_label(key) and key for key in value):
            return InputFormat.PAULIS
        return formats.pop() if len(formats) == 1 else None
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(entry, dict) for entry in value):
        if all(set(entry) & set(LABEL_KEYS) and set(entry) & set(COEFFICIENT_KEYS) for entry in value):
            return InputFormat.PAULIS
    elif all(isinstance(entry, list) and len(entry) == 2 and _is_term(*entry) for entry in value):
        return InputFormat.PAULIS
    return evidence.layout_of(json_rows(value, ""))


def _is_term(first: Any, second: Any) -> bool:
    if isinstance(second, str):
        first, second = second, first
    return isinstance(first, str) and bool(first) and pauli_text.is_label(first) and not isinstance(second, str)
