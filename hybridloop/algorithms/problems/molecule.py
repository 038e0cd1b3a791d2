"""A molecule's integrals and electrons, and the reduction to an active space or with frozen core orbitals.

Frozen core orbitals stay doubly filled: they enter the constant and a mean field. High orbitals are left empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.geometries import Geometry
from hybridloop.errors import InputError, ProblemError

MAX_INTEGRAL = 1e9  # hartree: far above any molecule's, and products of many stay finite
SYMMETRY_TOLERANCE = 1e-8  # hartree: files print at least 8 digits, and symmetry-equivalent integrals are copies


Orbitals = slice | list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Dipole:
    """Dipole operator in atomic units (e a0): of the nuclei and frozen orbitals (3,), and of an electron (3, n, n).

    The latter is −⟨p| r − origin |q⟩ over the molecule's orbitals, for x, y and z. The `origin` (Å) is the centre of
    mass of the most common isotopes; it matters for a molecule with a `charge` (elementary charges).
    """

    constant: NDArray[np.float64]
    matrices: NDArray[np.float64]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    charge: int = 0

    def rotated(self, orbitals: NDArray[np.float64]) -> Dipole:
        """Return the operator in the orbitals whose columns are given in its own."""
        return replace(self, matrices=np.einsum("pa,xpq,qb->xab", orbitals, self.matrices, orbitals))

    def within(self, filled: Orbitals, active: Orbitals) -> Dipole:
        """Return the operator over active orbitals, beside doubly filled ones."""
        constant = self.constant + 2.0 * np.einsum("xii->x", self.matrices[:, filled][:, :, filled])
        return replace(self, constant=constant, matrices=self.matrices[:, active][:, :, active])


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """Coefficients of a molecule's orbitals (n, norb), and of those that stay doubly `filled` (n, k), in a basis.

    The basis is that of one-electron matrices (n, n) which a caller gives: the atomic orbitals of a geometry, or the
    orbitals of an FCIDUMP.
    """

    orbitals: NDArray[np.float64]
    filled: NDArray[np.float64]

    def rotated(self, orbitals: NDArray[np.float64]) -> Coefficients:
        """Return those of orbitals whose columns are given in these."""
        return replace(self, orbitals=self.orbitals @ orbitals)

    def within(self, filled: Orbitals, active: Orbitals) -> Coefficients:
        """Return those of active orbitals, beside further doubly filled ones."""
        return Coefficients(self.orbitals[:, active], np.hstack([self.filled, self.orbitals[:, filled]]))

    def one_body(self, matrix: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the matrix (norb, norb) of a one-electron operator over the orbitals, and what filled ones add."""
        inside = self.orbitals.T @ matrix @ self.orbitals
        return 2.0 * float(np.trace(self.filled.T @ matrix @ self.filled)), (inside + inside.T) / 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Molecule:
    """Spin-restricted real integrals in hartree over `norb` spatial orbitals; arrays are kept as read-only copies.

    one_body[p, q] = h_pq; two_body[p, q, r, s] = (pq|rs) in chemists' order, with its eight-fold symmetry;
    electrons = (alpha, beta); core_energy is nuclear repulsion and frozen core. The Hartree-Fock determinant fills
    the lowest orbitals of each spin, in the order of the arrays. `orbitals_reason` says which part of a larger
    molecule this is, and what is left out; empty for a whole one. With `is_active_space` orbitals are left out.
    `geometry` is that whose integrals these are, if it is known; `space` is the active space to which they were reduced
    where they were made, as the settings' text. `stated` says how the integrals were read, where that is not plain.
    `dipole` is None where only the integrals of the energy are known. `coefficients` are those of the orbitals in the
    ones of the text, or in the atomic orbitals of the geometry.
    """

    one_body: NDArray[np.float64]
    two_body: NDArray[np.float64]
    electrons: tuple[int, int]
    core_energy: float
    source: str
    orbitals_reason: str = ""
    is_active_space: bool = False
    geometry: Geometry | None = None
    space: str = ""
    stated: str = ""
    dipole: Dipole | None = None
    coefficients: Coefficients = None  # type: ignore[assignment]  # left out: the orbitals are the basis

    def __post_init__(self) -> None:
        norb = self.one_body.shape[0] if self.one_body.ndim == 2 else 0
        if norb < 1 or self.one_body.shape != (norb,) * 2 or self.two_body.shape != (norb,) * 4:
            shapes = f"shapes {self.one_body.shape} and {self.two_body.shape}"
            raise self._error(f"the integrals have {shapes}", "Give (n, n) and (n, n, n, n) for n ≥ 1 orbitals.")
        if not all(0 <= count <= norb for count in self.electrons):
            problem = (
                f"{self.electrons[0]} alpha and {self.electrons[1]} beta electrons do not fit in {norb} orbital(s)"
            )
            raise self._error(problem, f"Give 0 to {norb} electrons of each spin.")
        values = (self.one_body, self.two_body, np.array(self.core_energy))
        if not all(np.isrealobj(value) and (np.abs(value) <= MAX_INTEGRAL).all() for value in values):
            problem = f"an integral is not a finite real number, or above {MAX_INTEGRAL:g}"
            raise self._error(problem, "Give finite real numbers in hartree.")
        two = self.two_body
        partners = [two.transpose(axes) for axes in ((1, 0, 2, 3), (0, 1, 3, 2), (2, 3, 0, 1))]
        skew = max(np.abs(two - partner).max() for partner in partners)
        if max(skew, np.abs(self.one_body - self.one_body.T).max()) > SYMMETRY_TOLERANCE:
            raise self._error(
                "the integrals are not symmetric",
                "Give integrals over real orbitals: h_pq = h_qp, (pq|rs) = (qp|rs) = (rs|pq).",
            )
        for name in ("one_body", "two_body"):
            array = np.array(getattr(self, name), float)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.coefficients is None:
            object.__setattr__(self, "coefficients", Coefficients(np.eye(norb), np.zeros((norb, 0))))

    @property
    def norb(self) -> int:
        """The number of spatial orbitals; there are twice as many spin orbitals."""
        return int(self.one_body.shape[0])

    @property
    def hartree_fock_energy(self) -> float:
        """The Hartree-Fock energy in hartree: that of the determinant that fills the lowest orbitals of each spin."""
        alpha, beta = (np.arange(self.norb) < count for count in self.electrons)
        coulomb = np.einsum("iijj->ij", self.two_body)
        exchange = np.einsum("ijji->ij", self.two_body)
        density = alpha.astype(float) + beta
        pairs = 0.5 * density @ coulomb @ density - 0.5 * (alpha @ exchange @ alpha + beta @ exchange @ beta)
        return float(self.core_energy + np.diag(self.one_body) @ density + pairs)

    def _error(self, problem: str, remedy: str) -> ProblemError:
        return ProblemError(self.source, None, problem, remedy)


