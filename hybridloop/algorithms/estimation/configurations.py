"""Configuration recovery: electron configurations from samples, with the electrons that noise has changed.

J. Robledo-Moreno et al., arXiv:2405.05068. A configuration is a pair of bit masks (alpha, beta); bit p is orbital p.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.problems.electronic import Encoding
from hybridloop.algorithms.rounds import Counts

SMALL_WEIGHT = 0.01  # δ of the paper: relative weight of a flip towards the likelier value, at the mean occupation
MAX_ROWS = 200_000  # of samples recovered at once: bounds the memory


@dataclass(frozen=True, slots=True, eq=False)
class Configurations:
    """Distinct configurations (k, 2) in ascending order, with the number of shots of each (k,)."""

    masks: NDArray[np.int64]
    shots: NDArray[np.int64]

    @classmethod
    def of(cls, occupied: NDArray[np.uint8], shots: NDArray[np.int64]) -> Configurations:
        """Merge equal rows of occupations (k, 2 norb), alpha orbitals first."""
        norb = occupied.shape[1] // 2
        powers = 1 << np.arange(norb, dtype=np.int64)
        pairs = np.stack([occupied[:, :norb] @ powers, occupied[:, norb:] @ powers], axis=1)
        masks, where = np.unique(pairs, axis=0, return_inverse=True)
        totals = np.zeros(len(masks), np.int64)
        np.add.at(totals, where.reshape(-1), shots)
        return cls(masks, totals)

    def draw(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return all configurations (k, 2) in a random order: drawn without replacement, in proportion to the shots."""
        keys = np.log(self.shots) + generator.gumbel(size=len(self.shots))
        return self.masks[np.argsort(-keys, kind="stable")]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Occupations of the spin orbitals in the distinct outcomes (k, 2 norb), alpha first, with their shots (k,)."""

    occupied: NDArray[np.uint8]
    shots: NDArray[np.int64]
    electrons: tuple[int, int]

    @classmethod
    def of(cls, counts: Counts, encoding: Encoding) -> Samples:
        """Read the counts of all qubits in the computational basis."""
        return cls(encoding.occupations(counts.bits), counts.counts, encoding.electrons)

    @property
    def is_valid(self) -> NDArray[np.bool_]:
        """For each outcome, True if it has the right numbers of alpha and of beta electrons."""
        norb = self.occupied.shape[1] // 2
        alpha, beta = self.occupied[:, :norb].sum(axis=1), self.occupied[:, norb:].sum(axis=1)
        is_valid: NDArray[np.bool_] = (alpha == self.electrons[0]) & (beta == self.electrons[1])
        return is_valid

    @property
    def valid(self) -> Configurations:
        """The configurations with the right numbers of electrons."""
        return Configurations.of(self.occupied[self.is_valid], self.shots[self.is_valid])

    def recover(self, means: NDArray[np.float64], generator: np.random.Generator) -> Configurations:
        """Return the configurations of all shots, with the electrons of each corrected by mean occupations (2 norb,).

        A spin with too many or too few electrons has as many of its orbitals emptied or filled as are wrong, drawn
        without replacement. The weight of a flip grows with the distance of the orbital's bit from its mean.
        """
        wrong = ~self.is_valid
        rows = np.repeat(self.occupied[wrong], self.shots[wrong], axis=0)
        norb = self.occupied.shape[1] // 2
        repaired = [
            np.concatenate(
                [
                    _correct(rows[start : start + MAX_ROWS, spin], means[spin], number, generator)
                    for spin, number in zip((slice(norb), slice(norb, None)), self.electrons, strict=True)
                ],
                axis=1,
            )
            for start in range(0, len(rows), MAX_ROWS)
        ]
        occupied = np.concatenate([self.occupied[~wrong], *repaired])
        return Configurations.of(occupied, np.concatenate([self.shots[~wrong], np.ones(len(rows), np.int64)]))


def _correct(
    occupied: NDArray[np.uint8], means: NDArray[np.float64], electrons: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the rows (k, norb) of one spin with that number of electrons."""
    filling = electrons / len(means)
    # weights of the paper's modified ReLU: filling an empty orbital bends at the mean filling, emptying one at 1 − that
    fill, empty = _flip_weights(means, filling), _flip_weights(1.0 - means, 1.0 - filling)
    excess = occupied.sum(axis=1, dtype=np.int64) - electrons
    is_open = np.where(excess[:, None] > 0, occupied == 1, occupied == 0)
    with np.errstate(divide="ignore"):
        keys = np.log(np.where(occupied == 1, empty, fill)) + generator.gumbel(size=occupied.shape)
    keys[~is_open] = -np.inf
    ranks = np.argsort(np.argsort(-keys, axis=1, kind="stable"), axis=1, kind="stable")
    flipped: NDArray[np.uint8] = occupied ^ (ranks < np.abs(excess)[:, None]).astype(np.uint8)
    return flipped


def _flip_weights(distance: NDArray[np.float64], bend: float) -> NDArray[np.float64]:
    """Return the weight of each flip: `SMALL_WEIGHT` · y / h up to y = h, then linear to 1 at y = 1; above 0."""
    distance = np.clip(distance, 1e-9, 1.0)  # a flip of weight 0 may be the only one that is left
    if not 0.0 < bend < 1.0:
        return distance
    above = SMALL_WEIGHT + (1.0 - SMALL_WEIGHT) * (distance - bend) / (1.0 - bend)
    return np.where(distance <= bend, SMALL_WEIGHT * distance / bend, above)
