"""The common shape of a prepared run: facts of its problem, and an algorithm that lacks only a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.algorithms.rounds import RunRound
from hybridloop.azure.targets import Target


@dataclass(frozen=True, slots=True, eq=False)
class ProblemFacts:
    """Facts of a problem that are known before anything is measured; values in `unit`.

    `unit` is "hartree", or empty for a dimensionless objective. `num_qubits` is the width of the widest circuit.
    `sense` says whether a lower (-1) or a higher (1) value is better; 0 where rounds measure different quantities.
    `reference` needs no run: the Hartree-Fock energy, the mean of a Pauli sum's spectrum, or the mean of an objective
    over all assignments. `exact` computes the exact value, which may take a second of diagonalization; it gives None
    where the problem is too large. `note` gives a sentence about the problem to tell with a result.
    """

    unit: str
    num_qubits: int
    sense: int
    reference: float
    exact: Callable[[], float | None]
    note: Callable[[], str | None] = lambda: None


class PreparedAlgorithm(Protocol):
    """An algorithm with its problem, circuits and optimizer in place."""

    @property
    def facts(self) -> ProblemFacts:
        """Facts of the problem."""
        ...

    def measure(self, run_round: RunRound, on_progress: Callable[[RoundProgress], None], /) -> Outcome:
        """Run the algorithm on these rounds; an optimizer serves one run."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRun:
    """A checked request: the target and seed of the run, and its algorithm."""

    target: Target
    seed: int
    algorithm: PreparedAlgorithm
