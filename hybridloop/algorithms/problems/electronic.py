"""Electronic structure problem: a molecule's Hamiltonian on qubits, with its reference determinant and symmetries.

Fermion-to-qubit mappings: Jordan-Wigner, and parity mapping with its two conserved qubits removed.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import PauliList, SparsePauliOp

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import InputError

NEGLIGIBLE = 1e-12  # hartree: rounding of the integrals; a term below it would cost circuits and change nothing

# A real linear combination of operators X^x Z^z (Z acts first) as {(x, z): coefficient}; bit i of a mask is qubit i.
# The product of two terms is (-1)^|z1 & x2| X^(x1^x2) Z^(z1^z2), so coefficients stay real.
SymplecticOperator = Mapping[tuple[int, int], float]


@dataclass(frozen=True, slots=True)
class Encoding:
    """A fermion-to-qubit mapping for a number of orbitals and of (alpha, beta) electrons."""

    mapping: FermionMapping
    norb: int
    electrons: tuple[int, int]

    @property
    def num_qubits(self) -> int:
        """The number of qubits: 2 norb, or 2 norb − 2 under parity mapping."""
        return 2 * self.norb - 2 * (self.mapping is FermionMapping.PARITY)

    def basis_state(self, occupation: int) -> int:
        """Return the computational basis state (bit i is qubit i) of a determinant (bit i is spin orbital i).

        Under parity mapping, qubit i holds the parity of spin orbitals 0..i (Seeley, Richard and Love, J. Chem. Phys.
        137 (2012) 224109); qubits norb - 1 and 2 norb - 1 are removed.
        """
        if self.mapping is FermionMapping.JORDAN_WIGNER:
            return occupation
        return self._remove_parity_qubits(_prefix_parities(occupation, 2 * self.norb))

    def occupations(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the occupations (k, 2 norb) of the spin orbitals in basis states (k, num_qubits), lowest bit first.

        It inverts `basis_state`. Under parity mapping the two removed parities are those of the problem's electrons.
        """
        if self.mapping is FermionMapping.JORDAN_WIGNER:
            return bits
        alpha, total = (
            np.full((len(bits), 1), count % 2, np.uint8) for count in (self.electrons[0], sum(self.electrons))
        )
        low = self.norb - 1
        parities = np.concatenate([bits[:, :low], alpha, bits[:, low:], total], axis=1)
        occupied = parities.copy()
        occupied[:, 1:] ^= parities[:, :-1]
        return occupied

    def encode(self, operator: SymplecticOperator) -> dict[tuple[int, int], float]:
        """Return a Jordan-Wigner operator in this encoding.

        The parity mapping is a linear map A of occupations over GF(2), so X^x Z^z becomes X^(Ax) Z^(A^-T z) exactly.
        Raises ValueError if the operator changes one of the two removed parities.
        """
        if self.mapping is FermionMapping.JORDAN_WIGNER:
            return dict(operator)
        alpha, total = 1 << (self.norb - 1), 1 << (2 * self.norb - 1)
        odd = (alpha if self.electrons[0] % 2 else 0) | (total if sum(self.electrons) % 2 else 0)
        encoded: defaultdict[tuple[int, int], float] = defaultdict(float)
        for (x, z), coefficient in operator.items():
            flips, phases = _prefix_parities(x, 2 * self.norb), z ^ (z >> 1)
            if flips & (alpha | total):
                raise ValueError("the operator does not conserve the two parities that parity mapping removes")
            sign = -1.0 if (phases & odd).bit_count() % 2 else 1.0
            encoded[self._remove_parity_qubits(flips), self._remove_parity_qubits(phases)] += sign * coefficient
        return dict(encoded)

    def hartree_fock_occupation(self) -> int:
        """Return the occupied spin orbitals of the Hartree-Fock determinant, as a bit mask."""
        alpha, beta = ((1 << count) - 1 for count in self.electrons)
        return alpha | beta << self.norb

    def _remove_parity_qubits(self, mask: int) -> int:
        low = (1 << (self.norb - 1)) - 1
        return mask & low | (mask >> 1) & (low << (self.norb - 1))


