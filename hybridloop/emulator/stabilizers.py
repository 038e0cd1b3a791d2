"""The exact distribution of a Clifford circuit: all outcomes that occur are equally likely."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import StabilizerState

from hybridloop.emulator.program import Unrunnable

MOST_FREE_BITS = 18  # of a distribution: 2^18 outcomes; above it is no result that anyone reads


def clifford_distribution(circuit: QuantumCircuit, measured: list[int]) -> tuple[NDArray[np.int64], int]:
    """The outcomes that occur, ascending, and the number k of free bits: each has the chance 2^-k.

    Bit i of an outcome is the i-th measured qubit. A stabilizer state's outcomes are one of them plus the span of
    the X parts of its generators (S. Aaronson, D. Gottesman, Phys. Rev. A 70 (2004) 052328).
    """
    state = StabilizerState(circuit)
    basis = _reduced([_word(row, measured) for row in state.clifford.stab_x])
    if len(basis) > MOST_FREE_BITS:
        raise Unrunnable(
            "InvalidInputData", f"the histogram would have 2^{len(basis)} entries, above 2^{MOST_FREE_BITS}"
        )
    state.seed(0)  # any outcome will do
    first = state.measure(measured)[0]
    outcomes = np.array([int(first, 2)], dtype=np.int64)
    for word in basis:
        outcomes = np.concatenate((outcomes, outcomes ^ word))
    return np.sort(outcomes), len(basis)


def _word(row: NDArray[np.bool_], measured: list[int]) -> int:
    return sum(int(row[qubit]) << position for position, qubit in enumerate(measured))


def _reduced(words: list[int]) -> list[int]:
    """A basis of the words' span over GF(2)."""
    basis: list[int] = []
    for word in words:
        for kept in basis:
            word = min(word, word ^ kept)
        if word:
            basis.append(word)
    return basis