def rotate_orbitals(molecule: Molecule, orbitals: NDArray[np.float64]) -> Molecule:
    """Return the molecule in the orbitals (norb, norb) whose columns are given in its own: Σ_q U_qp φ_q."""
    one = orbitals.T @ molecule.one_body @ orbitals
    two = molecule.two_body
    for _ in range(4):
        two = np.tensordot(two, orbitals, axes=(0, 0))  # the first axis goes to the end, four times
    one, two = (one + one.T) / 2.0, _symmetric(two)
    dipole = None if molecule.dipole is None else molecule.dipole.rotated(orbitals)
    coefficients = molecule.coefficients.rotated(orbitals)
    return replace(molecule, one_body=one, two_body=two, dipole=dipole, coefficients=coefficients)


def _symmetric(two: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return two-body integrals whose eight-fold symmetry rounding does not break."""
    for axes in ((1, 0, 2, 3), (0, 1, 3, 2), (2, 3, 0, 1)):
        two = (two + two.transpose(axes)) / 2.0
    return two


def with_multiplicity(molecule: Molecule, multiplicity: int) -> Molecule:
    """Return the molecule with as many electrons, of which alpha − beta = `multiplicity` − 1 = 2 s: S_z = s.

    The orbitals stay, and so does a molecule with that multiplicity. Raises InputError if the electrons have no such
    state in the molecule's orbitals.
    """
    total, unpaired = sum(molecule.electrons), multiplicity - 1
    if abs(molecule.electrons[0] - molecule.electrons[1]) == unpaired:
        return molecule
    most = min(total, 2 * molecule.norb - total)
    if multiplicity < 1 or (total - unpaired) % 2 or unpaired > most:
        problem = f"{multiplicity} does not fit {total} electrons in {molecule.norb} orbital(s) of {molecule.source}"
        allowed = ", ".join(str(number + 1) for number in range(total % 2, most + 1, 2))
        raise InputError("multiplicity", problem, f"Give one of {allowed}.")
    return replace(molecule, electrons=((total + unpaired) // 2, (total - unpaired) // 2))


def frozen_core(molecule: Molecule, orbitals: int) -> Molecule:
    """Freeze the lowest `orbitals` as a doubly filled core: that many orbitals and electron pairs fewer."""
    most = min(*molecule.electrons, molecule.norb - 1)
    if not 0 <= orbitals <= most:
        problem = f"{orbitals} of {molecule.norb} orbitals can't be frozen: at most {most} can be a doubly filled core"
        raise InputError("frozen_core", problem, f"Give 0 to {most}.")
    return active_space(molecule, sum(molecule.electrons) - 2 * orbitals, molecule.norb - orbitals)


def active_space(molecule: Molecule, electrons: int, orbitals: int) -> Molecule:
    """Reduce a molecule to the complete active space of `electrons` in `orbitals` around the highest filled (CASCI).

    Core orbitals i give E + 2 Σ_i h_ii + Σ_ij 2 (ii|jj) − (ij|ji) to the constant and Σ_i 2 (pq|ii) − (pi|iq) to h_pq:
    the exact Hamiltonian between determinants that fill them (T. Helgaker et al., Molecular Electronic-Structure
    Theory (2000), ch. 12). The Hartree-Fock energy does not change. Raises InputError for a space that does not fit.
    """
    core, unpaired = divmod(sum(molecule.electrons) - electrons, 2)
    alpha, beta = (count - core for count in molecule.electrons)
    if unpaired or core < 0 or min(alpha, beta) < 0:
        problem = f"{electrons} of {sum(molecule.electrons)} electrons can't be active: the others must form pairs"
        raise InputError("active_space", problem, f"Give {_allowed_electrons(molecule)} electrons.")
    if orbitals < max(alpha, beta, 1) or core + orbitals > molecule.norb:
        problem = (
            f"{electrons} electrons in {orbitals} active orbitals do not fit: "
            f"{core} of {molecule.norb} orbital(s) are core"
        )
        remedy = f"Give {max(alpha, beta, 1)} to {molecule.norb - core} active orbitals."
        raise InputError("active_space", problem, remedy)
    return within_orbitals(molecule, list(range(core)), list(range(core, core + orbitals)))


def listed_space(molecule: Molecule, numbers: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the orbitals that stay filled, and the active ones, for a list of the latter that counts from 1.

    They keep the electrons that they have in Hartree-Fock. Raises InputError for a list that does not fit.
    """
    fewer, more = sorted(molecule.electrons)
    active = [number - 1 for number in sorted(numbers)]
    if active[-1] >= molecule.norb:
        problem = f"there is no orbital {active[-1] + 1} of {molecule.source}, which has {molecule.norb}"
        raise InputError("active_space", problem, f"Give numbers from 1 to {molecule.norb}.")
    if left := [p + 1 for p in range(fewer, more) if p not in active]:
        problem = f"orbital {left[0]} has one electron, so that it can't be left out"
        raise InputError("active_space", problem, f"List {', '.join(map(str, left))} too.")
    return [p for p in range(fewer) if p not in active], active


def within_orbitals(molecule: Molecule, filled: list[int], active: list[int]) -> Molecule:
    """Return the molecule in its `active` orbitals, beside doubly `filled` ones; see `active_space`."""
    one, two = molecule.one_body, molecule.two_body
    coulomb = np.einsum("pqii->pq", two[:, :, filled][:, :, :, filled])
    exchange = np.einsum("piiq->pq", two[:, filled][:, :, filled])
    field = one + 2.0 * coulomb - exchange
    energy = molecule.core_energy + float(np.trace((one + field)[filled][:, filled]))
    inside = two[active][:, active][:, :, active][:, :, :, active]
    alpha, beta = (count - len(filled) for count in molecule.electrons)
    source = f"{molecule.source} ({alpha + beta}e, {len(active)}o)"
    is_part = molecule.is_active_space or len(active) < molecule.norb
    one, two, counts = field[active][:, active], inside, (alpha, beta)
    dipole = None if molecule.dipole is None else molecule.dipole.within(filled, active)
    return Molecule(
        *(one, two, counts, energy, source),
        is_active_space=is_part,
        geometry=molecule.geometry,
        dipole=dipole,
        coefficients=molecule.coefficients.within(filled, active),
    )


def _allowed_electrons(molecule: Molecule) -> str:
    total, open_shell = sum(molecule.electrons), abs(molecule.electrons[0] - molecule.electrons[1])
    return f"{total} or an even number fewer, at least {open_shell}"