def hamiltonian_terms(molecule: Molecule) -> dict[tuple[int, int], float]:
    """Return the electronic Hamiltonian in hartree under Jordan-Wigner; its identity term includes the core energy.

    H = core + Σ_pq (h_pq − ½ Σ_r (pr|rq)) E_pq + ½ Σ_pqrs (pq|rs) E_pq E_rs with E_pq = Σ_spin a†_p a_q
    (Helgaker, Jørgensen and Olsen, Molecular Electronic-Structure Theory, §2.2), summed over unique pairs of orbitals.
    Terms below `NEGLIGIBLE` are dropped.
    """
    norb = molecule.norb
    one = molecule.one_body - 0.5 * np.einsum("prrq->pq", molecule.two_body)
    pairs = [(p, q) for p in range(norb) for q in range(p + 1)]
    excitations = {pair: symmetrized_excitation(*pair, norb) for pair in pairs}
    total: defaultdict[tuple[int, int], float] = defaultdict(float, {(0, 0): molecule.core_energy})
    for left in pairs:
        _accumulate(total, excitations[left], one[left])
        inner: defaultdict[tuple[int, int], float] = defaultdict(float)
        for right in pairs:
            _accumulate(inner, excitations[right], 0.5 * molecule.two_body[(*left, *right)])
        _accumulate(total, multiply(excitations[left], inner), 1.0)
    return {key: value for key, value in total.items() if abs(value) > NEGLIGIBLE}


def excitation(annihilated: Iterable[int], created: Iterable[int]) -> dict[tuple[int, int], float]:
    """Return the excitation generator T − T†, T = a†_c1 a†_c2 … a_a2 a_a1, under Jordan-Wigner; orbitals by index.

    >>> sorted(excitation([0], [1]).items())
    [((3, 1), -0.5), ((3, 2), 0.5)]
    """
    return _subtract_adjoint(_product([_ladder(p, 1.0) for p in created], [_ladder(p, -1.0) for p in annihilated]))


def qubit_excitation(annihilated: Iterable[int], created: Iterable[int]) -> dict[tuple[int, int], float]:
    """Return the qubit excitation T − T†: an excitation without the Jordan-Wigner strings of Z between orbitals.

    It moves the same electrons and takes fewer CX gates. Y. S. Yordanov, V. Armaos, C. H. W. Barnes and D. R. M.
    Arvidsson-Shukur, Commun. Phys. 4 (2021) 228.
    """
    raising, lowering = (
        [_qubit_ladder(p, sign) for p in orbitals] for orbitals, sign in ((created, 1.0), (annihilated, -1.0))
    )
    return _subtract_adjoint(_product(raising, lowering))


def _product(
    raising: Sequence[SymplecticOperator], lowering: Sequence[SymplecticOperator]
) -> dict[tuple[int, int], float]:
    """Multiply the raising operators in order, then the lowering operators in reverse order."""
    product: dict[tuple[int, int], float] = {(0, 0): 1.0}
    for ladder in (*raising, *reversed(lowering)):
        product = multiply(product, ladder)
    return product


def _subtract_adjoint(product: SymplecticOperator) -> dict[tuple[int, int], float]:
    difference: defaultdict[tuple[int, int], float] = defaultdict(float, product)
    for (x, z), coefficient in product.items():
        adjoint_sign = -1.0 if (x & z).bit_count() % 2 else 1.0  # (X^x Z^z)† = Z^z X^x
        difference[x, z] -= adjoint_sign * coefficient
    return {key: value for key, value in difference.items() if abs(value) > NEGLIGIBLE}


def multiply(left: SymplecticOperator, right: SymplecticOperator) -> dict[tuple[int, int], float]:
    product: defaultdict[tuple[int, int], float] = defaultdict(float)
    for (x1, z1), c1 in left.items():
        for (x2, z2), c2 in right.items():
            product[x1 ^ x2, z1 ^ z2] += -c1 * c2 if (z1 & x2).bit_count() % 2 else c1 * c2
    return product


def to_pauli_sum(operator: SymplecticOperator, num_qubits: int) -> SparsePauliOp:
    """Return the operator as Qiskit's SparsePauliOp, sorted by label; X^x Z^z = (−i)^|x & z| P."""
    keys = sorted(key for key, value in operator.items() if abs(value) > NEGLIGIBLE) or [(0, 0)]
    bits = np.arange(num_qubits)
    x, z = (
        np.array([[mask >> int(bit) & 1 for bit in bits] for mask in masks], bool) for masks in zip(*keys, strict=True)
    )
    phases = [(-1j) ** ((x_mask & z_mask).bit_count() % 4) for x_mask, z_mask in keys]
    coefficients = [phase * operator.get(key, 0.0) for phase, key in zip(phases, keys, strict=True)]
    return SparsePauliOp(PauliList.from_symplectic(z, x), np.array(coefficients)).sort()


def mask_of(bits: Iterable[int]) -> int:
    """Return the mask in which these bits are set."""
    return sum(1 << bit for bit in bits)


