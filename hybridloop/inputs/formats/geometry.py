"""Reader for geometries: XYZ, a Z-matrix, atoms in lines or in one as `H 0 0 0; H 0 0 0.74`, and QCSchema.

Every number is parsed here, since PySCF evaluates as Python what is no number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hybridloop.algorithms.geometries import IN_ANGSTROM, Atom, LengthUnit
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.json_text import is_number, read_json, read_json_object
from hybridloop.inputs.formats.rows import BLANKS
from hybridloop.settings.input_format import InputFormat

ELEMENTS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr "
    "Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir "
    "Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl "
    "Mc Lv Ts Og"
).split()
_MAX_LINES = 10_000  # of a text that may be a geometry
_LINES_OF_ATOM = 5  # at most: of a Z-matrix its row and three variables
MAX_ATOMS = 500  # Hartree-Fock of more takes days
_SYMBOL = re.compile(r"(?:\d{1,3}(?=[A-Z]))?([A-Za-z]{1,2})\d{0,4}", re.ASCII)  # also with a mass number before
_ISOTOPES = {"D": "H", "T": "H"}
_DUMMY = "X"  # of a Z-matrix
_NUMBER = re.compile(r"[-+]?(\d+(?:\.\d*)?|\.\d+)([eEdD][-+]?\d+)?", re.ASCII)
_WHOLE_CHARGE = re.compile(r"([-+]?\d{1,4})(?:\.0*)?|(\d{1,4})([-+])", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+", re.ASCII)
_COUNT = re.compile(r"\s*(\d{1,9})(?:[ \t]+(bohr|au))?[ \t]*\n", re.ASCII | re.IGNORECASE)  # Psi4 has the unit there
_VARIABLE = re.compile(r"([A-Za-z]\w*)(?:[ \t]+|[ \t]*=[ \t]*)(\S+)", re.ASCII)
_START = re.compile(r"\s*[A-Z][a-z]?[0-9]*(?:[ \t,]+[-+]?[0-9.]+){2}")
_CHARGE_LINE = re.compile(r"[ \t]*([-+]?\d{1,2})[ \t,]+([1-9]\d?)[ \t]*", re.ASCII)
_GHOST = re.compile(r"(ghost|gh|x)[-_:(]|@|[a-z]+[-_]bq", re.IGNORECASE)  # of PySCF, Psi4, ORCA, NWChem, Gaussian
_OF_GHOSTS = "Give a PySCF Mole that has the ghost atom: hybridloop.problem(mol). Or give integrals, as FCIDUMP."
_IGNORED = re.compile(r"#.*|no_?com|no_?reorient|symmetry\s\w+", re.IGNORECASE)  # comments, and words of Psi4
_UNITS_LINE = re.compile(r"[ \t]*(?:units?[ \t=:]+)?(angstroms?|ang|bohr|au|a\.u\.)[ \t]*", re.IGNORECASE)
_STATED = {
    "charge": re.compile(r"(?:\b|_)charge(\s{0,3}[=:]\s{0,3}|\s{1,3})[\"']?([-+.\w]+)", re.IGNORECASE | re.ASCII),
    "multiplicity": re.compile(
        r"\bmult(?:iplicity)?(\s{0,3}[=:]\s{0,3}|\s{1,3})[\"']?([-+.\w]+)", re.IGNORECASE | re.ASCII
    ),
}
_UNITS_WORD = re.compile(
    r"units?[ \t]*+(?:[=:][ \t]*+|(?<=[ \t]))[\"']?(angstroms?|ang|bohr|au|a\.u\.)(?![\w.])", re.IGNORECASE
)
_COLUMNS = re.compile(r"\bProperties=(\S+)", re.IGNORECASE)
_PBC = re.compile(r"\bpbc=(\"[^\"]*\"|\S+)", re.IGNORECASE)
_LATTICE = re.compile(r"\blattice=", re.IGNORECASE)  # without pbc, periodic in all directions
_UNITS = {
    LengthUnit.BOHR: re.compile(r"\b(?:bohr|atomic units|(?:in|units?)[ =:]{1,3}a\.?u\.?)(?!\w)", re.IGNORECASE),
    LengthUnit.PM: re.compile(r"\b(pm|picomet(er|re)s?)\b"),
    LengthUnit.NM: re.compile(r"\b(nm|nanomet(er|re)s?)\b"),
}
_FORMS = "Give an XYZ file (number of atoms, comment, then `symbol x y z`), a Z-matrix, or 'H 0 0 0; H 0 0 0.74'."


@dataclass(frozen=True, slots=True)
class ReadGeometry:
    """Atoms in Å, and what their text states beside them: charge, multiplicity, basis set; None where it does not.

    `stated` says where it does.
    """

    atoms: tuple[Atom, ...]
    charge: int | None = None
    multiplicity: int | None = None
    basis: str | None = None
    stated: str = ""


def geometry_format(text: str) -> InputFormat | None:
    """Return the format of a text that is a geometry; None for others."""
    if BLANKS.search(text) is not None:
        return None
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return InputFormat.QCSCHEMA if '"symbols"' in text and _is_qcschema(text) else None
    if is_xyz(text):
        return InputFormat.XYZ
    if text.count("\n") > _MAX_LINES:
        return None
    _, body = _heading(text)
    return InputFormat.ATOMS if is_atom_list(body) else InputFormat.ZMATRIX if is_zmatrix(body) else None


def is_geometry(text: str) -> bool:
    """Return whether the text is a geometry."""
    return geometry_format(text) is not None


def is_xyz(text: str) -> bool:
    """Return whether the text is an XYZ file: atom count, comment, then lines of a symbol and three coordinates.

    A symbol may be an atomic number where the lines are as many as the count, and coordinates have a point: other
    numbers in rows are a table.
    """
    text = text.lstrip("\ufeff")
    if (count := _COUNT.match(text)) is None:
        return False
    comment, _, rest = text[count.end() :].partition("\n")
    lines = [line for line in rest.splitlines() if line.strip()]
    if not lines or not (_COLUMNS.search(comment) or _is_atom(lines[0], more=True)):
        return False
    return not lines[0].split()[0].isdigit() or (len(lines) == int(count[1]) and "." in lines[0])


def is_atom_list(text: str) -> bool:
    """Return whether the text lists atoms with three coordinates each, separated by semicolons or lines."""
    parts = [part for part in re.split(r"[;\n]", text.lstrip("\ufeff")) if part.strip()]
    return bool(parts) and all(_is_atom(part) and not _words(part)[0].isdigit() for part in parts)


def is_zmatrix(text: str) -> bool:
    """Return whether the text is a Z-matrix of two atoms or more: `O; H 1 0.96; H 1 0.96 2 104.5`."""
    rows, _ = _zmatrix_rows(text)
    lengths = [1, 3, 5, *(7,) * len(rows)][: len(rows)]
    return len(rows) > 1 and all(
        len(row) == length
        and (_element(row[0]) is not None or row[0].upper() == _DUMMY)
        and all(word.isdigit() for word in row[1::2])
        for row, length in zip(rows, lengths, strict=True)
    )


def read_geometry(
    text: str, source: str, unit: LengthUnit | None = None, form: InputFormat | None = None
) -> ReadGeometry:
    """Return the atoms of a geometry in Å, and what else it states. Raises ProblemError with the line of an error.

    `unit` is that of the text's lengths, by default Å, and of QCSchema Bohr radii; InputError where the text names
    another. A `form` forces a reading.

    >>> read_geometry("H 0 0 0; H 0 0 0.74", "H2").atoms
    (('H', (0.0, 0.0, 0.0)), ('H', (0.0, 0.0, 0.74)))
    """
    text = text.lstrip("\ufeff")
    form = form or geometry_format(text)
    if form is InputFormat.QCSCHEMA:
        return _read_qcschema(read_json_object(text, source), source, unit)
    parts = text.count("\n") + text.count(";")
    if parts > _LINES_OF_ATOM * MAX_ATOMS:  # before any is read
        raise _too_many(f"{parts:,} lines", source)
    if form is InputFormat.XYZ:
        if _COUNT.match(text) is None:
            raise ProblemError(source, 1, "the first line has no number of atoms", _FORMS)
        found, atoms = _read_xyz(text, source, unit)
        unit = unit or found.unit
    elif form in (InputFormat.ATOMS, InputFormat.ZMATRIX):
        found, body = _heading(text)
        _check_unit(found.unit, unit, source)
        unit = unit or found.unit
        if form is InputFormat.ATOMS:
            atoms = tuple(_atom(part, None, source) for part in re.split(r"[;\n]", body) if part.strip())
        else:
            atoms = _read_zmatrix(body, source)
    else:
        raise ProblemError(source, None, "this is no geometry", _FORMS)
    _check_number(atoms, source)
    scale = IN_ANGSTROM[unit or LengthUnit.ANGSTROM]
    scaled = tuple((symbol, (x * scale, y * scale, z * scale)) for symbol, (x, y, z) in atoms)
    return ReadGeometry(scaled, found.charge, found.multiplicity, None, found.stated)


def _check_number(atoms: Sequence[Any], source: str) -> None:
    if len(atoms) > MAX_ATOMS:
        raise _too_many(f"{len(atoms):,} atoms", source)


def _too_many(what: str, source: str) -> ProblemError:
    problem = f"the geometry has {what}, and the integrals of at most {MAX_ATOMS} atoms are computed"
    return ProblemError(source, None, problem, "Give a smaller molecule, or integrals of an active space as FCIDUMP.")


@dataclass(frozen=True, slots=True)
class _Heading:
    """Facts that the lines before atoms state."""

    charge: int | None = None
    multiplicity: int | None = None
    unit: LengthUnit | None = None
    stated: str = ""


def _heading(text: str) -> tuple[_Heading, str]:
    """Return what a line of charge and multiplicity and one of units state, and the text without them."""
    kept, charge, multiplicity, unit, stated = list[str](), None, None, None, list[str]()
    for number, line in enumerate(_lines_of(text), 1):
        if not kept and charge is None and (found := _CHARGE_LINE.fullmatch(line)) is not None:
            charge, multiplicity = int(found[1]), int(found[2])
            stated.append(f"charge and multiplicity by line {number}")
        elif unit is None and (named := _UNITS_LINE.fullmatch(line)) is not None:
            unit = _unit_of(named[1])
            stated.append(f"lengths in {unit} by line {number}")
        elif line.strip() and _IGNORED.fullmatch(line.strip()) is None:
            kept.append(line)
    return _Heading(charge, multiplicity, unit, ", ".join(stated)), "\n".join(kept)


def _lines_of(text: str) -> list[str]:
    """Return the lines; of a text on one line, a first part with charge and multiplicity is a line of its own."""
    lines = text.lstrip("\ufeff").splitlines()
    first, semicolon, rest = lines[0].partition(";") if lines else ("", "", "")
    return [first, rest, *lines[1:]] if semicolon and _CHARGE_LINE.fullmatch(first) else lines


def _unit_of(word: str) -> LengthUnit:
    return LengthUnit.BOHR if word.lower() in ("bohr", "au", "a.u.") else LengthUnit.ANGSTROM


def _check_unit(named: LengthUnit | None, unit: LengthUnit | None, source: str) -> None:
    if named is not None and unit not in (None, named):
        raise InputError("geometry_unit", f"{source} says that its lengths are in {named}", "Leave it out.")


def _is_qcschema(text: str) -> bool:
    try:
        value = read_json(text, "")
    except ProblemError:
        return False
    molecule = value.get("molecule", value)
    return isinstance(molecule, dict) and "symbols" in molecule and "geometry" in molecule


def _read_qcschema(document: dict[str, Any], source: str, unit: LengthUnit | None) -> ReadGeometry:
    """Read a molecule, or the input of a calculation with one (D. G. A. Smith et al., WIREs 11 (2021) e1491)."""
    molecule, model = document.get("molecule", document), document.get("model")
    _check_unit(LengthUnit.BOHR, unit, source)

    def error(problem: str, remedy: str = "Give symbols, and three coordinates of each.") -> ProblemError:
        return ProblemError(source, None, problem, remedy)

    if not isinstance(molecule, dict):
        raise error("the molecule is no object")
    symbols, places = molecule.get("symbols"), molecule.get("geometry")
    if not isinstance(symbols, list) or not all(isinstance(each, str) and _element(each) for each in symbols):
        raise error(f"the symbols are no list of elements: {str(symbols)[:60]}")
    if isinstance(places, list) and all(isinstance(row, list) for row in places):
        places = [value for row in places for value in row]
    if not isinstance(places, list) or not all(map(is_number, places)) or len(places) != 3 * len(symbols):
        raise error(f"the geometry has not three numbers for each of {len(symbols)} atoms")
    _check_number(symbols, source)
    real = molecule.get("real")
    if real is not None and not (isinstance(real, list) and all(real)):
        raise error("some atoms are not real (ghost atoms)", _OF_GHOSTS)
    numbers = [molecule.get(name) for name in ("molecular_charge", "molecular_multiplicity")]
    for value in numbers:
        if value is not None and not (is_number(value) and value == int(value)):
            raise error(f"{value!r} is no charge or multiplicity in whole numbers")
    charge, multiplicity = (None if value is None else int(value) for value in numbers)
    basis = model.get("basis") if isinstance(model, dict) and isinstance(model.get("basis"), str) else None
    scale = IN_ANGSTROM[LengthUnit.BOHR]
    rows = zip(places[::3], places[1::3], places[2::3], strict=True)
    atoms = tuple(
        (str(_element(symbol)), (x * scale, y * scale, z * scale))
        for symbol, (x, y, z) in zip(symbols, rows, strict=True)
    )
    named = {"charge": charge, "multiplicity": multiplicity, "basis set": basis}
    given = [name for name, value in named.items() if value is not None]
    stated = [f"{' and '.join(given)} by QCSchema"] if given else []
    if isinstance(model, dict) and model.get("method"):
        stated.append("its method is not used")
    return ReadGeometry(atoms, charge, multiplicity, basis, "; ".join(stated))


def check_atoms(text: str) -> None:
    """Raise InputError for a text that begins as a list of atoms, and is none, with the atom that is malformed."""
    if _START.match(text) is None or is_geometry(text):
        return
    for number, part in enumerate(filter(str.strip, re.split(r"[;\n]", text)), start=1):
        symbol, *words = _words(part)
        if len(words) != 3:
            problem = f"atom {number} ({symbol[:40]}) has {len(words)} coordinate{'s' * (len(words) != 1)}"
            raise InputError("problem", problem, "Give three; atoms are separated by semicolons.")
        if not _is_atom(part):
            is_ghost = _GHOST.match(symbol) is not None
            problem = f"atom {number} is {part.strip()[:80]!r}" + ", a ghost atom, which texts can't have" * is_ghost
            raise InputError("problem", problem, _OF_GHOSTS if is_ghost else _FORMS)


def _read_xyz(text: str, source: str, unit: LengthUnit | None) -> tuple[_Heading, tuple[Atom, ...]]:
    first, comment, *lines = text.lstrip().splitlines()
    number, *after = first.split()
    count = int(number)
    numbered = [(number, line) for number, line in enumerate(lines, start=3) if line.strip()]
    if len(numbered) != count:
        problem = f"the first line says {count} atoms, and {len(numbered)} lines follow the comment"
        remedy = "Give a file with one geometry."
        if len(numbered) > count and numbered[count][1].strip() == str(count):
            problem = f"it holds several geometries of {count} atoms, and one is taken"
            remedy = "Write one file for each, as ASE does: for i, atoms in enumerate(ase.io.read(FILE, ':')): …"
        raise ProblemError(source, None, problem, remedy)
    pbc = _PBC.search(comment)
    if "T" in pbc[1].upper() if pbc is not None else _LATTICE.search(comment) is not None:
        raise ProblemError(source, 2, "the geometry is periodic, and molecules are taken", 'Write pbc="F F F".')
    found = _UNITS_LINE.fullmatch(comment) or _UNITS_WORD.search(comment)
    words = after or ([found[1]] if found else [])
    stated_unit = _unit_of(words[0]) if words else None
    _check_unit(stated_unit, unit, source)
    named = next((each for each, pattern in _UNITS.items() if pattern.search(comment)), None)
    if named is not None and unit is None and stated_unit is None:
        problem = f"the comment of {source} says {comment.strip()[:60]!r}, and XYZ files are in Å"
        raise InputError("geometry_unit", problem, f"Set geometry_unit to {named} or to angstrom.")
    symbol, place = _columns(comment, source)
    charge, multiplicity = (_stated_number(comment, name, source) for name in ("charge", "multiplicity"))
    given = [name for name, value in (("charge", charge), ("multiplicity", multiplicity)) if value is not None]
    given += [f"lengths in {stated_unit}"] * (stated_unit is not None)
    stated = f"{' and '.join(given)} by its comment" if given else ""
    atoms = tuple(_atom(line, number, source, symbol, place) for number, line in numbered)
    return _Heading(charge, multiplicity, stated_unit, stated), atoms


def _stated_number(comment: str, name: str, source: str) -> int | None:
    """Return the charge or multiplicity that a comment states. Raises ProblemError for one that is not whole, or two.

    A word after the name that is no number, as in a sentence, states nothing.
    """
    numbers = set[int]()
    for sign, word in _STATED[name].findall(comment):
        found = _WHOLE_CHARGE.fullmatch(word.rstrip("."))
        if found is not None:
            numbers.add(int(found[1]) if found[1] else int(f"{found[3]}{found[2]}"))
        elif sign.strip():
            raise ProblemError(source, 2, f"the comment states {name} {word[:40]!r}", "Give a whole number.")
    if len(numbers) > 1:
        raise ProblemError(source, 2, f"the comment states {name} {numbers}", "State one.")
    return next(iter(numbers), None)


def _columns(comment: str, source: str) -> tuple[int, int]:
    """Return the columns of the symbol and of the first coordinate, which the comment of an extended XYZ file names."""
    if (found := _COLUMNS.search(comment)) is None:
        return 0, 1
    words, starts, column = found[1].strip('"').split(":"), dict[str, int](), 0
    for name, _, width in zip(words[::3], words[1::3], words[2::3], strict=False):
        starts[name.lower()] = column
        column += int(width) if width.isdigit() and len(width) < 4 else 1
    if not {"species", "pos"} <= starts.keys():
        raise ProblemError(source, 2, "Properties names no species or no pos", "Give species:S:1:pos:R:3.")
    return starts["species"], starts["pos"]


def _read_zmatrix(text: str, source: str) -> tuple[Atom, ...]:
    """Return the atoms of a Z-matrix, whose names of lengths and angles are defined below it (as Gaussian has them)."""
    import numpy as np

    try:
        from pyscf.gto import mole
    except ImportError as error:
        remedy = "Install it: pip install 'hybridloop[pyscf]'."
        raise InputError("geometry", "a Z-matrix needs PySCF, which is not installed", remedy) from error
    rows, variables = _zmatrix_rows(text)
    lines = []
    dummies = {number for number, row in enumerate(rows) if row[0].upper() == _DUMMY}
    for number, row in enumerate(rows, start=1):
        words = [_element(row[0]) or "H"]
        references = [int(reference) for reference in row[1::2]]
        for reference, word in zip(references, row[2::2], strict=True):
            sign, name = (-1.0, word[1:]) if word[:1] == "-" and word[1:] in variables else (1.0, word)
            try:
                words += [str(reference), repr(sign * parse_decimal(variables.get(name, name)))]
            except ValueError:
                problem = f"{word[:40]!r} of atom {number} is no number, and no variable below the Z-matrix"
                raise ProblemError(source, None, problem, "Define it in a line: R = 0.96.") from None
        if not all(0 < reference < number for reference in references) or len(set(references)) < len(references):
            problem = f"atom {number} of the Z-matrix refers to {' and '.join(row[1::2])}"
            raise ProblemError(source, None, problem, "Refer to different atoms above it, which are numbered from 1.")
        lines.append(" ".join(words))
    evaluates, mole.DISABLE_EVAL = mole.DISABLE_EVAL, True
    try:
        with np.errstate(all="ignore"):
            atoms = mole.from_zmatrix("\n".join(lines))
    except (AssertionError, ValueError) as error:
        raise ProblemError(source, None, "the Z-matrix has an impossible angle", "Give 0 to 180°.") from error
    finally:
        mole.DISABLE_EVAL = evaluates
    if not np.isfinite([place for _, place in atoms]).all():
        raise ProblemError(source, None, "two atoms of the Z-matrix are at one place", "Give distances above 0.")
    real = [atom for number, atom in enumerate(atoms) if number not in dummies]
    return tuple((symbol, (float(x), float(y), float(z))) for symbol, (x, y, z) in real)


def _zmatrix_rows(text: str) -> tuple[list[list[str]], dict[str, str]]:
    """Return the rows of a Z-matrix as words, and the values of its variables by name."""
    rows: list[list[str]] = []
    variables: dict[str, str] = {}
    for part in re.split(r"[;\n]", text.lstrip("\ufeff")):
        words = part.replace(",", " ").split()
        if not words or words[0].rstrip(":") in ("Variables", "Constants"):
            continue
        is_row = len(words) % 2 == 1 and "=" not in part and not variables
        if not is_row and (found := _VARIABLE.fullmatch(part.strip())) is not None:
            variables[found[1]] = found[2]
        else:
            rows.append(words)
    return rows, variables


def _atom(line: str, number: int | None, source: str, symbol: int = 0, place: int = 1) -> Atom:
    words = _words(line)
    try:
        element = _element(words[symbol])
        x, y, z = (parse_decimal(word) for word in words[place : place + 3])  # an XYZ file may have further columns
    except (ValueError, IndexError):
        problem = f"{line.strip()[:80]!r} is no atom with three coordinates"
        raise ProblemError(source, number, problem, _FORMS) from None
    if not all(map(math.isfinite, (x, y, z))):
        raise ProblemError(source, number, f"{line.strip()[:80]!r} has no finite coordinates", "Correct the line.")
    if element is None:
        remedy = _OF_GHOSTS if _GHOST.match(words[symbol]) else "Give its symbol, such as He."
        raise ProblemError(source, number, f"{words[symbol][:40]!r} is no element", remedy)
    return element, (x, y, z)


def _is_atom(line: str, *, more: bool = False) -> bool:
    """Return whether a line is a symbol with three coordinates; with `more`, further columns may follow."""
    words = _words(line)
    is_long = len(words) >= 4 if more else len(words) == 4
    return is_long and _element(words[0]) is not None and all(map(_NUMBER.fullmatch, words[1:4]))


def _words(line: str) -> list[str]:
    """Return the words of an atom's line. Commas separate them, or are decimal signs where three numbers have one."""
    symbol, *words = line.split() or [""]
    if len(words) >= 3 and any(map(_DECIMAL_COMMA.fullmatch, words[:3])):
        if not any("." in word for word in words[:3]):  # which would be two decimal signs
            words = [word.replace(",", ".") for word in words]
    elif "," in line:
        symbol, *words = line.replace(",", " ").split() or [""]
    return [symbol, *(re.sub("[dD]", "e", word) if _NUMBER.fullmatch(word) else word for word in words)]


def _element(word: str) -> str | None:
    """Return the symbol of an element, with its number in the molecule (`H1`), or of an atomic number; else None."""
    if word.isdigit() and word.isascii() and len(word) < 4:
        return ELEMENTS[int(word) - 1] if 1 <= int(word) <= len(ELEMENTS) else None
    found = _SYMBOL.fullmatch(word)
    symbol = found[1].capitalize() if found else ""
    if symbol in _ISOTOPES:
        return _ISOTOPES[symbol]
    return symbol + word[found.end(1) :] if found is not None and symbol in _KNOWN else None


_KNOWN = frozenset(ELEMENTS)
