"""Reader for problems of energies: Pauli sums in JSON, and molecules in FCIDUMP, or in JSON with their geometry."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.geometries import Geometry
from hybridloop.algorithms.problems.molecule import Coefficients, Dipole, Molecule
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.errors import ProblemError
from hybridloop.inputs.formats.detect import COEFFICIENT_KEYS, LABEL_KEYS, check_blanks, detect_format
from hybridloop.inputs.formats.fcidump import fcidump_text, read_fcidump
from hybridloop.inputs.formats.json_text import check_names, is_number, read_json, read_json_object
from hybridloop.runtime.leaves import leaf
from hybridloop.settings.input_format import GEOMETRY_FORMATS, InputFormat

if TYPE_CHECKING:
    from hybridloop.inputs.formats import pauli_text
else:
    pauli_text = leaf("hybridloop.inputs.formats.pauli_text")

MAX_TERMS = 100_000
MAX_COEFFICIENT = 1e100  # sums of thousands of squares stay finite


def read_pauli_sum(text: str, source: str) -> PauliProblem:
    """Read an operator in JSON, or in text as libraries print it (`pauli_terms`).

    JSON is `{"terms": …}` with an object of labels or a list of terms, the same alone, or lists `paulis` and `coeffs`.
    A term is a label and a number in either order, or an object. Labels are Qiskit's, where the rightmost letter acts
    on qubit 0, or factors such as `X0 Z3`. Coefficients are real; those of equal labels in a list are added. Raises
    ProblemError for malformed terms.

    >>> read_pauli_sum('{"terms": {"ZZ": -1.0, "XI": 0.5}}', "ising").hamiltonian.to_list()
    [('ZZ', (-1+0j)), ('XI', (0.5+0j))]
    """
    if text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        listed: list[tuple[str, float, int | None]]
        read = [_term(*entry, source) for entry in _json_entries(read_json(text, source), source)]
        written = pauli_text.with_labels([(label, repr(number), None) for label, number in read], source)
        listed = [(label, number, None) for (label, _, _), (_, number) in zip(written, read, strict=True)]
    else:
        listed = [
            (label, pauli_text.real_part(word, source, line), line)
            for label, word, line in pauli_text.pauli_terms(text, source)
        ]
    # add up the terms, all on the same number of qubits
    terms: dict[str, float] = {}
    width = 0
    for label, coefficient, line in listed:
        if not 1 <= len(label) <= pauli_text.MAX_QUBITS or set(label) - set("IXYZ"):
            problem = f"{label[:80]!r} is not a label of 1 to {pauli_text.MAX_QUBITS} letters I, X, Y, Z"
            raise ProblemError(source, line, problem, "Correct the label; the rightmost letter acts on qubit 0.")
        if abs(coefficient) > MAX_COEFFICIENT:
            problem = f"the coefficient of {label!r} is above {MAX_COEFFICIENT:g}"
            raise ProblemError(source, line, problem, "Choose a unit in which it is smaller.")
        width = width or len(label)
        if len(label) != width:
            problem = f"{label!r} has {len(label)} letter(s), the first label {width}"
            remedy = "Give one letter for each qubit, I for the identity."
            raise ProblemError(source, line, problem, remedy)
        terms[label] = terms.get(label, 0.0) + coefficient
    if not terms:
        raise ProblemError(source, None, "there are no terms", "Give at least one.")
    if len(terms) > MAX_TERMS:
        raise ProblemError(source, None, f"there are {len(terms):,} terms", f"Give at most {MAX_TERMS:,}.")
    return PauliProblem(SparsePauliOp.from_list(list(terms.items())), source)


def _json_entries(document: Any, source: str) -> list[tuple[Any, Any, int]]:
    """Return label, coefficient and number of each term in JSON. Raises ProblemError."""
    listed = document
    if isinstance(document, dict):
        if "terms" in document:
            check_names(document, ("terms",), source)
            listed = document["terms"]
        elif isinstance(document.get("paulis"), list):
            return _of_columns(document, source)
    entries: list[Any] = list(listed.items()) if isinstance(listed, dict) else listed
    if not isinstance(entries, list):
        problem = "there is no object or list 'terms'"
        raise ProblemError(source, None, problem, 'Give {"terms": {"ZZ": -1.0, "XI": 0.5}}.')
    return [(*_pair(entry, number, source), number) for number, entry in enumerate(entries, start=1)]


def _of_columns(document: dict[str, Any], source: str) -> list[tuple[Any, Any, int]]:
    numbers_name = next((name for name in COEFFICIENT_KEYS if name in document), "coeffs")
    check_names(document, ("paulis", numbers_name), source)
    labels, numbers = document["paulis"], document.get(numbers_name)
    if not isinstance(numbers, list) or len(labels) != len(numbers):
        count = f"{len(numbers)}" if isinstance(numbers, list) else "no"
        problem = f"there are {len(labels)} 'paulis' and {count} {numbers_name!r}"
        raise ProblemError(source, None, problem, "Give a coefficient for each label.")
    return [(label, value, number) for number, (label, value) in enumerate(zip(labels, numbers, strict=True), 1)]


def _pair(entry: Any, number: int, source: str) -> tuple[Any, Any]:
    if isinstance(entry, dict):
        names = [next((name for name in keys if name in entry), None) for keys in (LABEL_KEYS, COEFFICIENT_KEYS)]
        if None not in names and len(entry) == 2:
            return entry[names[0]], entry[names[1]]
    if isinstance(entry, list | tuple) and len(entry) == 2:
        if isinstance(entry[0], str):
            return entry[0], entry[1]
        if isinstance(entry[1], str):
            return entry[1], entry[0]
    problem = f"term {number} is not a label and a number"
    raise ProblemError(source, None, problem, 'Give ["ZZ", -1.0], for example.')


def _term(label: Any, value: Any, number: int, source: str) -> tuple[str, float]:
    """Return label and coefficient of a term in JSON. Raises ProblemError."""
    if not isinstance(label, str) or not (pauli_text.is_label(label) and label.strip()):
        problem = f"{str(label)[:80]!r} is not a label of 1 to {pauli_text.MAX_QUBITS} letters I, X, Y, Z"
        raise ProblemError(source, None, problem, "Correct the label; the rightmost letter acts on qubit 0.")
    if isinstance(value, dict) and len(value) == 2:
        value = [value.get("real", value.get("re")), value.get("imag", value.get("im"))]
    if isinstance(value, list) and len(value) == 2 and is_number(value[0]) and value[1] == 0:
        value = value[0]
    if isinstance(value, str):
        return label, pauli_text.real_part(value, source, None)
    if not is_number(value):
        problem = f"the coefficient of {label!r}, term {number}, is not a real, finite number"
        raise ProblemError(source, None, problem, "Give a number; a Hermitian sum has real coefficients.")
    return label, float(value)


def read_energy_problem(text: str, source: str, form: InputFormat | None = None) -> Molecule | PauliProblem:
    """Read a molecule from FCIDUMP text, or an operator from a Pauli sum; `source` names it in errors.

    A `form` forces a reading. Raises ProblemError for text in another format.
    """
    check_blanks(text, source)
    match form or detect_format(text):
        case InputFormat.FCIDUMP:
            return read_fcidump(text, source)
        case InputFormat.MOLECULE:
            return _read_with_geometry(read_json_object(text, source), source)
        case InputFormat.PAULIS:
            return read_pauli_sum(text, source)
        case found if found in GEOMETRY_FORMATS:
            problem = "this is a molecule's geometry, and integrals are needed"
            raise ProblemError(source, 1, problem, "Compute them: hybridloop molecule FILE.xyz --output FILE.fcidump")
        case found:
            if found is None and text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
                read_json(text, source)
            what = "no known format of a molecule or a Pauli sum" if found is None else found.description
            remedy = (
                "Give FCIDUMP, a geometry, or a Pauli sum such as `ZZI 0.5` on each line; --format forces a reading."
            )
            raise ProblemError(source, None if found else 1, f"this is {what}", remedy)


def molecule_text(molecule: Molecule, *, with_orbitals: bool = True) -> str:
    """Return a molecule's FCIDUMP text, or JSON with that, its geometry, active space, orbitals and dipole operator."""
    fcidump = fcidump_text(molecule)
    if molecule.geometry is None and not molecule.space and molecule.dipole is None:
        return fcidump
    dipole = molecule.dipole
    fields = {
        "geometry": None if molecule.geometry is None else asdict(molecule.geometry),
        "space": molecule.space,
        "left_out": molecule.orbitals_reason,
        "is_active_space": molecule.is_active_space,
        "fcidump": fcidump,
        "orbitals": molecule.coefficients.orbitals.round(_DECIMALS).tolist() if with_orbitals else [],
        "filled": molecule.coefficients.filled.round(_DECIMALS).tolist() if with_orbitals else [],
    }
    if dipole is not None:
        fields["dipole"] = {
            "constant": dipole.constant.tolist(),
            "matrices": dipole.matrices.tolist(),
            "origin": dipole.origin,
            "charge": dipole.charge,
        }
    return json.dumps(fields, ensure_ascii=False)