def set_bits(mask: int) -> list[int]:
    """Return the positions of the bits that are 1, such as the qubits of a mask, in ascending order."""
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def _ladder(orbital: int, sign: float) -> dict[tuple[int, int], float]:
    """Return the ladder operator ½ X_p Z_<p (1 ± Z_p): a† for sign +1, a for −1."""
    flip = 1 << orbital
    return {(flip, flip - 1): 0.5, (flip, 2 * flip - 1): 0.5 * sign}


def _qubit_ladder(orbital: int, sign: float) -> dict[tuple[int, int], float]:
    """Return the qubit ladder operator ½ X_p (1 ± Z_p): raising for sign +1, lowering for −1."""
    flip = 1 << orbital
    return {(flip, 0): 0.5, (flip, flip): 0.5 * sign}


def symmetrized_excitation(p: int, q: int, norb: int) -> dict[tuple[int, int], float]:
    """Return E_pq + E_qp, or E_pp if both orbitals are the same, with E_pq = Σ_spin a†_p a_q."""
    total: defaultdict[tuple[int, int], float] = defaultdict(float)
    for to, origin in {(p, q), (q, p)}:
        for offset in (0, norb):
            _accumulate(total, multiply(_ladder(to + offset, +1.0), _ladder(origin + offset, -1.0)), 1.0)
    return {key: value for key, value in total.items() if abs(value) > NEGLIGIBLE}


def _accumulate(total: defaultdict[tuple[int, int], float], operator: SymplecticOperator, factor: float) -> None:
    for key, value in operator.items():
        total[key] += factor * value


