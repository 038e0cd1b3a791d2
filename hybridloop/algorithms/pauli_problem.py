"""A problem that is an operator and no more: a Pauli sum, read from JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit.quantum_info import SparsePauliOp
from scipy.sparse.linalg import eigsh

from hybridloop.algorithms.json_text import is_number, line_of, read_object
from hybridloop.errors import ProblemError

MAX_QUBITS = 64
MAX_TERMS = 100_000
LARGEST = 1e100  # of coefficients: sums of squares of thousands are numbers still
EXACT_QUBITS = 12  # 4096 amplitudes: the lowest eigenvalue takes well under a second
DENSE_QUBITS = 6


@dataclass(frozen=True, slots=True, eq=False)
class PauliProblem:
    """A Hermitian Pauli sum in a unit of the user's own. It has no reference state and no electrons to count."""

    hamiltonian: SparsePauliOp
    source: str

    @property
    def num_qubits(self) -> int:
        """Qubits of the operator."""
        return int(self.hamiltonian.num_qubits)

    def exact_ground_energy(self) -> float | None:
        """The lowest eigenvalue, of all that the operator acts on; None above `EXACT_QUBITS` qubits."""
        if self.num_qubits > EXACT_QUBITS:
            return None
        if self.num_qubits <= DENSE_QUBITS:
            return float(np.linalg.eigvalsh(self.hamiltonian.to_matrix())[0])
        start = np.random.default_rng(self.num_qubits).normal(size=2**self.num_qubits)  # no symmetry hides the lowest
        matrix = self.hamiltonian.to_matrix(sparse=True)
        return float(eigsh(matrix, k=1, which="SA", v0=start, return_eigenvectors=False)[0])


def read_pauli_sum(text: str, source: str) -> PauliProblem:
    """The operator of `{"terms": {"ZZ": -1.0, "XI": 0.5}}` or `{"terms": [["ZZ", -1.0], …]}`.

    Labels are Qiskit's: the rightmost letter acts on qubit 0. Terms of a list that have the same label are added up.
    Coefficients are real.

    >>> read_pauli_sum('{"terms": {"ZZ": -1.0, "XI": 0.5}}', "ising").hamiltonian.to_list()
    [('ZZ', (-1+0j)), ('XI', (0.5+0j))]
    """
    given = read_object(text, source).get("terms")
    entries: Iterable[Any]
    if isinstance(given, dict):
        entries = given.items()
    elif isinstance(given, list):
        entries = given
    else:
        problem = "there is no object or list 'terms'"
        raise ProblemError(source, None, problem, 'Give {"terms": {"ZZ": -1.0, "XI": 0.5}}.')
    terms: dict[str, float] = {}
    width = 0
    for place, entry in enumerate(entries, start=1):
        label, coefficient = _term(entry, place, text, source)
        width = width or len(label)
        if len(label) != width:
            problem = f"{label!r} has {len(label)} letter(s), the first label {width}"
            raise ProblemError(source, _line(text, label), problem, "Give one letter for each qubit, I for none.")
        terms[label] = terms.get(label, 0.0) + coefficient
    if not terms:
        raise ProblemError(source, None, "there are no terms", "Give one at least.")
    if len(terms) > MAX_TERMS:
        raise ProblemError(source, None, f"{len(terms)} terms", f"Give at most {MAX_TERMS}.")
    return PauliProblem(SparsePauliOp.from_list(list(terms.items())), source)


def _term(entry: Any, place: int, text: str, source: str) -> tuple[str, float]:
    if not (isinstance(entry, list | tuple) and len(entry) == 2 and isinstance(entry[0], str)):
        raise ProblemError(source, None, f"term {place} is not a label and a number", 'Give such as ["ZZ", -1.0].')
    label, coefficient = entry
    line = _line(text, label)
    if not 1 <= len(label) <= MAX_QUBITS or set(label) - set("IXYZ"):
        problem = f"{label[:80]!r} is not a label of 1 to {MAX_QUBITS} letters I, X, Y, Z"
        raise ProblemError(source, line, problem, "Correct the label; the rightmost letter acts on qubit 0.")
    if not is_number(coefficient):
        problem = f"the coefficient of {label!r} is not a real, finite number"
        raise ProblemError(source, line, problem, "Give a number; a Hermitian sum has real coefficients.")
    if abs(coefficient) > LARGEST:
        problem = f"the coefficient of {label!r} is above {LARGEST:g}"
        raise ProblemError(source, line, problem, "Give it in a unit that suits it.")
    return label, float(coefficient)


def _line(text: str, label: str) -> int | None:
    return line_of(text, json.dumps(label))
