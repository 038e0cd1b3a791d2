"""Molecules as FCIDUMP text: PySCF objects, geometries (with integrals from PySCF), qdk-chemistry Hamiltonians."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridloop.algorithms.choices import OF_SYMMETRY
from hybridloop.algorithms.geometries import Atom, Geometry, formula, isotope_mass, shortest_distance
from hybridloop.errors import InputError
from hybridloop.inputs.problem_objects import not_a_problem
from hybridloop.inputs.problem_objects.basis_sets import (
    basis_text,
    by_element,
    check_cores,
    potential_text,
    potentials_of,
)
from hybridloop.inputs.problem_objects.geometry_options import DEFAULT_BASIS, GeometryOptions
from hybridloop.runtime.paths import home, make_folder
from hybridloop.settings.parsing import MAX_PROBLEM_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hybridloop.algorithms.problems.molecule import Dipole, Molecule

_INSTALL = "Install it: pip install 'hybridloop[pyscf]'. Or give the integrals, as FCIDUMP."
SAME_INTEGRALS = 1e-8  # hartree: far above the noise of rounding, far below what a measurement resolves
_SAME_SIZE = 1 - 1e-6  # of the largest coefficient, far above what a converged calculation leaves open
_NEWTON_CYCLES, _STABILITY_STEPS = 100, 5  # bounds: stretched bonds take about 20 cycles and one step
_MOST_WRITTEN = 40  # orbitals: integrals over more fit no problem's text
_MOST_IN_MEMORY = 70  # orbitals, whose array of integrals takes 200 MB, and grows with the fourth power


def integrals_of(atoms: Sequence[Atom], source: str, options: GeometryOptions, stated: str = "") -> Molecule:
    """Return the molecule of a geometry over its Hartree-Fock orbitals, in the active space of the options.

    `stated` says what its text states beside the atoms.
    Raises InputError if PySCF is missing or fails, and for a space that does not fit.
    """
    try:
        from pyscf import gto, scf
    except ImportError as error:
        raise InputError("geometry", "integrals of a geometry need PySCF, which is not installed", _INSTALL) from error
    charge = options.charge or 0
    shortest_distance(atoms, covalent_radius, source)  # before PySCF fails for another reason
    spin = None if options.multiplicity is None else options.multiplicity - 1
    elements = list(dict.fromkeys(symbol.rstrip("0123456789") for symbol, _ in atoms))  # in an order, as texts are kept
    bases = by_element(options.basis or DEFAULT_BASIS, elements, "basis")
    if missing := [element for element in elements if element not in bases]:
        raise InputError("basis", f"{options.basis} has no basis set for {', '.join(missing)}", "Name one for it.")
    potentials = potentials_of(bases, options.ecp)
    basis: Any = next(iter(bases.values())) if len(set(bases.values())) == 1 else bases
    with _errors_of_pyscf(source), _no_evaluation():
        built: Any = gto.M(
            atom=list(atoms), basis=basis, ecp=potentials, charge=charge, spin=spin, unit="Angstrom", verbose=0
        )
        if str(options.active_space).startswith(OF_SYMMETRY):
            built.build(symmetry=True)
        found = _molecule_of_field(scf.RHF(built), source, options)
        assert found.geometry is not None
        return replace(found, geometry=replace(found.geometry, stated=stated))


def written(molecule: Molecule) -> str:
    """Return the text of a molecule, as an earlier call kept it. Raises InputError for one that is too large."""
    from hybridloop.inputs.formats.energies import molecule_text

    text = molecule_text(molecule) if molecule.norb <= _MOST_WRITTEN else ""
    if len(text) > MAX_PROBLEM_BYTES:
        text = molecule_text(molecule, with_orbitals=False)
    if not text or len(text) > MAX_PROBLEM_BYTES:
        size = f"{len(text):,} characters" if text else "more"
        what = f"{molecule.source} has {molecule.norb} orbitals, whose integrals take {size}"
        remedy = "Choose an active space, such as 4,4 electrons and orbitals (--active-space 4,4)."
        raise InputError("active_space", f"{what}; at most {MAX_PROBLEM_BYTES:,} are taken", remedy)
    return as_kept(text, molecule.source)


def part_of_integrals(text: str, source: str, options: GeometryOptions) -> str:
    """Return the text of a molecule in FCIDUMP in the options' active space. Raises ProblemError, InputError."""
    from hybridloop.algorithms.problems.molecule import with_multiplicity
    from hybridloop.algorithms.problems.natural_orbitals import part_of
    from hybridloop.inputs.formats.fcidump import read_fcidump

    molecule = read_fcidump(text, source)
    if options.multiplicity is not None:
        molecule = with_multiplicity(molecule, options.multiplicity)
    return written(part_of(molecule, options.active_space, options.frozen_core))


