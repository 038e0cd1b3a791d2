"""Ising energies of spins: the form in which every binary problem reaches a circuit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit.quantum_info import SparsePauliOp

from hybridloop.errors import InputError

MAX_ENUMERATED_VARIABLES = 20  # variables: 2^20 energies take 8 MB and 30 ms
MAX_MAGNITUDE = 1e100  # of a problem's numbers: products of two and sums of thousands stay finite
MIN_MAGNITUDE = 1e-100  # of a problem's largest coefficient: smaller ones underflow in products

Couplings = Mapping[tuple[int, int], float]


@dataclass(frozen=True, slots=True, eq=False)
class Ising:
    """The Ising energy offset + Σ_i h_i s_i + Σ_{i<j} J_ij s_i s_j, with spins s_i = 1 − 2 x_i.

    x_i is the bit of qubit i. `fields` (n,) are the h_i, read-only. `couplings` maps (i, j) with i < j, ascending, to
    the J_ij that are not 0. All are in the unit of the problem's source.
    """

    fields: NDArray[np.float64]
    couplings: Couplings
    offset: float = 0.0

    def __post_init__(self) -> None:
        fields = np.array(self.fields, float)
        if fields.ndim != 1 or not len(fields):
            problem = f"the fields have shape {fields.shape}, not (n,) with n ≥ 1"
            raise InputError("problem", problem, "Give a problem with at least one variable.")
        for i, j in self.couplings:
            if not 0 <= i < j < len(fields):
                problem = f"the coupling ({i}, {j}) is invalid for {len(fields)} variables"
                raise InputError("problem", problem, f"Number them from 0 to {len(fields) - 1}, the smaller first.")
        if not all(map(math.isfinite, (*fields.tolist(), *self.couplings.values(), self.offset))):
            raise InputError("problem", "a coefficient is not a finite number", "Give finite numbers.")
        fields.setflags(write=False)
        object.__setattr__(self, "fields", fields)
        nonzero = {pair: float(self.couplings[pair]) for pair in sorted(self.couplings) if self.couplings[pair]}
        object.__setattr__(self, "couplings", nonzero)

    @property
    def num_variables(self) -> int:
        return len(self.fields)

    @property
    def is_constant(self) -> bool:
        """True if all assignments have the same energy."""
        return not self.couplings and not self.fields.any()

    def operator(self) -> SparsePauliOp:
        """Return the energy as a Pauli sum of Z and ZZ; the offset is the coefficient of the identity."""
        terms: list[tuple[str, list[int], float]] = [("", [], self.offset)]
        terms += [("Z", [i], float(h)) for i, h in enumerate(self.fields) if h]
        terms += [("ZZ", list(pair), coupling) for pair, coupling in self.couplings.items()]
        return SparsePauliOp.from_sparse_list(terms, num_qubits=self.num_variables)

    def energies(self, bits: ArrayLike) -> NDArray[np.float64]:
        """Return the energy (k,) of each row of `bits` (k, n); column i is x_i."""
        spins = 1.0 - 2.0 * np.atleast_2d(np.asarray(bits, float))
        energies: NDArray[np.float64] = self.offset + spins @ self.fields
        for (i, j), coupling in self.couplings.items():
            energies += coupling * spins[:, i] * spins[:, j]
        return energies

    def all_energies(self) -> NDArray[np.float64]:
        """Return the energies (2^n,) of all assignments; bit i of the index is x_i.

        Each variable doubles the list: its local field is added for spin +1 and subtracted for spin −1. Raises
        InputError above `MAX_ENUMERATED_VARIABLES`.
        """
        if self.num_variables > MAX_ENUMERATED_VARIABLES:
            problem = f"{self.num_variables} variables have too many assignments for brute force"
            raise InputError("problem", problem, f"Give at most {MAX_ENUMERATED_VARIABLES} variables.")
        energies = np.array([self.offset])
        for k in range(self.num_variables):
            local_field = self.fields[k : k + 1]
            for i in range(k):
                coupling = self.couplings.get((i, k), 0.0)
                local_field = np.concatenate((local_field + coupling, local_field - coupling))
            energies = np.concatenate((energies + local_field, energies - local_field))
        return energies

    def scaled(self, factor: float) -> Ising:
        return Ising(self.fields * factor, {k: v * factor for k, v in self.couplings.items()}, self.offset * factor)

    def plus(self, other: Ising) -> Ising:
        pairs = dict.fromkeys((*self.couplings, *other.couplings))
        couplings = {pair: self.couplings.get(pair, 0.0) + other.couplings.get(pair, 0.0) for pair in pairs}
        return Ising(self.fields + other.fields, couplings, self.offset + other.offset)


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
