"""Reader for problems of energies: Pauli sums in JSON, and molecules in FCIDUMP, or in JSON with their geometry."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.formats.detect import InputFormat, detect_format
from hybridloop.algorithms.formats.fcidump import fcidump_text, read_fcidump
from hybridloop.algorithms.formats.geometry import is_geometry
from hybridloop.algorithms.formats.json_text import check_names, is_number, read_json_object
from hybridloop.algorithms.geometries import Geometry
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.errors import ProblemError

MAX_QUBITS = 64
MAX_TERMS = 100_000
MAX_COEFFICIENT = 1e100  # sums of thousands of squares stay finite


def read_pauli_sum(text: str, source: str) -> PauliProblem:
    """Read the operator of `{"terms": {"ZZ": -1.0, "XI": 0.5}}` or `{"terms": [["ZZ", -1.0], …]}`.

    Labels are Qiskit's: the rightmost letter acts on qubit 0. Coefficients are real; those of equal labels in a list
    are added. Raises ProblemError for malformed terms.

    >>> read_pauli_sum('{"terms": {"ZZ": -1.0, "XI": 0.5}}', "ising").hamiltonian.to_list()
    [('ZZ', (-1+0j)), ('XI', (0.5+0j))]
    """
    document = read_json_object(text, source)
    listed = document.get("terms")
    entries: Iterable[Any]
    if isinstance(listed, dict):
        entries = listed.items()
    elif isinstance(listed, list):
        entries = listed
    else:
        problem = "there is no object or list 'terms'"
        raise ProblemError(source, None, problem, 'Give {"terms": {"ZZ": -1.0, "XI": 0.5}}.')
    check_names(document, ("terms",), source)
    # add up the terms, all on the same number of qubits
    terms: dict[str, float] = {}
    width = 0
    for number, entry in enumerate(entries, start=1):
        label, coefficient = _term(entry, number, source)
        width = width or len(label)
        if len(label) != width:
            problem = f"{label!r} has {len(label)} letter(s), the first label {width}"
            remedy = "Give one letter for each qubit, I for the identity."
            raise ProblemError(source, None, problem, remedy)
        terms[label] = terms.get(label, 0.0) + coefficient
    if not terms:
        raise ProblemError(source, None, "there are no terms", "Give at least one.")
    if len(terms) > MAX_TERMS:
        raise ProblemError(source, None, f"there are {len(terms):,} terms", f"Give at most {MAX_TERMS:,}.")
    return PauliProblem(SparsePauliOp.from_list(list(terms.items())), source)


def _term(entry: Any, number: int, source: str) -> tuple[str, float]:
    if not (isinstance(entry, list | tuple) and len(entry) == 2 and isinstance(entry[0], str)):
        problem = f"term {number} is not a label and a number"
        raise ProblemError(source, None, problem, 'Give ["ZZ", -1.0], for example.')
    label, coefficient = entry
    if not 1 <= len(label) <= MAX_QUBITS or set(label) - set("IXYZ"):
        problem = f"{label[:80]!r} is not a label of 1 to {MAX_QUBITS} letters I, X, Y, Z"
        raise ProblemError(source, None, problem, "Correct the label; the rightmost letter acts on qubit 0.")
    if not is_number(coefficient):
        problem = f"the coefficient of {label!r} is not a real, finite number"
        raise ProblemError(source, None, problem, "Give a number; a Hermitian sum has real coefficients.")
    if abs(coefficient) > MAX_COEFFICIENT:
        problem = f"the coefficient of {label!r} is above {MAX_COEFFICIENT:g}"
        raise ProblemError(source, None, problem, "Choose a unit in which it is smaller.")
    return label, float(coefficient)


def read_energy_problem(text: str, source: str) -> Molecule | PauliProblem:
    """Read a molecule from FCIDUMP text, or an operator from a Pauli sum; `source` names it in errors.

    Raises ProblemError for text in another format.
    """
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        if is_geometry(text):
            problem = "this is a molecule's geometry, and integrals are needed"
            raise ProblemError(source, 1, problem, "Compute them: hybridloop molecule FILE.xyz --output FILE.fcidump")
        return read_fcidump(text, source)
    document = read_json_object(text, source)
    names = document.keys()
    if "fcidump" in names:
        return _read_with_geometry(document, source)
    if "terms" in names:
        return read_pauli_sum(text, source)
    problem = f"this JSON is no Pauli sum (keys: {', '.join(map(repr, sorted(names)[:5])) or 'none'})"
    remedy = 'Give one, {"terms": {"ZZ": -1.0}}, or a molecule in FCIDUMP.'
    raise ProblemError(source, None, problem, remedy)


def molecule_text(molecule: Molecule) -> str:
    """Return a molecule's FCIDUMP text, or JSON with that, its geometry, and the active space that it is reduced to."""
    fcidump = fcidump_text(molecule)
    if molecule.geometry is None and not molecule.space:
        return fcidump
    fields = {
        "geometry": None if molecule.geometry is None else asdict(molecule.geometry),
        "space": molecule.space,
        "left_out": molecule.orbitals_reason,
        "is_active_space": molecule.is_active_space,
        "fcidump": fcidump,
    }
    return json.dumps(fields, ensure_ascii=False)


def geometry_of(text: str) -> Geometry | None:
    """Return the geometry of a molecule's text, without its integrals; None for other texts."""
    if detect_format(text) is not InputFormat.MOLECULE:
        return None
    return _GEOMETRY.validate_python(read_json_object(text, "a molecule").get("geometry"))


def _read_with_geometry(document: dict[str, Any], source: str) -> Molecule:
    """Read what `molecule_text` wrote. Raises ProblemError."""
    check_names(document, ("geometry", "space", "left_out", "is_active_space", "fcidump"), source)
    try:
        geometry, text = _GEOMETRY.validate_python(document.get("geometry")), _TEXT.validate_python(document["fcidump"])
        space, reason = (_TEXT.validate_python(document.get(name, "")) for name in ("space", "left_out"))
    except ValidationError as error:
        what = f"the molecule is not as it was written: {error.errors(include_url=False)[0]['msg']}"
        raise ProblemError(source, None, what, "Make the text again: hybridloop.problem(FILE).") from error
    is_part = document.get("is_active_space") is True
    molecule = read_fcidump(text, source)
    return replace(molecule, geometry=geometry, space=space, orbitals_reason=reason, is_active_space=is_part)


_GEOMETRY: TypeAdapter[Geometry | None] = TypeAdapter(Geometry | None)
_TEXT = TypeAdapter(str)