def pyscf_object(value: Any, options: GeometryOptions | None) -> tuple[str, str]:
    """Return the formula and text of a PySCF Mole, restricted SCF, CASCI or CASSCF, in the options' active space.

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
            check_cores(value.mol)
            return name, written(replace(_active_space_of(value, name), geometry=_geometry_of(value.mol)))
        if isinstance(value, scf.hf.SCF):
            return name, written(_molecule_of_field(value, name, options or GeometryOptions()))
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


def _molecule_of_field(field: Any, source: str, options: GeometryOptions) -> Molecule:
    """Return a field's molecule with its geometry, in the active space of the options."""
    from pyscf import ao2mo, mcscf, scf

    from hybridloop.algorithms.problems.molecule import Coefficients
    from hybridloop.algorithms.problems.natural_orbitals import in_listed_orbitals, part_of
    from hybridloop.inputs.problem_objects.symmetries import nearest_of_symmetries, orbital_symmetries

    if isinstance(field, scf.uhf.UHF | scf.ghf.GHF):
        problem = f"the orbitals of a {type(field).__name__} differ by spin, and restricted ones are needed"
        raise InputError("problem", problem, "Give scf.RHF(mol) or scf.ROHF(mol).")
    check_cores(field.mol)
    size, space = int(field.mol.nao), options.active_space
    is_large = size > _MOST_IN_MEMORY
    if is_large and not isinstance(space, tuple):
        problem = f"{source} has {size} orbitals, and all integrals of at most {_MOST_IN_MEMORY} fit in memory"
        raise InputError("active_space", problem, "Choose electrons and orbitals, such as 4,4 (--active-space 4,4).")
    field = _converged(field, source)
    if is_large:  # PySCF transforms the integrals of the space alone
        assert isinstance(space, tuple)
        electrons, active = space
        found = replace(
            _active_space_of(mcscf.CASCI(field, active, electrons), source),
            space=f"{electrons},{active}",
        )
    else:
        orbitals = _with_signs(field.mo_coeff)
        one = orbitals.T @ field.get_hcore() @ orbitals
        integrals = field.mol if field._eri is None else field._eri  # the user's own, as of a model Hamiltonian
        two = ao2mo.restore(1, ao2mo.full(integrals, orbitals), orbitals.shape[1])
        found = _molecule(one, two, field.mol.nelec, field.energy_nuc(), source)
        coefficients = Coefficients(orbitals, orbitals[:, :0])
        found = replace(found, dipole=_dipole_of(field.mol, orbitals), coefficients=coefficients)
        if isinstance(space, str) and space.startswith(OF_SYMMETRY):
            labels = orbital_symmetries(field.mol, orbitals)
            numbers = nearest_of_symmetries(found, labels, space)
            found = replace(in_listed_orbitals(found, numbers, labels), space=space)
        else:
            found = part_of(found, space, options.frozen_core)
    return replace(found, geometry=_geometry_of(field.mol))


def _dipole_of(built: Any, orbitals: NDArray[Any]) -> Dipole | None:
    """Return the dipole operator over the orbitals of a Mole, about its centre of mass; None without atoms.

    Masses are those of the most common isotopes, as for vibrations; a ghost atom has none.
    Core potentials leave the nuclei with the charge that they show outside of the core.
    """
    import numpy as np
    from pyscf.data import nist

    from hybridloop.algorithms.problems.molecule import Dipole

    if not built.natm:
        return None
    places, charges = built.atom_coords(), built.atom_charges()  # in bohr
    known = [isotope_mass(built.atom_pure_symbol(i)) for i in range(built.natm)]
    masses = np.array([mass or other for mass, other in zip(known, built.atom_mass_list(), strict=True)])
    origin = masses @ places / masses.sum()
    with built.with_common_orig(origin):
        matrices = -np.einsum("pa,xpq,qb->xab", orbitals, built.intor_symmetric("int1e_r", comp=3), orbitals)
    x, y, z = (origin * nist.BOHR).round(9).tolist()
    return Dipole(charges @ (places - origin), matrices, (x, y, z), int(built.charge))


def _geometry_of(built: Any) -> Geometry | None:
    """Return the geometry of a PySCF Mole; None for a model without atoms."""
    import pyscf

    places = built.atom_coords(unit="Angstrom").round(9).tolist()
    atoms = tuple((built.atom_pure_symbol(i), (x, y, z)) for i, (x, y, z) in enumerate(places))
    if not atoms:
        return None
    shortest = shortest_distance(atoms, covalent_radius, formula(symbol for symbol, _ in atoms))
    return Geometry(
        atoms,
        basis_text(built.basis),
        int(built.charge),
        int(built.nao),
        shortest,
        potential=potential_text(built),
        multiplicity=int(built.spin) + 1,
        program=f"PySCF {pyscf.__version__}",
    )


def _converged(field: Any, source: str) -> Any:
    """Return the field, converged. Raises InputError where it does not converge."""
    if field.mo_coeff is None:
        field = field.copy()
        field.verbose = 0
        field.kernel()
        field = field if field.converged else _of_second_order(field)
    if not field.converged:
        problem = f"the Hartree-Fock calculation of {source} did not converge"
        raise InputError("geometry", problem, "Check the distances, or give integrals from another program.")
    return field


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


