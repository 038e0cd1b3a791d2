"""Fermion operators on qubits: Jordan-Wigner, and parity with its two conserved qubits removed."""

from __future__ import annotations

import enum
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.quantum_info import PauliList, SparsePauliOp

from hybridloop.algorithms.molecule import Molecule

NEGLIGIBLE = 1e-12  # hartree: rounding of the integrals; a term below it would cost circuits and change nothing

# A real combination of operators X^x Z^z (Z acts first): {(x, z): coefficient}, masks with bit i = qubit i. The product
# of two is (-1)^|z1 & x2| X^(x1^x2) Z^(z1^z2), so that no imaginary unit is ever needed.
XZ = Mapping[tuple[int, int], float]


class FermionMapping(enum.StrEnum):
    """How spin orbitals become qubits: all alpha orbitals first, then all beta, each by ascending index."""

    JORDAN_WIGNER = "jordan-wigner"
    PARITY = "parity"  # two qubits fewer: the parities of the alpha and of all electrons are known


@dataclass(frozen=True, slots=True)
class Encoding:
    """A mapping for a given number of orbitals and of (alpha, beta) electrons."""

    mapping: FermionMapping
    norb: int
    electrons: tuple[int, int]

    @property
    def num_qubits(self) -> int:
        """Qubits that are left: 2 norb, two fewer under parity."""
        return 2 * self.norb - 2 * (self.mapping is FermionMapping.PARITY)

    def basis_state(self, occupation: int) -> int:
        """The computational basis state of a determinant; bit i of both is spin orbital or qubit i.

        Under parity, qubit i holds the parity of spin orbitals 0..i (Seeley, Richard and Love, J. Chem. Phys. 137
        (2012) 224109); qubits norb - 1 and 2 norb - 1 are left out.
        """
        if self.mapping is FermionMapping.JORDAN_WIGNER:
            return occupation
        return self._without_known_qubits(_prefix_parities(occupation, 2 * self.norb))

    def encode(self, operator: XZ) -> dict[tuple[int, int], float]:
        """A Jordan-Wigner operator in this encoding.

        Parity is a linear map A of occupations over GF(2), so X^x Z^z becomes X^(Ax) Z^(A^-T z) exactly.
        """
        if self.mapping is FermionMapping.JORDAN_WIGNER:
            return dict(operator)
        alpha, total = 1 << (self.norb - 1), 1 << (2 * self.norb - 1)
        odd = (alpha if self.electrons[0] % 2 else 0) | (total if sum(self.electrons) % 2 else 0)
        encoded: defaultdict[tuple[int, int], float] = defaultdict(float)
        for (x, z), coefficient in operator.items():
            flips, phases = _prefix_parities(x, 2 * self.norb), z ^ (z >> 1)
            if flips & (alpha | total):
                raise ValueError("the operator does not conserve the parities that this encoding takes for granted")
            sign = -1.0 if (phases & odd).bit_count() % 2 else 1.0
            encoded[self._without_known_qubits(flips), self._without_known_qubits(phases)] += sign * coefficient
        return dict(encoded)

    def hartree_fock_occupation(self) -> int:
        """Occupied spin orbitals of the Hartree-Fock determinant, as a bit mask."""
        alpha, beta = ((1 << count) - 1 for count in self.electrons)
        return alpha | beta << self.norb

    def _without_known_qubits(self, mask: int) -> int:
        low = (1 << (self.norb - 1)) - 1
        return mask & low | (mask >> 1) & (low << (self.norb - 1))


def hamiltonian_terms(molecule: Molecule) -> dict[tuple[int, int], float]:
    """The electronic Hamiltonian in hartree under Jordan-Wigner, core energy inside the identity.

    H = core + Σ_pq (h_pq − ½ Σ_r (pr|rq)) E_pq + ½ Σ_pqrs (pq|rs) E_pq E_rs with E_pq = Σ_spin a†_p a_q
    (Helgaker, Jørgensen and Olsen, Molecular Electronic-Structure Theory, §2.2), summed over unique pairs of orbitals.
    Terms that are negligible are left out.
    """
    norb = molecule.norb
    one = molecule.one_body - 0.5 * np.einsum("prrq->pq", molecule.two_body)
    pairs = [(p, q) for p in range(norb) for q in range(p + 1)]
    hops = {pair: _hop(*pair, norb) for pair in pairs}
    total: defaultdict[tuple[int, int], float] = defaultdict(float, {(0, 0): molecule.core_energy})
    for left in pairs:
        _accumulate(total, hops[left], one[left])
        inner: defaultdict[tuple[int, int], float] = defaultdict(float)
        for right in pairs:
            _accumulate(inner, hops[right], 0.5 * molecule.two_body[(*left, *right)])
        _accumulate(total, multiply(hops[left], inner), 1.0)
    return {key: value for key, value in total.items() if abs(value) > NEGLIGIBLE}


