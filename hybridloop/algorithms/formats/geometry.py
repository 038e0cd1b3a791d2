"""Reader for geometries: an XYZ file, or atoms in a line as `H 0 0 0; H 0 0 0.74`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hybridloop.algorithms.formats.detect import is_atom_list, is_xyz_geometry
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import InputError, ProblemError

Atom = tuple[str, tuple[float, float, float]]  # symbol and coordinates in Å

_SYMBOL = re.compile(r"[A-Za-z]{1,2}[0-9]*")
_START = re.compile(r"\s*[A-Z][a-z]?[0-9]*(?:[ \t,]+[-+]?[0-9.]+){2}")
_FORMS = "Give an XYZ file (number of atoms, comment, then `symbol x y z` in Å), or 'H 0 0 0; H 0 0 0.74'."


def read_geometry(text: str, source: str) -> tuple[Atom, ...]:
    """Return the atoms of an XYZ text or of a list of atoms. Raises ProblemError with the line of what is malformed.

    Every coordinate is parsed here, since PySCF evaluates as Python what is no number.

    >>> read_geometry("H 0 0 0; H 0 0 0.74", "H2")
    (('H', (0.0, 0.0, 0.0)), ('H', (0.0, 0.0, 0.74)))
    """
    if not is_xyz_geometry(text):
        if not is_atom_list(text):
            raise ProblemError(source, None, "this is no geometry", _FORMS)
        return tuple(_atom(part, None, source) for part in re.split(r"[;\n]", text) if part.strip())
    count, _, *lines = text.lstrip().splitlines()
    numbered = [(number, line) for number, line in enumerate(lines, start=3) if line.strip()]
    if len(numbered) != int(count):
        problem = f"the first line says {int(count)} atoms, and {len(numbered)} lines follow the comment"
        raise ProblemError(source, None, problem, "Give a file with one geometry.")
    return tuple(_atom(line, number, source) for number, line in numbered)


def check_atoms(text: str) -> None:
    """Raise InputError for a text that begins as a list of atoms, and is none, with the atom that is malformed."""
    if _START.match(text) is None or is_atom_list(text):
        return
    for number, part in enumerate(filter(str.strip, re.split(r"[;\n]", text)), start=1):
        symbol, *words = part.split()
        if "," in part:
            raise InputError("problem", f"atom {number} has a comma", "Separate atoms with ;, coordinates with blanks.")
        if len(words) != 3:
            problem = f"atom {number} ({symbol[:40]}) has {len(words)} coordinate{'s' * (len(words) != 1)}"
            raise InputError("problem", problem, "Give three, in Å.")
        if not is_atom_list(part):
            raise InputError("problem", f"atom {number} is {part.strip()[:80]!r}", _FORMS)


def formula(elements: Iterable[str]) -> str:
    """Return the formula of a molecule, its elements in the order in which they appear.

    >>> formula(["O", "H", "H"])
    'OH2'
    """
    names = [element.rstrip("0123456789").capitalize() for element in elements]
    counts = {name: names.count(name) for name in names}
    return "".join(f"{name}{count if count > 1 else ''}" for name, count in counts.items())


def _atom(line: str, number: int | None, source: str) -> Atom:
    symbol, *words = line.split()
    try:
        if _SYMBOL.fullmatch(symbol) is None:
            raise ValueError
        x, y, z = (parse_decimal(word) for word in words[:3])  # an XYZ file may have further columns
    except ValueError:
        problem = f"{line.strip()[:80]!r} is no atom with three coordinates"
        raise ProblemError(source, number, problem, _FORMS) from None
    return symbol, (x, y, z)
