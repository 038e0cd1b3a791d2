"""Gate libraries of OpenQASM texts: Quantinuum's `hqslib1.inc`, and the standard gates where a text includes nothing.

Replacements have no line end, so errors keep their lines.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_STANDARD = {2: "qelib1.inc", 3: "stdgates.inc"}
_PREFIX = "hqs_"  # OpenQASM 2 has no capital letter at the start of a gate's name
_VERSION = re.compile(r"(?:\s++|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+\*/)*+OPENQASM\s++(\d{1,3})(?:\.\d{1,3})?\s*+;")
_INCLUDE = re.compile(r"^(?:[^\n/]*;)?[^\S\n]*+include\b", re.MULTILINE)
_LIBRARY = re.compile(r"""include\s+["']hqslib1(?:_dev)?\.inc["']\s*;""")
_DEFINED_TWICE = re.compile("declared twice|already defined|redefined")
_CAPITALIZED = re.compile(r"\b(U1q|ZZ|RZZ|Rz|Rxxyyzz)\b")
# https://github.com/CQCL/tket, pytket/qasm/includes/hqslib1.inc: its other gates are those of the standard library, up
# to a global phase. Rxxyyzz is TK2 of pytket: exp(-i/2 (al XX + be YY + ga ZZ)).
_GATES = (
    "gate RZZ(th) qa, qb {{ {rzz} }} "
    "gate ZZ qa, qb {{ RZZ(pi/2) qa, qb; }} "
    "gate Rz(th) qa {{ rz(th) qa; }} "
    "gate U1q(th, ph) qa {{ rz(-ph) qa; rx(th) qa; rz(ph) qa; }} "
    "gate Rxxyyzz(al, be, ga) qa, qb {{ h qa; h qb; RZZ(al) qa, qb; h qa; h qb; "
    "rx(pi/2) qa; rx(pi/2) qb; RZZ(be) qa, qb; rx(-pi/2) qa; rx(-pi/2) qb; RZZ(ga) qa, qb; }} "
    "gate cs qa, qb {{ {cp}(pi/2) qa, qb; }} gate csdg qa, qb {{ {cp}(-pi/2) qa, qb; }}"
)
_VERSION_2 = _GATES.format(rzz="rzz(th) qa, qb;", cp="cu1")
_VERSION_3 = _GATES.format(rzz="cx qa, qb; rz(th) qb; cx qa, qb;", cp="cp")


class StandardGatesAdded(UserWarning):
    """A text in OpenQASM includes nothing, and is read with the standard gates."""


def version_of(text: str) -> int | None:
    """Return the version that a text in OpenQASM begins with, after comments; None if it states none.

    >>> version_of("// a pair\\nOPENQASM 3.0; qubit[2] q;"), version_of("operation Main() : Result {}")
    (3, None)
    """
    version = _VERSION.match(text)
    return None if version is None else int(version[1])


def with_library(text: str) -> str:
    """Return a text with the gates of `hqslib1.inc` in place of its include."""
    if not _LIBRARY.search(text):
        return text
    if version_of(text) == 2:
        text = _CAPITALIZED.sub(rf"{_PREFIX}\1", text)
        gates = _CAPITALIZED.sub(rf"{_PREFIX}\1", _VERSION_2)
        return _LIBRARY.sub(f'include "{_STANDARD[2]}"; {gates}', text, count=1)
    return _LIBRARY.sub(f'include "{_STANDARD[3]}"; {_VERSION_3}', text, count=1)


def as_written(reason: str) -> str:
    """Return a parser's message with the names of gates as the user wrote them."""
    return reason.replace(_PREFIX, "")


def read_with_gates(text: str, name: str, read: Callable[[str], T], refused: type[Exception]) -> T:
    """Return what `read` makes of a text, with the gates of its library.

    A text that is refused and includes nothing is read with the standard gates, with a warning (StandardGatesAdded).
    Raises `refused`.
    """
    text = with_library(text)
    try:
        return read(text)
    except refused as first:
        version = _VERSION.match(text)
        number, end = (3, 0) if version is None else (int(version[1]), version.end())
        if _INCLUDE.search(text) or number not in _STANDARD:
            raise
        try:
            found = read(f'{text[:end]} include "{_STANDARD[number]}";{text[end:]}')
        except refused as second:
            raise (first if _DEFINED_TWICE.search(str(second)) else second) from None
    message = f'{name} includes no gates, and is read with the standard ones: write `include "{_STANDARD[number]}";`'
    warnings.warn(message, StandardGatesAdded, stacklevel=2)
    return found
