"""Best feasible assignment of a binary problem among all sampled bitstrings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.problems.binary import BinaryProblem
from hybridloop.algorithms.rounds import Counts, MeasuredPub, RunRound


@dataclass(frozen=True, slots=True)
class Assignment:
    """A feasible assignment (rightmost character = variable 0) and its objective value."""

    bitstring: str
    value: float


def best_assignment(problem: BinaryProblem, bits: NDArray[np.uint8], incumbent: Assignment | None) -> Assignment | None:
    """Return the best of the rows of bits (k, n) and the incumbent (the best so far); None where none is feasible.

    Ties go to the incumbent, else to the first row.
    """
    bits = bits[problem.is_feasible(bits)]
    if not len(bits):
        return incumbent
    values = problem.objective.energies(bits)
    row, sign = int(np.argmin(problem.sign * values)), problem.sign
    if incumbent is None or is_better(sign, float(values[row]), incumbent.value):
        return Assignment("".join(str(bit) for bit in bits[row][::-1]), float(values[row]))
    return incumbent


def is_better(sign: float, value: float, other: float) -> bool:
    """Return true if `value` is better than `other` by more than rounding; `sign` is 1 to minimize, −1 to maximize."""
    return sign * value < sign * other - 1e-12 * abs(other)


class AssignmentTracker:
    """RunRound wrapper that keeps the best feasible assignment sampled in any round.

    Of equal assignments in a result, it keeps the one with the smallest number.
    """

    def __init__(self, problem: BinaryProblem, run_round: RunRound) -> None:
        self._problem = problem
        self._run_round = run_round
        self.best: Assignment | None = None

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """Measure a round and update `best`."""
        results = self._run_round(pubs)
        for result in results:
            for counts in result:
                if isinstance(counts, Counts):
                    self._update(counts)
        return results

    def _update(self, counts: Counts) -> None:
        bits = np.unpackbits(counts.outcomes, axis=1)[:, ::-1][:, : counts.num_bits]  # column i is bit i
        self.best = best_assignment(self._problem, bits, self.best)
