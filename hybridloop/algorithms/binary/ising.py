"""Ising energies of spins: the form in which every binary problem reaches a circuit."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit.quantum_info import SparsePauliOp

from hybridloop.errors import InputError

MAX_ENUMERATED_VARIABLES = 20  # variables: 2^20 energies take 8 MB and 30 ms
MAX_MAGNITUDE = 1e100  # of a problem's numbers: products of two and sums of thousands stay finite
MAX_TERMS = 1_000_000  # of spins, from products of bits: two seconds
ROUNDING = 1e-12  # of the sizes that add up to a coefficient
MIN_MAGNITUDE = 1e-100  # of a problem's largest coefficient: smaller ones underflow in products

Couplings = Mapping[tuple[int, int], float]
Spins = tuple[int, ...]  # of a product, ascending


@dataclass(frozen=True, slots=True, eq=False)
class Ising:
    """The Ising energy offset + Σ_i h_i s_i + Σ_{i<j} J_ij s_i s_j + further products, with spins s_i = 1 − 2 x_i.

    x_i is the bit of qubit i. `fields` (n,) are the h_i, read-only. `couplings` maps (i, j) with i < j, ascending, to
    the J_ij that are not 0, and `products` the same of three and more spins. All are in the unit of the problem's
    source.
    """

    fields: NDArray[np.float64]
    couplings: Couplings
    offset: float = 0.0
    products: Mapping[Spins, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fields = np.array(self.fields, float)
        if fields.ndim != 1 or not len(fields):
            problem = f"the fields have shape {fields.shape}, not (n,) with n ≥ 1"
            raise InputError("problem", problem, "Give a problem with at least one variable.")
        count = len(fields)
        for spins in (*self.couplings, *self.products):
            if not (0 <= spins[0] and spins[-1] < count and all(i < j for i, j in itertools.pairwise(spins))):
                problem = f"the coupling {spins} is invalid for {count} variables"
                raise InputError("problem", problem, f"Number them from 0 to {count - 1}, the smaller first.")
        if not all(map(math.isfinite, (*fields.tolist(), *self.couplings.values(), *self.products.values()))):
            raise InputError("problem", "a coefficient is not a finite number", "Give finite numbers.")
        if not math.isfinite(self.offset):
            raise InputError("problem", "the offset is not a finite number", "Give a finite one.")
        fields.setflags(write=False)
        object.__setattr__(self, "fields", fields)
        for name in ("couplings", "products"):
            given = getattr(self, name)
            object.__setattr__(self, name, {spins: float(given[spins]) for spins in sorted(given) if given[spins]})

    @classmethod
    def of(cls, num_variables: int, terms: Iterable[tuple[Spins, float]]) -> Ising:
        """Return the energy of a sum of products of spins; a spin that a product has twice drops out, as s² = 1.

        So do terms that cancel up to rounding.
        """
        sums, sizes = defaultdict[Spins, float](float), defaultdict[Spins, float](float)
        for given, value in terms:
            odd = set[int]()
            for spin in given:
                odd ^= {spin}
            spins = tuple(sorted(odd))
            sums[spins] += value
            sizes[spins] += abs(value)
        kept = {spins: value for spins, value in sums.items() if not abs(value) <= ROUNDING * sizes[spins]}
        fields = np.zeros(num_variables)
        for spins, value in kept.items():
            if len(spins) == 1:
                fields[spins[0]] = value
        couplings = {(spins[0], spins[1]): value for spins, value in kept.items() if len(spins) == 2}
        products = {spins: value for spins, value in kept.items() if len(spins) > 2}
        return cls(fields, couplings, kept.get((), 0.0), products)

    @property
    def num_variables(self) -> int:
        return len(self.fields)

    @property
    def terms(self) -> dict[Spins, float]:
        """The coefficients that are not 0 by the spins of their product, without the offset."""
        fields: list[tuple[Spins, float]] = [((i,), float(h)) for i, h in enumerate(self.fields) if h]
        return dict([*fields, *self.couplings.items(), *self.products.items()])

    @property
    def is_quadratic(self) -> bool:
        """True if no product has more than two spins."""
        return not self.products

    @property
    def is_constant(self) -> bool:
        """True if all assignments have the same energy."""
        return not self.terms

    def operator(self) -> SparsePauliOp:
        """Return the energy as a Pauli sum of Z, ZZ and so on; the offset is the coefficient of the identity."""
        terms: list[tuple[str, list[int], float]] = [("", [], self.offset)]
        terms += [("Z" * len(spins), list(spins), value) for spins, value in self.terms.items()]
        return SparsePauliOp.from_sparse_list(terms, num_qubits=self.num_variables)

    def energies(self, bits: ArrayLike) -> NDArray[np.float64]:
        """Return the energy (k,) of each row of `bits` (k, n); column i is x_i."""
        spins = 1.0 - 2.0 * np.atleast_2d(np.asarray(bits, float))
        energies: NDArray[np.float64] = self.offset + spins @ self.fields
        for (i, j), coupling in self.couplings.items():
            energies += coupling * spins[:, i] * spins[:, j]
        for product, value in self.products.items():
            energies += value * spins[:, product].prod(axis=1)
        return energies

    def all_energies(self) -> NDArray[np.float64]:
        """Return the energies (2^n,) of all assignments, a Walsh-Hadamard transform; bit i of the index is x_i.

        Raises InputError above `MAX_ENUMERATED_VARIABLES`.
        """
        if self.num_variables > MAX_ENUMERATED_VARIABLES:
            problem = f"{self.num_variables} variables have too many assignments for brute force"
            raise InputError("problem", problem, f"Give at most {MAX_ENUMERATED_VARIABLES} variables.")
        energies = np.zeros(1 << self.num_variables)
        energies[0] = self.offset
        for spins, value in self.terms.items():
            energies[sum(1 << spin for spin in spins)] = value
        for k in range(self.num_variables):
            halves = energies.reshape(-1, 2, 1 << k)
            energies = np.stack([halves[:, 0] + halves[:, 1], halves[:, 0] - halves[:, 1]], axis=1)
        return energies.reshape(-1)

    def scaled(self, factor: float) -> Ising:
        couplings = {pair: value * factor for pair, value in self.couplings.items()}
        products = {spins: value * factor for spins, value in self.products.items()}
        return Ising(self.fields * factor, couplings, self.offset * factor, products)

    def widened(self, count: int) -> Ising:
        """Return the energy of `count` spins, of which those that are added do nothing."""
        fields = np.concatenate([self.fields, np.zeros(count - self.num_variables)])
        return Ising(fields, self.couplings, self.offset, self.products)

    def plus(self, other: Ising) -> Ising:
        both = [*self.terms.items(), ((), self.offset), *other.terms.items(), ((), other.offset)]
        return Ising.of(self.num_variables, both)


def is_in_range(value: float) -> bool:
    """Return whether a number is finite and at most `MAX_MAGNITUDE` in size."""
    return abs(value) <= MAX_MAGNITUDE


def check_in_range(values: ArrayLike, source: str) -> None:
    """Raise InputError, naming the `source`, unless all numbers are finite and at most `MAX_MAGNITUDE` in size."""
    if not (np.abs(np.asarray(values, float)) <= MAX_MAGNITUDE).all():
        problem = f"{source}: a number is not finite, or above {MAX_MAGNITUDE:g}"
        raise InputError("problem", problem, "Give finite numbers, in a unit in which they are smaller.")


def ising_from_qubo(matrix: ArrayLike, offset: float = 0.0) -> Ising:
    """Convert a QUBO, xᵀ Q x + offset over bits, to Ising form. Q (n, n) need not be symmetric: Q_ij and Q_ji add up.

    With x = (1 − s) / 2, q x_i x_j becomes q (1 − s_i − s_j + s_i s_j) / 4, and q x_i becomes q (1 − s_i) / 2.
    """
    q = np.asarray(matrix, float)
    if q.ndim != 2 or q.shape[0] != q.shape[1] or not len(q):
        raise InputError("problem", f"the QUBO matrix has shape {q.shape}", "Give a square matrix, n by n with n ≥ 1.")
    check_in_range(q, "QUBO")
    upper = np.triu(q, 1) + np.tril(q, -1).T
    pairs = {(int(i), int(j)): float(upper[i, j]) / 4 for i, j in zip(*np.nonzero(upper), strict=True)}
    fields = -np.diag(q) / 2 - (upper.sum(axis=0) + upper.sum(axis=1)) / 4
    return Ising(fields, pairs, offset + float(np.trace(q)) / 2 + float(upper.sum()) / 4)


def ising_from_bits(
    num_variables: int, products: Iterable[tuple[Mapping[int, bool], float]], offset: float = 0.0
) -> Ising:
    """Convert a sum of products of bits to Ising form; a variable maps to True for x_i, and to False for 1 − x_i.

    x_i is (1 − s_i) / 2, so that a product of k becomes 2^k terms. Raises InputError for more than `MAX_TERMS`.
    """
    given = list(products)
    if sum(1 << len(signs) for signs, _ in given) > MAX_TERMS:
        problem = f"the products of bits have more than {MAX_TERMS:,} terms of spins"
        raise InputError("problem", problem, "Give fewer, or such of fewer variables.")
    terms: list[tuple[Spins, float]] = [((), offset)]
    for signs, value in given:
        for size in range(len(signs) + 1):
            for spins in itertools.combinations(signs, size):
                odd = sum(signs[spin] for spin in spins) % 2
                terms.append((spins, (-1.0) ** odd * value / (1 << len(signs))))
    return Ising.of(num_variables, terms)