def excitation(annihilated: Iterable[int], created: Iterable[int]) -> dict[tuple[int, int], float]:
    """T − T† with T = a†_c1 a†_c2 … a_a2 a_a1 under Jordan-Wigner; spin orbitals by index.

    >>> sorted(excitation([0], [1]).items())
    [((3, 1), -0.5), ((3, 2), 0.5)]
    """
    return _less_adjoint(_product([_ladder(p, 1.0) for p in created], [_ladder(p, -1.0) for p in annihilated]))


def qubit_excitation(annihilated: Iterable[int], created: Iterable[int]) -> dict[tuple[int, int], float]:
    """The same without the strings of Zs between orbitals, so that it takes fewer CXs, and moves the same electrons.

    Y. S. Yordanov, V. Armaos, C. H. W. Barnes and D. R. M. Arvidsson-Shukur, Commun. Phys. 4 (2021) 228.
    """
    raising, lowering = ([_without_string(p, sign) for p in on] for on, sign in ((created, 1.0), (annihilated, -1.0)))
    return _less_adjoint(_product(raising, lowering))


def _product(raising: Sequence[XZ], lowering: Sequence[XZ]) -> dict[tuple[int, int], float]:
    """The raising ones in order, then the lowering ones in reverse."""
    product: dict[tuple[int, int], float] = {(0, 0): 1.0}
    for each in (*raising, *reversed(lowering)):
        product = multiply(product, each)
    return product


def _less_adjoint(product: XZ) -> dict[tuple[int, int], float]:
    difference: defaultdict[tuple[int, int], float] = defaultdict(float, product)
    for (x, z), coefficient in product.items():
        adjoint_sign = -1.0 if (x & z).bit_count() % 2 else 1.0  # (X^x Z^z)† = Z^z X^x
        difference[x, z] -= adjoint_sign * coefficient
    return {key: value for key, value in difference.items() if abs(value) > NEGLIGIBLE}


def multiply(left: XZ, right: XZ) -> dict[tuple[int, int], float]:
    """The product of two operators, left · right."""
    product: defaultdict[tuple[int, int], float] = defaultdict(float)
    for (x1, z1), c1 in left.items():
        for (x2, z2), c2 in right.items():
            product[x1 ^ x2, z1 ^ z2] += -c1 * c2 if (z1 & x2).bit_count() % 2 else c1 * c2
    return product


def to_pauli_sum(operator: XZ, num_qubits: int) -> SparsePauliOp:
    """The operator as Qiskit's Pauli sum (rightmost = qubit 0), ordered by label; X^x Z^z = (−i)^|x & z| P."""
    kept = sorted(key for key, value in operator.items() if abs(value) > NEGLIGIBLE) or [(0, 0)]
    bits = np.arange(num_qubits)
    x, z = (
        np.array([[mask >> int(bit) & 1 for bit in bits] for mask in masks], bool) for masks in zip(*kept, strict=True)
    )
    phases = [(-1j) ** ((x_mask & z_mask).bit_count() % 4) for x_mask, z_mask in kept]
    coefficients = [phase * operator.get(key, 0.0) for phase, key in zip(phases, kept, strict=True)]
    return SparsePauliOp(PauliList.from_symplectic(z, x), np.array(coefficients)).sort()


def _ladder(orbital: int, sign: float) -> dict[tuple[int, int], float]:
    """a† (sign +1) or a (−1): ½ X_p Z_<p (1 ± Z_p)."""
    flip = 1 << orbital
    return {(flip, flip - 1): 0.5, (flip, 2 * flip - 1): 0.5 * sign}


def _without_string(orbital: int, sign: float) -> dict[tuple[int, int], float]:
    """½ X_p (1 ± Z_p)."""
    flip = 1 << orbital
    return {(flip, 0): 0.5, (flip, flip): 0.5 * sign}


def _hop(p: int, q: int, norb: int) -> dict[tuple[int, int], float]:
    """E_pq + E_qp, or E_pp where both orbitals are the same."""
    total: defaultdict[tuple[int, int], float] = defaultdict(float)
    for to, origin in {(p, q), (q, p)}:
        for offset in (0, norb):
            _accumulate(total, multiply(_ladder(to + offset, +1.0), _ladder(origin + offset, -1.0)), 1.0)
    return {key: value for key, value in total.items() if abs(value) > NEGLIGIBLE}


def _accumulate(total: defaultdict[tuple[int, int], float], operator: XZ, factor: float) -> None:
    for key, value in operator.items():
        total[key] += factor * value


def _prefix_parities(mask: int, width: int) -> int:
    """Bit i of the result is the parity of bits 0..i of the mask."""
    for shift in (1 << k for k in range(math.ceil(math.log2(width)) if width > 1 else 0)):
        mask ^= mask << shift
    return mask & ((1 << width) - 1)