def _active_space_of(cas: Any, source: str) -> Molecule:
    from pyscf import ao2mo, mcscf

    from hybridloop.algorithms.problems.molecule import Coefficients

    if cas.ncas > _MOST_WRITTEN:
        what = f"{source} has {cas.ncas} active orbitals, and integrals over at most {_MOST_WRITTEN} are written"
        raise InputError("problem", what, "Choose a smaller active space.")
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
    found, size = _molecule(one, two, cas.nelecas, core, source), int(cas.mol.nao)
    taken, parts = orbitals[:, : cas.ncore + cas.ncas], (slice(0, cas.ncore), slice(cas.ncore, None))
    found = replace(found, coefficients=Coefficients(taken, taken[:, :0]).within(*parts))
    if (dipole := _dipole_of(cas.mol, taken)) is not None:
        found = replace(found, dipole=dipole.within(*parts))
    if cas.ncas == size:
        return found
    reason = f"active space: {sum(cas.nelecas)} electrons in {cas.ncas} of {size} orbitals"
    return replace(found, is_active_space=True, orbitals_reason=reason)


def _molecule(one: NDArray[Any], two: NDArray[Any], electrons: Iterable[int], core: float, source: str) -> Molecule:
    from hybridloop.algorithms.problems.molecule import Molecule

    alpha, beta = (int(count) for count in electrons)
    return Molecule((one + one.T) / 2, two, (alpha, beta), float(core), source)


def _beside_numbers(molecule: Molecule) -> tuple[Any, ...]:
    """Return what equal texts have, without the program's version: equal integrals of another one are the same."""
    geometry = None if molecule.geometry is None else replace(molecule.geometry, program="")
    return geometry, molecule.space, molecule.dipole is None, molecule.coefficients.filled.shape


def covalent_radius(symbol: str) -> float:
    """Return an element's covalent radius in Å (B. Cordero et al., Dalton Trans. (2008) 2832)."""
    from pyscf.data import elements, nist, radii

    return float(radii.COVALENT[elements.charge(symbol)] * nist.BOHR)


def as_kept(text: str, source: str) -> str:
    """Return the text of equal integrals that an earlier call kept in HYBRIDLOOP_HOME, or else this one, now kept.

    PySCF's numbers differ in their last digits from call to call, and the text of a problem identifies a run.
    """
    import numpy as np

    from hybridloop.algorithms.problems.molecule import Molecule
    from hybridloop.inputs.formats.energies import read_energy_problem

    found = read_energy_problem(text, source)
    assert isinstance(found, Molecule)
    folder, electrons = home() / "integrals", "-".join(map(str, found.electrons))
    cores = {f"{found.core_energy + shift:.6f}" for shift in (-1e-6, 0.0, 1e-6)}
    candidates = [path for core in cores for path in folder.glob(f"{found.norb}-{electrons}-{core}-*.txt")]
    for path in sorted(candidates):
        with contextlib.suppress(OSError, ValueError, InputError):  # removed meanwhile, or damaged
            earlier = read_energy_problem(kept := path.read_text("utf-8"), source)
            assert isinstance(earlier, Molecule)
            pairs = (
                (earlier.one_body, found.one_body),
                (earlier.two_body, found.two_body),
                (earlier.core_energy, found.core_energy),
                *_pairs_of_dipoles(earlier, found),
            )
            is_same = _beside_numbers(earlier) == _beside_numbers(found)
            if is_same and all(np.allclose(old, new, rtol=0, atol=SAME_INTEGRALS) for old, new in pairs):
                return kept
    with contextlib.suppress(OSError):  # a folder that can't be written
        make_folder(folder)
        handle, temporary = tempfile.mkstemp(dir=folder)
        os.write(handle, text.encode())
        os.close(handle)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        Path(temporary).replace(folder / f"{found.norb}-{electrons}-{found.core_energy:.6f}-{digest}.txt")
    return text


def _pairs_of_dipoles(earlier: Molecule, found: Molecule) -> list[tuple[Any, Any]]:
    if earlier.dipole is None or found.dipole is None:
        return []
    return [(earlier.dipole.constant, found.dipole.constant), (earlier.dipole.matrices, found.dipole.matrices)]


def _with_signs(orbitals: NDArray[Any]) -> NDArray[Any]:
    """Return the orbitals, each with the sign that makes its largest coefficient positive, the first of equal ones.

    Symmetric molecules have equal ones, of which rounding must not choose.
    """
    import numpy as np

    if getattr(orbitals, "ndim", 0) != 2 or np.iscomplexobj(orbitals):
        raise InputError("problem", "the orbitals are not restricted and real", "Give scf.RHF(mol) or scf.ROHF(mol).")
    orbitals = np.asarray(orbitals)
    sizes = np.abs(orbitals)
    first = (sizes >= _SAME_SIZE * sizes.max(axis=0)).argmax(axis=0)
    largest = orbitals[first, range(orbitals.shape[1])]
    return orbitals * np.where(largest < 0, -1.0, 1.0)


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
