"""What is kept of a binary problem's rounds: the best assignment that was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.qubo import BinaryProblem
from hybridloop.algorithms.rounds import Counts, Measured, RunRound


@dataclass(frozen=True, slots=True)
class Assignment:
    """An assignment that meets the constraint (rightmost character = variable 0), and its objective."""

    bitstring: str
    value: float


def better(problem: BinaryProblem, bits: NDArray[np.uint8], than: Assignment | None) -> Assignment | None:
    """The best assignment of the rows of bits (k, n) and of what is known; of equal ones what is known, or the first.

    None where none meets the constraint.
    """
    bits = bits[problem.is_feasible(bits)]
    if not len(bits):
        return than
    values = problem.objective.energies(bits)
    at, sign = int(np.argmin(problem.sign * values)), problem.sign
    if than is None or beats(sign, float(values[at]), than.value):
        return Assignment("".join(str(bit) for bit in bits[at][::-1]), float(values[at]))
    return than


def beats(sign: float, one: float, other: float) -> bool:
    """Whether one objective is better than another by more than rounding; `sign` makes less the better."""
    return sign * one < sign * other - 1e-12 * abs(other)


class SeenAssignments:
    """Rounds, and the best assignment that any of them has shown; of equal ones the least number."""

    def __init__(self, problem: BinaryProblem, run_round: RunRound) -> None:
        self._problem = problem
        self._run_round = run_round
        self.best: Assignment | None = None

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[Measured]:
        """Measure a round."""
        answers = self._run_round(pubs)
        for answer in answers:
            for counts in answer:
                if isinstance(counts, Counts):
                    self._look(counts)
        return answers

    def _look(self, counts: Counts) -> None:
        bits = np.unpackbits(counts.outcomes, axis=1)[:, ::-1][:, : counts.num_bits]  # column i is bit i
        self.best = better(self._problem, bits, self.best)
