"""Classical search by flips of single spins: descent to a local minimum, and simulated annealing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.binary.ising import Ising

MOST_RUNS, MOST_VALUES = 64, 5e6  # of simulated annealing side by side, which have a value for each term: 40 MB
MOST_SWEEPS, LEAST_SWEEPS = 200, 20  # over all spins
OPERATIONS = 1e8  # flips times the products of a spin: about a second
HOT, COLD = math.log(2), math.log(100)  # the flip that costs most has a probability of 1/2 at first, the least 1/100


@dataclass(slots=True, eq=False)
class _Flips:
    """Spins (k, n) of k runs and the values (k, terms) of the cost's terms; `terms_of` are those of each spin."""

    spins: NDArray[np.float64]
    values: NDArray[np.float64]
    terms_of: tuple[NDArray[np.intp], ...]

    @classmethod
    def of(cls, cost: Ising, bits: NDArray[np.integer[Any]]) -> _Flips:
        spins = 1.0 - 2.0 * bits.astype(float)
        values = np.empty((len(spins), len(cost.terms)))
        terms_of: list[list[int]] = [[] for _ in range(cost.num_variables)]
        for number, (product, value) in enumerate(cost.terms.items()):
            values[:, number] = value * spins[:, product].prod(axis=1)
            for spin in product:
                terms_of[spin].append(number)
        return cls(spins, values, tuple(np.array(each, int) for each in terms_of))

    def sweep(self, energies: Iterable[NDArray[np.float64]]) -> bool:
        """Flip each spin whose flip raises the energy by less than its entry (k,); return whether any flipped."""
        any_flipped = False
        for spin, (terms, below) in enumerate(zip(self.terms_of, energies, strict=True)):
            flipped = np.flatnonzero(-2.0 * self.values[:, terms].sum(axis=1) < below)
            if len(flipped):
                any_flipped = True
                self.spins[flipped, spin] *= -1.0
                self.values[np.ix_(flipped, terms)] *= -1.0
        return any_flipped

    def descend(self) -> NDArray[np.uint8]:
        """Flip spins while one lowers its run's energy by more than rounding; return the bits (k, n)."""
        least = np.full(len(self.spins), -1e-12 * (1.0 + np.abs(self.values[0]).sum()))
        while self.sweep([least] * len(self.terms_of)):
            pass
        return (self.spins < 0).astype(np.uint8)


def descend(cost: Ising, bits: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Return assignments (k, n) that no single flip improves, by flips of one spin after the other from those given."""
    return _Flips.of(cost, bits).descend()


def effort_of(cost: Ising) -> tuple[int, int]:
    """Return the runs of `anneal` and the sweeps of each, which take about a second together."""
    runs = int(min(MOST_RUNS, max(1, MOST_VALUES / max(1, len(cost.terms)))))
    of_sweep = runs * sum(map(len, cost.terms))
    return runs, int(min(MOST_SWEEPS, max(LEAST_SWEEPS, OPERATIONS / max(1, of_sweep))))


def anneal(cost: Ising, seed: int) -> NDArray[np.uint8]:
    """Return the assignments (runs, n) that simulated annealing and a descent end at, from random ones.

    S. Kirkpatrick et al., Science 220 (1983) 671. The inverse temperature grows geometrically from `HOT` over the
    largest change of the energy by a flip, to `COLD` over that of the smallest coefficient.
    """
    rng = np.random.default_rng(seed)
    runs, sweeps = effort_of(cost)
    flips = _Flips.of(cost, rng.integers(0, 2, (runs, cost.num_variables)))
    sizes = np.abs(flips.values[0])
    if len(sizes):
        largest = 2.0 * max(float(sizes[terms].sum()) for terms in flips.terms_of)
        for inverse in np.geomspace(HOT / largest, COLD / (2.0 * float(sizes.min())), sweeps):
            # accepted with probability exp(−ΔE β): below −log(u) / β
            flips.sweep(rng.exponential(1.0 / inverse, (cost.num_variables, runs)))
    return flips.descend()
