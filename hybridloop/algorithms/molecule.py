"""A molecule as algorithms see it: integrals over orthonormal orbitals and electrons to put into them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.errors import ProblemError

SYMMETRY_TOLERANCE = 1e-8  # hartree: files print 8 digits at least, and symmetric partners are copies of each other


@dataclass(frozen=True, slots=True, eq=False)
class Molecule:
    """Real integrals in hartree over `norb` spatial orbitals, spin-restricted; arrays are kept as read-only copies.

    one_body[p, q] = h_pq; two_body[p, q, r, s] = (pq|rs) in chemists' order, with its eight-fold symmetry;
    electrons = (alpha, beta); core_energy = nuclear repulsion and frozen core. The Hartree-Fock determinant fills
    the lowest orbitals of each spin, in the order of the arrays.
    """

    one_body: NDArray[np.float64]
    two_body: NDArray[np.float64]
    electrons: tuple[int, int]
    core_energy: float
    source: str

    def __post_init__(self) -> None:
        norb = self.one_body.shape[0] if self.one_body.ndim == 2 else 0
        if norb < 1 or self.one_body.shape != (norb,) * 2 or self.two_body.shape != (norb,) * 4:
            shapes = f"shapes {self.one_body.shape} and {self.two_body.shape}"
            raise self._refusal(f"the integrals have {shapes}", "Give (n, n) and (n, n, n, n) for n ≥ 1 orbitals.")
        if not all(0 <= count <= norb for count in self.electrons):
            problem = (
                f"{self.electrons[0]} alpha and {self.electrons[1]} beta electrons do not fit in {norb} orbital(s)"
            )
            raise self._refusal(problem, "Give between 0 and that many electrons of each spin.")
        values = (self.one_body, self.two_body, np.array(self.core_energy))
        if not all(np.isrealobj(value) and np.isfinite(value).all() for value in values):
            raise self._refusal("an integral is not a finite real number", "Give finite real numbers in hartree.")
        two = self.two_body
        partners = [two.transpose(axes) for axes in ((1, 0, 2, 3), (0, 1, 3, 2), (2, 3, 0, 1))]
        skew = max(np.abs(two - partner).max() for partner in partners)
        if max(skew, np.abs(self.one_body - self.one_body.T).max()) > SYMMETRY_TOLERANCE:
            raise self._refusal(
                "the integrals are not symmetric",
                "Give real orbitals' integrals: h_pq = h_qp, (pq|rs) = (qp|rs) = (rs|pq).",
            )
        for name in ("one_body", "two_body"):
            kept = np.array(getattr(self, name), float)
            kept.setflags(write=False)
            object.__setattr__(self, name, kept)

    @property
    def norb(self) -> int:
        """Number of spatial orbitals; there are twice as many spin orbitals."""
        return int(self.one_body.shape[0])

    @property
    def hartree_fock_energy(self) -> float:
        """Energy in hartree of the determinant that fills the lowest orbitals of each spin."""
        alpha, beta = (np.arange(self.norb) < count for count in self.electrons)
        coulomb = np.einsum("iijj->ij", self.two_body)
        exchange = np.einsum("ijji->ij", self.two_body)
        density = alpha.astype(float) + beta
        pairs = 0.5 * density @ coulomb @ density - 0.5 * (alpha @ exchange @ alpha + beta @ exchange @ beta)
        return float(self.core_energy + np.diag(self.one_body) @ density + pairs)

    def _refusal(self, problem: str, remedy: str) -> ProblemError:
        return ProblemError(self.source, None, problem, remedy)
