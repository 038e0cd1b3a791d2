"""Public functions that make the text of a problem: a molecule's integrals, or any object that runs take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.problems import GeometryOptions, read_problem
from hybridloop.inputs.validation import validate
from hybridloop.settings import MAX_PROBLEM_BYTES, ProblemText


def molecule(geometry: str | Path, *, basis: str = "sto-3g", charge: int = 0, spin: int = 0) -> ProblemText:
    """Return the molecule of an XYZ file (Å) as a problem: FCIDUMP text over its Hartree-Fock orbitals.

    `geometry` may also list the atoms, as `H 0 0 0; H 0 0 0.74`. `spin` is the number of unpaired electrons. The
    orbitals are restricted, each with the sign that makes its largest coefficient positive. Keep the text and run that:
    integrals of another machine differ in their last digits, and a resumed run needs identical ones. Raises InputError
    if PySCF is missing or fails.
    """
    from hybridloop.algorithms.formats.detect import is_atom_list, is_xyz_geometry
    from hybridloop.algorithms.formats.geometry import formula, read_geometry
    from hybridloop.inputs.problem_objects.molecules import geometry_fcidump

    text, path = str(geometry), Path(geometry)
    name = path.stem
    if is_atom_list(text):
        atoms = read_geometry(text, text)
        name = formula(symbol for symbol, _ in atoms)
    else:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ProblemError(str(path), None, f"it can't be read ({error})", "Give an XYZ file.") from error
        if not is_xyz_geometry(text):
            problem = (
                "this is not an XYZ geometry: the number of atoms, a comment, then lines of a symbol and x, y, z in Å"
            )
            raise ProblemError(str(path), None, problem, "Give an XYZ file.")
        atoms = read_geometry(text, str(path))
    text = geometry_fcidump(atoms, name, basis=basis, charge=charge, spin=spin)
    if len(text) > MAX_PROBLEM_BYTES:
        size = f"its integrals have {len(text):,} bytes, the maximum is {MAX_PROBLEM_BYTES:,}"
        raise ProblemError(name, None, size, "Choose a smaller basis.")
    return ProblemText(name=name, text=text)


def problem(
    value: Any,
    *,
    name: str | None = None,
    electrons: tuple[int, int] | None = None,
    basis: str | None = None,
    charge: int | None = None,
    multiplicity: int | None = None,
) -> ProblemText:
    """Return the problem of a file, a name, a geometry or an object, as runs and deployments take it.

    `value` is as for `hybridloop.vqe` and `hybridloop.qaoa`; the result shows the text that would be stored. `name` is
    shown in results and sweeps, by default that of the file or object. `electrons` (alpha, beta) are for a Hamiltonian
    of qdk-chemistry, the other three for a geometry. Raises InputError for a value that is no problem.
    """
    if electrons is not None:
        from hybridloop.inputs.problem_objects import problem_from_object

        text = problem_from_object(value, electrons)
    else:
        text = read_problem(value, GeometryOptions(basis, charge, multiplicity))
    if name is None:
        return text
    if text.text is None:
        raise InputError("name", f"{text.name} is a built-in problem, whose name is its content", "Leave name out.")
    return validate(ProblemText, {"name": name, "text": text.text}, of="problem")
