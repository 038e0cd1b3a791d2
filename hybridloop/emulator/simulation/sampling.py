"""Sampling: counts from probabilities, drawn with a seed or scaled exactly, and distributions of Clifford circuits."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import StabilizerState

from hybridloop.emulator.model.program import JobInputError

RESOLUTION = 10_000_000  # probabilities are quantised to 1e-7, so that rounding noise can't move a count


def sampling_seed(service_seed: int, sampling_value: str) -> int:
    """Return the seed of one job's draws, below 2^63; the same on every machine.

    `sampling_value` is the value in the job's metadata, or the job's id if it has none.
    """
    text = f"{service_seed}\n{sampling_value}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


# outcomes that occur, ascending; the count of each; for each shot, in order, the position of its outcome
ShotArrays = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def draw_shots(probabilities: NDArray[np.float64], shots: int, rng: np.random.Generator) -> ShotArrays:
    """Draw `shots` outcomes from the distribution by inverse transform sampling."""
    cumulative = np.cumsum(probabilities)
    drawn = np.searchsorted(cumulative, rng.random(shots) * cumulative[-1], side="right")
    outcomes, positions, counts = np.unique(drawn, return_inverse=True, return_counts=True)
    return outcomes.astype(np.int64), counts.astype(np.int64), positions.astype(np.int64)


def scale_to_shots(probabilities: NDArray[np.float64], shots: int) -> ShotArrays:
    """Scale the distribution to integer counts that sum to `shots`, by largest remainder, ties to smaller outcomes.

    The shots are in the order of their outcomes.
    """
    weights = np.rint(probabilities / probabilities.sum() * RESOLUTION).astype(np.int64)
    outcomes = np.flatnonzero(weights)
    weights = weights[outcomes]
    counts, remainders = np.divmod(weights * shots, weights.sum())
    missing = shots - int(counts.sum())
    counts[np.argsort(-remainders, kind="stable")[:missing]] += 1
    occurs = counts > 0
    counts = counts[occurs]
    return outcomes[occurs].astype(np.int64), counts, np.repeat(np.arange(counts.size), counts)


MAX_FREE_BITS = 18  # of a Clifford distribution, that is, 2^18 outcomes: a larger histogram is of no use


def clifford_distribution(circuit: QuantumCircuit, measured: list[int]) -> tuple[NDArray[np.int64], int]:
    """Return a Clifford circuit's possible outcomes, ascending, and k: each has the probability 2^-k.

    Bit i of an outcome is the i-th measured qubit. The possible outcomes of a stabilizer state are one of them plus
    the span of the X parts of its generators (S. Aaronson, D. Gottesman, Phys. Rev. A 70 (2004) 052328).
    """
    state = StabilizerState(circuit)
    rows = state.clifford.stab_x[:, measured]
    basis = _gf2_basis([sum(int(bit) << position for position, bit in enumerate(row)) for row in rows])
    if len(basis) > MAX_FREE_BITS:
        problem = f"the histogram would have 2^{len(basis)} entries, above 2^{MAX_FREE_BITS}"
        raise JobInputError("InvalidInputData", problem)
    state.seed(0)  # any of the possible outcomes will do
    first = state.measure(measured)[0]
    outcomes = np.array([int(first, 2)], dtype=np.int64)
    for mask in basis:
        outcomes = np.concatenate((outcomes, outcomes ^ mask))
    return np.sort(outcomes), len(basis)


def _gf2_basis(masks: list[int]) -> list[int]:
    """Return a basis of the span of bit masks over GF(2), by Gaussian elimination."""
    basis: list[int] = []
    for mask in masks:
        for element in basis:
            mask = min(mask, mask ^ element)
        if mask:
            basis.append(mask)
    return basis
