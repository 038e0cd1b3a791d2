"""Spin models as Pauli sums, and their dense matrices by Kronecker products."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from hybridloop.settings import ProblemText

MATRICES = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}
HEISENBERG = {"XX": 1.0, "YY": 1.0, "ZZ": 1.0}
MORIYA = {**HEISENBERG, "XY": 0.5, "YX": -0.5}  # complex: Dzyaloshinskii-Moriya coupling along z


def chain(num_qubits: int) -> list[tuple[int, int]]:
    return list(itertools.pairwise(range(num_qubits)))


def ring(num_qubits: int) -> list[tuple[int, int]]:
    return [*chain(num_qubits), (num_qubits - 1, 0)]


def spin_model(
    num_qubits: int, bonds: Iterable[tuple[int, int]], pairs: Mapping[str, float], field: str = ""
) -> dict[str, float]:
    """Return the terms by label: pairs of letters on each bond, and a field of −1 along an axis."""
    terms = {}
    for (i, j), (letters, coefficient) in itertools.product(bonds, pairs.items()):
        label = ["I"] * num_qubits
        label[-1 - i], label[-1 - j] = letters[0], letters[1]
        terms["".join(label)] = coefficient
    for i in range(num_qubits) if field else ():
        terms["I" * (num_qubits - 1 - i) + field + "I" * i] = -1.0
    return terms


def dense(terms: Mapping[str, float]) -> NDArray[np.complex128]:
    """Return the matrix of a Pauli sum."""
    size = 2 ** len(next(iter(terms)))
    total = np.zeros((size, size), complex)
    for label, coefficient in terms.items():
        total += coefficient * functools.reduce(np.kron, [MATRICES[letter] for letter in label])
    return total


def pauli_text(terms: Mapping[str, float]) -> ProblemText:
    """Return a Pauli sum as a problem."""
    return ProblemText(name="spins", text=json.dumps({"terms": dict(terms)}))
