"""Energies of spins: the form in which every binary problem reaches a circuit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit.quantum_info import SparsePauliOp

from hybridloop.errors import InputError

MOST_ENUMERATED = 20  # variables: 2^20 energies take 8 MB and 30 ms

LARGEST = 1e100  # of what problems state: products of two of them and sums of thousands are numbers still
SMALLEST = 1e-100  # of a problem's largest coefficient

Couplings = Mapping[tuple[int, int], float]


@dataclass(frozen=True, slots=True, eq=False)
class Ising:
    """offset + Σ_i h_i s_i + Σ_{i<j} J_ij s_i s_j with spins s_i = 1 − 2 x_i, x_i being the bit of qubit i.

    `fields` (n,) are h, read-only; `couplings` hold the J that are not 0, under (i, j) with i < j, ascending. All in
    the unit of whoever states the problem.
    """

    fields: NDArray[np.float64]
    couplings: Couplings
    offset: float = 0.0

    def __post_init__(self) -> None:
        fields = np.array(self.fields, float)
        if fields.ndim != 1 or not len(fields):
            problem = f"the fields have shape {fields.shape}, which is no row of one or more variables"
            raise InputError("problem", problem, "Give a problem with at least one variable.")
        for i, j in self.couplings:
            if not 0 <= i < j < len(fields):
                problem = f"variables {i} and {j} are no pair of {len(fields)} variables in ascending order"
                raise InputError("problem", problem, f"Number them from 0 to {len(fields) - 1}, the smaller first.")
        if not all(map(math.isfinite, (*fields.tolist(), *self.couplings.values(), self.offset))):
            raise InputError("problem", "a coefficient is not a finite number", "Give finite numbers.")
        fields.setflags(write=False)
        object.__setattr__(self, "fields", fields)
        kept = {pair: float(self.couplings[pair]) for pair in sorted(self.couplings) if self.couplings[pair]}
        object.__setattr__(self, "couplings", kept)

    @property
    def num_variables(self) -> int:
        """Number of spins."""
        return len(self.fields)

    @property
    def is_constant(self) -> bool:
        """Whether no assignment is better than another."""
        return not self.couplings and not self.fields.any()

    def operator(self) -> SparsePauliOp:
        """The same as a sum of Z and ZZ; its constant is the identity's coefficient."""
        terms: list[tuple[str, list[int], float]] = [("", [], self.offset)]
        terms += [("Z", [i], float(h)) for i, h in enumerate(self.fields) if h]
        terms += [("ZZ", list(pair), coupling) for pair, coupling in self.couplings.items()]
        return SparsePauliOp.from_sparse_list(terms, num_qubits=self.num_variables)

    def energies(self, bits: ArrayLike) -> NDArray[np.float64]:
        """Energy (k,) of each row of `bits` (k, n), column i being x_i."""
        spins = 1.0 - 2.0 * np.atleast_2d(np.asarray(bits, float))
        energies: NDArray[np.float64] = self.offset + spins @ self.fields
        for (i, j), coupling in self.couplings.items():
            energies += coupling * spins[:, i] * spins[:, j]
        return energies

    def all_energies(self) -> NDArray[np.float64]:
        """Energies (2^n,) of all assignments; bit i of the index is x_i. Raises InputError above `MOST_ENUMERATED`.

        Each variable doubles the list: half of it with spin +1, half with −1 against the sum of what pulls at it.
        """
        if self.num_variables > MOST_ENUMERATED:
            problem = f"{self.num_variables} variables have too many assignments to go through"
            raise InputError("problem", problem, f"Give {MOST_ENUMERATED} variables or fewer.")
        energies = np.array([self.offset])
        for k in range(self.num_variables):
            pull = self.fields[k : k + 1]
            for i in range(k):
                coupling = self.couplings.get((i, k), 0.0)
                pull = np.concatenate((pull + coupling, pull - coupling))
            energies = np.concatenate((energies + pull, energies - pull))
        return energies

    def scaled(self, factor: float) -> Ising:
        """This, times a number."""
        return Ising(self.fields * factor, {k: v * factor for k, v in self.couplings.items()}, self.offset * factor)

    def plus(self, other: Ising) -> Ising:
        """The sum of two over the same variables."""
        pairs = dict.fromkeys((*self.couplings, *other.couplings))
        couplings = {pair: self.couplings.get(pair, 0.0) + other.couplings.get(pair, 0.0) for pair in pairs}
        return Ising(self.fields + other.fields, couplings, self.offset + other.offset)


def is_usable(value: float) -> bool:
    """Whether a stated number is finite, and not so large that computing with it breaks down."""
    return abs(value) <= LARGEST


def check_usable(values: ArrayLike, of: str) -> None:
    """Raise InputError where one of a problem's numbers is not."""
    if not (np.abs(np.asarray(values, float)) <= LARGEST).all():
        problem = f"{of}: a number is not finite, or above {LARGEST:g}"
        raise InputError("problem", problem, "Give finite numbers, in a unit that suits them.")


def from_qubo(matrix: ArrayLike, offset: float = 0.0) -> Ising:
    """xᵀ Q x + offset over bits, with Q (n, n) of any shape of symmetry: Q_ij and Q_ji count together.

    x = (1 − s) / 2, so that q x_i x_j becomes q (1 − s_i − s_j + s_i s_j) / 4, and q x_i becomes q (1 − s_i) / 2.
    """
    q = np.asarray(matrix, float)
    if q.ndim != 2 or q.shape[0] != q.shape[1] or not len(q):
        raise InputError("problem", f"the QUBO's matrix has shape {q.shape}", "Give a square one, n by n for n ≥ 1.")
    check_usable(q, "QUBO")
    upper = np.triu(q, 1) + np.tril(q, -1).T
    pairs = {(int(i), int(j)): float(upper[i, j]) / 4 for i, j in zip(*np.nonzero(upper), strict=True)}
    fields = -np.diag(q) / 2 - (upper.sum(axis=0) + upper.sum(axis=1)) / 4
    return Ising(fields, pairs, offset + float(np.trace(q)) / 2 + float(upper.sum()) / 4)