def geometry_of(text: str) -> Geometry | None:
    """Return the geometry of a molecule's text, without its integrals; None for other texts."""
    if detect_format(text) is not InputFormat.MOLECULE:
        return None
    return _GEOMETRY.validate_python(read_json_object(text, "a molecule").get("geometry"))


def _read_with_geometry(document: dict[str, Any], source: str) -> Molecule:
    """Read what `molecule_text` wrote. Raises ProblemError."""
    names = ("geometry", "space", "left_out", "is_active_space", "fcidump", "orbitals", "filled", "dipole")
    check_names(document, names, source)
    try:
        geometry, text = _GEOMETRY.validate_python(document.get("geometry")), _TEXT.validate_python(document["fcidump"])
        space, reason = (_TEXT.validate_python(document.get(name, "")) for name in ("space", "left_out"))
        stored = _DIPOLE.validate_python(document.get("dipole"))
        columns = [_COLUMNS.validate_python(document[name]) for name in ("orbitals", "filled") if name in document]
    except ValidationError as error:
        what = f"the molecule is not as it was written: {error.errors(include_url=False)[0]['msg']}"
        raise ProblemError(source, None, what, "Make the text again: hybridloop.problem(FILE).") from error
    is_part = document.get("is_active_space") is True
    molecule = read_fcidump(text, source)
    molecule = replace(molecule, geometry=geometry, space=space, orbitals_reason=reason, is_active_space=is_part)
    if columns:
        molecule = replace(molecule, coefficients=_coefficients(columns, molecule.norb, source))
    if stored is None:
        return molecule
    constant, matrices = np.array(stored.constant), np.array(stored.matrices)
    if constant.shape != (3,) or matrices.shape != (3, molecule.norb, molecule.norb):
        what = f"the dipole operator has the shapes {constant.shape} and {matrices.shape}"
        raise ProblemError(source, None, what, f"Give (3,) and (3, n, n) for n = {molecule.norb} orbitals.")
    matrices = (matrices + matrices.transpose(0, 2, 1)) / 2.0
    return replace(molecule, dipole=Dipole(constant, matrices, stored.origin, stored.charge))


def _coefficients(columns: list[list[list[float]]], norb: int, source: str) -> Coefficients:
    if not any(columns):  # too many for the text
        return Coefficients(np.zeros((0, norb)), np.zeros((0, 0)))
    try:
        orbitals, filled = (np.array(each, float) for each in columns)
        filled = filled.reshape(len(filled), -1)  # of no columns, too
        if orbitals.ndim == 2 and orbitals.shape[1] == norb and len(filled) == len(orbitals):
            return Coefficients(orbitals, filled)
    except ValueError:
        pass
    what = f"the coefficients of the orbitals are not those of {norb} columns in one basis"
    raise ProblemError(source, None, what, "Make the text again: hybridloop.problem(FILE).")


class _StoredDipole(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    constant: list[float]
    matrices: list[list[list[float]]]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    charge: int = 0


_GEOMETRY: TypeAdapter[Geometry | None] = TypeAdapter(Geometry | None)
_TEXT = TypeAdapter(str)
_COLUMNS = TypeAdapter(list[list[Annotated[float, Field(allow_inf_nan=False)]]])
_DECIMALS = 12  # of coefficients: far below what integrals are known to
_DIPOLE: TypeAdapter[_StoredDipole | None] = TypeAdapter(_StoredDipole | None)
