"""Electrons in pairs: a molecule whose orbitals hold two electrons or none, with one qubit for each orbital.

Orbitals that a high-spin state fills with one electron keep it, and have no qubit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import Operator, SparsePauliOp

from hybridloop.algorithms.problems.molecule import Molecule

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PairedElectrons:
    """A molecule between the determinants of seniority zero, those whose electrons are paired in each orbital.

    Qubit p is 1 if its orbital, the p-th of `orbitals`, has a pair. In hartree, for hard-core bosons b:
    H = constant + Σ_p energies_p n_p + Σ_{p<q} repulsions_pq n_p n_q + Σ_{p<q} exchange_pq (b†_p b_q + b†_q b_p)
    (V. E. Elfving et al., Phys. Rev. A 103 (2021) 032605). The first `pairs` qubits are 1 in the reference.
    """

    molecule: Molecule

    @cached_property
    def orbitals(self) -> tuple[int, ...]:
        """The molecule's orbitals that have a qubit: all but those with one electron."""
        fewer, more = sorted(self.molecule.electrons)
        return tuple(p for p in range(self.molecule.norb) if not fewer <= p < more)

    @property
    def pairs(self) -> int:
        return min(self.molecule.electrons)

    @property
    def num_qubits(self) -> int:
        return len(self.orbitals)

    @property
    def reference_state(self) -> int:
        """The basis state of the determinant that fills the lowest orbitals; bit i is qubit i."""
        return (1 << self.pairs) - 1

    @cached_property
    def states(self) -> tuple[int, ...]:
        """All basis states with this number of pairs."""
        return tuple(_mask(filled) for filled in itertools.combinations(range(self.num_qubits), self.pairs))

    @cached_property
    def occupations(self) -> Array:
        """The pairs (states, qubits) in each orbital of the states."""
        return np.array([[state >> p & 1 for p in range(self.num_qubits)] for state in self.states], float)

    @cached_property
    def exchange(self) -> Array:
        """The integrals (pq|pq), with zeros on the diagonal."""
        chosen = np.ix_(self.orbitals, self.orbitals)
        exchange: Array = np.einsum("pqpq->pq", self.molecule.two_body)[chosen].copy()
        np.fill_diagonal(exchange, 0.0)
        return exchange

    @cached_property
    def diagonal(self) -> tuple[float, Array, Array]:
        """The constant, the energies (qubits,) and the repulsions (qubits, qubits), with zeros on their diagonal."""
        fewer, more = sorted(self.molecule.electrons)
        single, paired = list(range(fewer, more)), list(self.orbitals)
        one = np.diag(self.molecule.one_body)
        coulomb, exchange = (np.einsum(axes, self.molecule.two_body) for axes in ("ppqq->pq", "pqpq->pq"))
        between = coulomb - exchange  # of electrons of one spin
        constant = self.molecule.core_energy + one[single].sum() + 0.5 * between[np.ix_(single, single)].sum()
        energies = 2.0 * one + np.diag(coulomb) + (coulomb + between)[:, single].sum(axis=1)
        repulsions = (2.0 * (coulomb + between))[np.ix_(paired, paired)]
        np.fill_diagonal(repulsions, 0.0)
        return float(constant), energies[paired], repulsions

    @cached_property
    def hamiltonian(self) -> SparsePauliOp:
        """The Hamiltonian on the qubits; between states with another number of pairs it has no meaning."""
        constant, energies, repulsions = self.diagonal
        count = self.num_qubits
        terms: list[tuple[str, list[int], float]] = [("", [], constant + energies.sum() / 2.0 + repulsions.sum() / 8.0)]
        terms += [("Z", [p], -(energies[p] / 2.0 + repulsions[p].sum() / 4.0)) for p in range(count)]
        for p, q in itertools.combinations(range(count), 2):
            terms.append(("ZZ", [p, q], repulsions[p, q] / 4.0))
            terms += [(letters, [p, q], self.exchange[p, q] / 2.0) for letters in ("XX", "YY")]
        return SparsePauliOp.from_sparse_list(terms, count).simplify()

    def fermion_operator(self, terms: Iterable[tuple[Sequence[tuple[int, int]], float]]) -> SparsePauliOp:
        """Return a sum of products of ladder operators between states of pairs, as `ElectronicProblem` has it.

        A product whose factors of an orbital break or make half a pair is 0 there. Others act on each orbital by
        themselves, with the sign of bringing its factors together. Imaginary parts show an operator that is not
        Hermitian.
        """
        total = SparsePauliOp("I" * self.num_qubits, 0.0)
        for product, coefficient in terms:
            sign, factors = _by_orbital(product)
            number, letters = float(coefficient) * sign, [SparsePauliOp("I")] * self.num_qubits
            for orbital, ladders in factors.items():
                block = _block(ladders)
                if orbital not in self.orbitals:
                    filled = 1 if self.molecule.electrons[0] > self.molecule.electrons[1] else 2
                    number *= float(block[filled, filled])
                elif (between := block[::3, ::3]).any():
                    letters[self.orbitals.index(orbital)] = SparsePauliOp.from_operator(Operator(between))
                else:
                    number = 0.0
            if number:
                total = total + number * reduce(lambda low, high: high.tensor(low), letters)
        return total.simplify()

    def matrix(self) -> Array:
        """Return the Hamiltonian (states, states) between the `states`."""
        constant, energies, repulsions = self.diagonal
        filled = self.occupations
        diagonal = constant + filled @ energies + 0.5 * np.einsum("sp,pq,sq->s", filled, repulsions, filled)
        matrix = np.diag(diagonal)
        for p, q in itertools.combinations(range(self.num_qubits), 2):
            matrix += self.exchange[p, q] * np.abs(self.hops(p, q))
        return matrix

    def hops(self, p: int, q: int) -> Array:
        """Return b†_q b_p − b†_p b_q (states, states), which moves a pair from qubit p to q."""
        place_of = {state: place for place, state in enumerate(self.states)}
        matrix = np.zeros((len(self.states),) * 2)
        for state, place in place_of.items():
            if state >> p & 1 and not state >> q & 1:
                moved = place_of[state ^ 1 << p ^ 1 << q]
                matrix[moved, place], matrix[place, moved] = 1.0, -1.0
        return matrix


def _by_orbital(product: Sequence[tuple[int, int]]) -> tuple[int, dict[int, list[tuple[int, int]]]]:
    """Return the factors of each orbital, as (0 alpha or 1 beta, 1 to create), and the sign of sorting them so."""
    orbitals = [spin_orbital // 2 for spin_orbital, _ in product]
    swaps = sum(before > after for place, after in enumerate(orbitals) for before in orbitals[:place])
    factors: dict[int, list[tuple[int, int]]] = {}
    for orbital, (spin_orbital, created) in zip(orbitals, product, strict=True):
        factors.setdefault(orbital, []).append((spin_orbital % 2, created))
    return (-1) ** swaps, factors


def _block(ladders: Sequence[tuple[int, int]]) -> Array:
    """Return a product of one orbital's ladder operators over its states: empty, alpha, beta, pair (4, 4).

    A pair is a†_alpha a†_beta of the empty orbital.
    """
    lowers = np.zeros((2, 4, 4))
    lowers[0, 0, 1] = lowers[0, 2, 3] = 1.0
    lowers[1, 0, 2], lowers[1, 1, 3] = 1.0, -1.0
    matrices = [lowers[spin].T if created else lowers[spin] for spin, created in ladders]
    return reduce(np.matmul, matrices, np.eye(4))


def _mask(filled: Iterable[int]) -> int:
    return sum(1 << p for p in filled)