def _prefix_parities(mask: int, width: int) -> int:
    """Return the prefix parities of a mask: bit i is the parity of bits 0..i."""
    for shift in (1 << k for k in range(math.ceil(math.log2(width)) if width > 1 else 0)):
        mask ^= mask << shift
    return mask & ((1 << width) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class ElectronicProblem:
    """A molecule under a fermion-to-qubit encoding.

    `hamiltonian` is in hartree; its identity term includes the core energy. `flips` is a basis over GF(2) of the sets
    of spin orbitals (as bit masks) whose occupation the Hamiltonian can change. A set outside its span breaks one of
    the Hamiltonian's Z2 symmetries (spin parities and point group).
    """

    molecule: Molecule
    encoding: Encoding
    hamiltonian: SparsePauliOp
    flips: tuple[int, ...]

    @property
    def reference_state(self) -> int:
        """The basis state of the Hartree-Fock determinant; bit i is qubit i."""
        return self.encoding.basis_state(self.encoding.hartree_fock_occupation())

    @property
    def number_operator(self) -> SparsePauliOp:
        """The electron number operator; under parity mapping, for states with the problem's two parities."""
        return self._encode(self._weighted_number_operator(1.0, 1.0))

    @property
    def electron_deviation_operator(self) -> SparsePauliOp:
        """The operator (N_α − n_α)² + (N_β − n_β)²: 0 for states with the problem's electrons, else positive."""
        total: defaultdict[tuple[int, int], float] = defaultdict(float)
        for weights, count in zip(((1.0, 0.0), (0.0, 1.0)), self.molecule.electrons, strict=True):
            deviation = self._weighted_number_operator(*weights)
            deviation[0, 0] -= count
            _accumulate(total, multiply(deviation, deviation), 1.0)
        return self._encode(total)

    @property
    def spin_squared_operator(self) -> SparsePauliOp:
        """The total spin S² = S_z (S_z + 1) + S_- S_+, whose eigenvalues are s (s + 1).

        T. Helgaker, P. Jørgensen and J. Olsen, Molecular Electronic-Structure Theory (2000), section 2.4. S_- S_+ =
        Σ_pq b_q† a_q a_p† b_p for alpha a and beta b. Under parity mapping, for states with the problem's two parities.
        """
        norb, total = self.molecule.norb, defaultdict[tuple[int, int], float](float)
        z_component = self._weighted_number_operator(0.5, -0.5)
        _accumulate(total, z_component, 1.0)
        _accumulate(total, multiply(z_component, z_component), 1.0)
        raised = [multiply(_ladder(p, 1.0), _ladder(p + norb, -1.0)) for p in range(norb)]
        lowered = [multiply(_ladder(p + norb, 1.0), _ladder(p, -1.0)) for p in range(norb)]
        for raising, lowering in itertools.product(raised, lowered):
            _accumulate(total, multiply(lowering, raising), 1.0)
        return self._encode(total)

    def one_body_operator(self, matrix: NDArray[np.float64]) -> SparsePauliOp:
        """Return Σ_pq m_pq E_pq of a symmetric matrix (norb, norb), with E_pq = Σ_spin a†_p a_q."""
        norb, total = self.molecule.norb, defaultdict[tuple[int, int], float](float)
        for p in range(norb):
            for q in range(p + 1):
                if abs(matrix[p, q]) > NEGLIGIBLE:
                    _accumulate(total, symmetrized_excitation(p, q, norb), float(matrix[p, q]))
        return self._encode(total)

    def fermion_operator(self, terms: Iterable[tuple[Sequence[tuple[int, int]], float]]) -> SparsePauliOp:
        """Return a sum of products of ladder operators (spin orbital, 1 to create or 0 to annihilate).

        Spin orbitals 2p and 2p + 1 are alpha and beta of orbital p, as in OpenFermion. Raises ValueError for orbitals
        that the molecule does not have, an operator that is not Hermitian, and one that changes a parity which the
        mapping removes.
        """
        norb, total = self.molecule.norb, defaultdict[tuple[int, int], float](float)
        for product, coefficient in terms:
            if any(not 0 <= orbital < 2 * norb for orbital, _ in product):
                raise ValueError(f"it has spin orbitals above {2 * norb - 1}, the last one of {norb} orbitals")
            ladders = [_ladder(each // 2 + norb * (each % 2), 1.0 if created else -1.0) for each, created in product]
            _accumulate(total, _product(ladders, ()), coefficient)
        if any((x & z).bit_count() % 2 and abs(value) > NEGLIGIBLE for (x, z), value in total.items()):
            raise ValueError("it is not Hermitian")
        return self._encode({key: value for key, value in total.items() if abs(value) > NEGLIGIBLE})

    def spin_correlation_operator(self, p: int, q: int) -> SparsePauliOp:
        """Return S_p · S_q of the electrons in orbitals p and q: S_z S_z + (S_+ S_- + S_- S_+) / 2.

        The sum over all pairs of orbitals, each with itself and in both orders, is S².
        """
        norb, total = self.molecule.norb, defaultdict[tuple[int, int], float](float)
        z = [{(0, 1 << each): -0.25, (0, 1 << each + norb): 0.25} for each in (p, q)]  # (n_alpha − n_beta) / 2
        _accumulate(total, multiply(*z), 1.0)
        raised, lowered = (
            [multiply(_ladder(each + up, 1.0), _ladder(each + down, -1.0)) for each in (p, q)]
            for up, down in ((0, norb), (norb, 0))
        )
        for first, second in ((raised[0], lowered[1]), (lowered[0], raised[1])):
            _accumulate(total, multiply(first, second), 0.5)
        return self._encode(total)

    def _weighted_number_operator(self, alpha: float, beta: float) -> dict[tuple[int, int], float]:
        """Return Σ w_p n_p with n_p = (1 − Z_p) / 2 under Jordan-Wigner."""
        weights = [alpha] * self.molecule.norb + [beta] * self.molecule.norb
        return {(0, 0): 0.5 * sum(weights)} | {(0, 1 << p): -0.5 * weight for p, weight in enumerate(weights)}

    def _encode(self, operator: SymplecticOperator) -> SparsePauliOp:
        return to_pauli_sum(self.encoding.encode(operator), self.encoding.num_qubits)

    def conserves_symmetry(self, flip: int) -> bool:
        """Return whether flipping the spin orbitals of the mask `flip` keeps every Z2 symmetry of the Hamiltonian."""
        return _reduce(flip, self.flips) == 0


def electronic_problem(molecule: Molecule, mapping: FermionMapping = FermionMapping.PARITY) -> ElectronicProblem:
    """Map a molecule to qubits. Raises InputError for one orbital under parity mapping, which leaves no qubit."""
    encoding = Encoding(mapping, molecule.norb, molecule.electrons)
    if encoding.num_qubits == 0:
        problem = f"{molecule.source} has one orbital: parity mapping leaves no qubit"
        raise InputError("mapping", problem, "Choose the mapping jordan-wigner.")
    terms = hamiltonian_terms(molecule)
    hamiltonian = to_pauli_sum(encoding.encode(terms), encoding.num_qubits)
    basis: list[int] = []
    for flip in {x for x, _ in terms}:
        if remainder := _reduce(flip, basis):
            basis.append(remainder)
            basis.sort(reverse=True)
    return ElectronicProblem(molecule, encoding, hamiltonian, tuple(basis))


def _reduce(mask: int, basis: tuple[int, ...] | list[int]) -> int:
    """Reduce a mask by Gaussian elimination over GF(2); the basis has distinct leading bits, largest first."""
    for vector in basis:
        mask = min(mask, mask ^ vector)
    return mask
