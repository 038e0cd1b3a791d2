"""Molecules as FCIDUMP text: PySCF objects, geometries (with integrals from PySCF), qdk-chemistry Hamiltonians."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridloop.algorithms.formats.geometry import Atom, formula
from hybridloop.errors import InputError
from hybridloop.inputs.problem_objects import not_a_problem
from hybridloop.runtime.paths import home, make_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

_INSTALL = "Install it: pip install 'hybridloop[pyscf]'. Or give the integrals, as FCIDUMP."
SAME_INTEGRALS = 1e-8  # hartree: far above the noise of rounding, far below what a measurement resolves
_BASIS = re.compile(r"[A-Za-z0-9+*(),_@ -]{1,60}")  # a name: PySCF would also read a file
_NEWTON_CYCLES, _STABILITY_STEPS = 100, 5  # bounds: stretched bonds take about 20 cycles and one step
_MOST_ORBITALS = 40  # integrals over more fit no problem's text, and their array grows with the fourth power


def geometry_fcidump(atoms: Sequence[Atom], source: str, *, basis: str, charge: int, spin: int | None) -> str:
    """Return FCIDUMP text over the Hartree-Fock orbitals of a geometry.

    `spin` is the number of unpaired electrons; None: 0 or 1, by the number of electrons. Raises InputError if PySCF is
    missing or fails.
    """
    if _BASIS.fullmatch(basis) is None:
        raise InputError("basis", f"{basis[:80]!r} is no name of a basis set", "Give PySCF's name, such as cc-pvdz.")
    name = basis.partition("@")[0]
    if any(map(os.path.isfile, (name, re.sub("(?i)^unc", "", name)))):  # PySCF takes `unc` for uncontracted
        problem = f"this folder has a file of that name, which PySCF would read in place of the basis set {basis!r}"
        raise InputError("basis", problem, "Rename the file, or change to another folder.")
    try:
        from pyscf import gto, scf
    except ImportError as error:
        raise InputError("geometry", "integrals of a geometry need PySCF, which is not installed", _INSTALL) from error
    with _errors_of_pyscf(source), _no_evaluation():
        built: Any = gto.M(atom=list(atoms), basis=basis, charge=charge, spin=spin, unit="Angstrom", verbose=0)
        _check_size(built.nao, source)
        return _fcidump_of_field(scf.RHF(built), source)


def pyscf_object(value: Any) -> tuple[str, str]:
    """Return the formula and FCIDUMP text of a PySCF Mole, restricted SCF, CASCI or CASSCF.

    What was not run yet is run, on a copy. Orbitals get the sign that makes their largest coefficient positive.
    """
    from pyscf import gto, mcscf, scf

    molecule = value if isinstance(value, gto.Mole) else getattr(value, "mol", None)
    if not isinstance(molecule, gto.Mole):
        raise not_a_problem(value, "Give a Mole, an RHF or ROHF, a CASCI or a CASSCF.")
    if hasattr(molecule, "lattice_vectors"):
        raise InputError("problem", "the cell is periodic, and molecules are taken", "Give a molecule.")
    with _errors_of_pyscf("the object"):
        if value is molecule and not molecule._built:
            molecule = value = molecule.copy().build()
        name = formula(molecule.elements)
        if isinstance(value, gto.Mole):
            value = scf.RHF(value)
        if isinstance(value, mcscf.casci.CASBase):
            return name, as_kept(_fcidump_of_active_space(value, name), name)
        if isinstance(value, scf.hf.SCF):
            return name, as_kept(_fcidump_of_field(value, name), name)
    raise not_a_problem(value, "Give its SCF or its CASSCF.")


def qdk_chemistry_object(value: Any, electrons: tuple[int, int] | None = None) -> tuple[str, str]:
    """Return the name and FCIDUMP text of a qdk-chemistry Ansatz, or of a Hamiltonian with its active electrons."""
    if hasattr(value, "get_hamiltonian") and hasattr(value, "get_wavefunction"):
        electrons = electrons or tuple(value.get_wavefunction().get_active_num_electrons())
        value = value.get_hamiltonian()
    if not hasattr(value, "to_fcidump_file"):
        raise not_a_problem(value, "Give a Hamiltonian, or an Ansatz.")
    if electrons is None:
        problem = "a Hamiltonian of qdk-chemistry does not state its electrons"
        raise InputError("problem", problem, "Give hl.problem(hamiltonian, electrons=(1, 1)), or an Ansatz.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.hamiltonian.fcidump"  # the library refuses a name without `.hamiltonian.`
        value.to_fcidump_file(str(path), *electrons)
        return "molecule", path.read_text("utf-8")


def _fcidump_of_field(field: Any, source: str) -> str:
    from pyscf import ao2mo, scf

    if isinstance(field, scf.uhf.UHF | scf.ghf.GHF):
        problem = f"the orbitals of a {type(field).__name__} differ by spin, and restricted ones are needed"
        raise InputError("problem", problem, "Give scf.RHF(mol) or scf.ROHF(mol).")
    if field.mo_coeff is None:
        _check_size(field.mol.nao, source)
        field = field.copy()
        field.verbose = 0
        field.kernel()
        field = field if field.converged else _of_second_order(field)
    if not field.converged:
        problem = f"the Hartree-Fock calculation of {source} did not converge"
        raise InputError("geometry", problem, "Check the distances, or give integrals from another program.")
    orbitals = _with_signs(field.mo_coeff)
    _check_size(orbitals.shape[1], source)
    one = orbitals.T @ field.get_hcore() @ orbitals
    integrals = field.mol if field._eri is None else field._eri  # the user's own, as of a model Hamiltonian
    two = ao2mo.restore(1, ao2mo.full(integrals, orbitals), orbitals.shape[1])
    return _fcidump(one, two, field.mol.nelec, field.energy_nuc(), source)


def _of_second_order(field: Any) -> Any:
    """Return the field that a second-order solver finds, which converges where DIIS does not, as of stretched bonds.

    It may end at a saddle point, so unstable solutions are followed downwards.
    """
    solver = field.newton()
    solver.verbose, solver.max_cycle = 0, _NEWTON_CYCLES
    solver.kernel(field.mo_coeff, field.mo_occ)
    for _ in range(_STABILITY_STEPS):
        orbitals, _, is_stable, _ = solver.stability(return_status=True)
        if is_stable:
            break
        solver.kernel(orbitals, field.mo_occ)
    return solver


def _fcidump_of_active_space(cas: Any, source: str) -> str:
    from pyscf import ao2mo, mcscf

    _check_size(cas.ncas, source)
    if isinstance(cas, mcscf.mc1step.CASSCF):
        if cas.ci is None:
            cas = cas.copy()
            cas.verbose = 0
            cas.kernel()
        if not cas.converged:
            raise InputError("problem", f"the CASSCF of {source} did not converge", "Converge it, or give a CASCI.")
    if cas.mo_coeff is None:
        raise InputError("problem", f"the CASCI of {source} has no orbitals", "Run its SCF before: mf.run().")
    orbitals = _with_signs(cas.mo_coeff)
    one, core = cas.get_h1eff(orbitals)
    two = ao2mo.restore(1, cas.get_h2eff(orbitals), cas.ncas)
    return _fcidump(one, two, cas.nelecas, core, source)


def _fcidump(one: NDArray[Any], two: NDArray[Any], electrons: Iterable[int], core: float, source: str) -> str:
    from hybridloop.algorithms.formats.fcidump import fcidump_text
    from hybridloop.algorithms.problems.molecule import Molecule

    alpha, beta = (int(count) for count in electrons)
    return fcidump_text(Molecule((one + one.T) / 2, two, (alpha, beta), float(core), source))


def as_kept(text: str, source: str) -> str:
    """Return the text of equal integrals that an earlier call kept in HYBRIDLOOP_HOME, or else this one, now kept.

    PySCF's numbers differ in their last digits from call to call, and the text of a problem identifies a run.
    """
    import numpy as np

    from hybridloop.algorithms.formats.fcidump import read_fcidump

    found = read_fcidump(text, source)
    folder, electrons = home() / "integrals", "-".join(map(str, found.electrons))
    cores = {f"{found.core_energy + shift:.6f}" for shift in (-1e-6, 0.0, 1e-6)}
    candidates = [path for core in cores for path in folder.glob(f"{found.norb}-{electrons}-{core}-*.fcidump")]
    for path in sorted(candidates):
        with contextlib.suppress(OSError, ValueError, InputError):  # removed meanwhile, or damaged
            earlier = read_fcidump(kept := path.read_text("utf-8"), source)
            pairs = (
                (earlier.one_body, found.one_body),
                (earlier.two_body, found.two_body),
                (earlier.core_energy, found.core_energy),
            )
            if all(np.allclose(old, new, rtol=0, atol=SAME_INTEGRALS) for old, new in pairs):
                return kept
    with contextlib.suppress(OSError):  # a folder that can't be written
        make_folder(folder)
        handle, temporary = tempfile.mkstemp(dir=folder)
        os.write(handle, text.encode())
        os.close(handle)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        Path(temporary).replace(folder / f"{found.norb}-{electrons}-{found.core_energy:.6f}-{digest}.fcidump")
    return text


def _with_signs(orbitals: NDArray[Any]) -> NDArray[Any]:
    """Return the orbitals, each with the sign that makes its largest coefficient positive."""
    import numpy as np

    if getattr(orbitals, "ndim", 0) != 2 or np.iscomplexobj(orbitals):
        raise InputError("problem", "the orbitals are not restricted and real", "Give scf.RHF(mol) or scf.ROHF(mol).")
    orbitals = np.asarray(orbitals)
    largest = orbitals[np.abs(orbitals).argmax(axis=0), range(orbitals.shape[1])]
    return orbitals * np.where(largest < 0, -1.0, 1.0)


def _check_size(orbitals: int, source: str) -> None:
    if orbitals > _MOST_ORBITALS:
        problem = f"{source} has {orbitals} orbitals, and integrals over at most {_MOST_ORBITALS} are written"
        raise InputError("geometry", problem, "Choose a smaller basis, or give a CASCI of PySCF.")


@contextlib.contextmanager
def _no_evaluation() -> Iterator[None]:
    """Keep PySCF from evaluating what is no number in a basis set."""
    from pyscf.gto.basis import parse_cp2k, parse_nwchem

    readers: tuple[Any, ...] = (parse_nwchem, parse_cp2k)
    before = [getattr(reader, "DISABLE_EVAL", False) for reader in readers]
    for reader in readers:
        reader.DISABLE_EVAL = True
    try:
        yield
    finally:
        for reader, value in zip(readers, before, strict=True):
            reader.DISABLE_EVAL = value


@contextlib.contextmanager
def _errors_of_pyscf(source: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # PySCF raises many kinds for an unknown basis or atom
        message = " ".join(str(error).split())[:200]
        problem = f"PySCF can't compute {source}: {type(error).__name__}: {message}"
        raise InputError("geometry", problem, "Check atoms, basis, charge and spin.") from error
