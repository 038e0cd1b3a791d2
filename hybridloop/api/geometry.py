"""Public function that makes a molecule of a geometry, with integrals from PySCF, an optional extra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hybridloop.algorithms.formats.detect import is_xyz_geometry
from hybridloop.errors import InputError, ProblemError
from hybridloop.settings import MAX_PROBLEM_BYTES, ProblemText

_INSTALL = "Install it: pip install 'hybridloop[pyscf]'. Or give the integrals, as FCIDUMP or QCSchema."


def molecule(geometry: str | Path, *, basis: str = "sto-3g", charge: int = 0, spin: int = 0) -> ProblemText:
    """Return the molecule of an XYZ file (Å) as a problem: FCIDUMP text over its Hartree-Fock orbitals.

    `spin` is the number of unpaired electrons. The orbitals are restricted, each with the sign that makes its largest
    coefficient positive. Keep the text and run that: integrals of another machine differ in their last digits, and a
    resumed run needs identical ones. Raises InputError if PySCF is missing or fails.
    """
    path = Path(geometry)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemError(str(path), None, f"it can't be read ({error})", "Give an XYZ file.") from error
    if not is_xyz_geometry(text):
        problem = "this is not an XYZ geometry: the number of atoms, a comment, then lines of a symbol and x, y, z in Å"
        raise ProblemError(str(path), None, problem, "Give an XYZ file.")
    atoms = "\n".join(text.strip().splitlines()[2:])
    text = _fcidump(atoms, path.stem, basis=basis, charge=charge, spin=spin)
    if len(text) > MAX_PROBLEM_BYTES:
        size = f"its integrals have {len(text):,} bytes, the maximum is {MAX_PROBLEM_BYTES:,}"
        raise ProblemError(str(path), None, size, "Choose a smaller basis.")
    return ProblemText(name=path.stem, text=text)


def _fcidump(atoms: str, source: str, *, basis: str, charge: int, spin: int) -> str:
    try:
        from pyscf import ao2mo, gto, scf
    except ImportError as error:
        raise InputError("geometry", "integrals of a geometry need PySCF, which is not installed", _INSTALL) from error
    import numpy as np

    from hybridloop.algorithms.formats.fcidump import fcidump_text
    from hybridloop.algorithms.problems.molecule import Molecule

    try:
        built: Any = gto.M(atom=atoms, basis=basis, charge=charge, spin=spin, unit="Angstrom", verbose=0)
        field: Any = scf.RHF(built)
        field.kernel()
    except Exception as error:  # PySCF raises many kinds for an unknown basis or atom
        message = " ".join(str(error).split())[:200]
        problem = f"PySCF can't compute {source}: {type(error).__name__}: {message}"
        raise InputError("geometry", problem, "Check atoms, basis, charge and spin.") from error
    if not field.converged:
        problem = f"the Hartree-Fock calculation of {source} did not converge"
        raise InputError("geometry", problem, "Check the distances, or give integrals from another program.")
    orbitals = field.mo_coeff
    largest = orbitals[np.abs(orbitals).argmax(axis=0), range(orbitals.shape[1])]
    orbitals = orbitals * np.where(largest < 0, -1.0, 1.0)
    one = orbitals.T @ field.get_hcore() @ orbitals
    two = ao2mo.restore(1, ao2mo.full(built, orbitals), orbitals.shape[1])
    molecule = Molecule((one + one.T) / 2, two, tuple(built.nelec), float(built.energy_nuc()), source)
    return fcidump_text(molecule)
