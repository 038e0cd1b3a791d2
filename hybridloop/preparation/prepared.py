"""The common shape of a prepared run: facts of its problem, and an algorithm that lacks only a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.algorithms.rounds import RunRound
from hybridloop.azure.targets import Target
from hybridloop.data import load_table
from hybridloop.settings import ProblemText


@dataclass(frozen=True, slots=True, eq=False)
class ProblemFacts:
    """Facts of a problem that are known before anything is measured; values in `unit`.

    `unit` is "hartree", or empty for a dimensionless objective. `num_qubits` is the width of the widest circuit.
    `sense` says whether a lower (-1) or a higher (1) value is better; 0 where rounds measure different quantities.
    `reference` needs no run: the Hartree-Fock energy, the mean of a Pauli sum's spectrum, or the mean of an objective
    over all assignments. `exact` computes the exact value, which may take a second of diagonalization; it gives None
    where the problem is too large. `note` gives a sentence about the problem to tell with a result. `title` says
    in a few words what is computed: "molecule of 4 electrons in 4 orbitals". `orbitals` says why these, if they were
    chosen automatically. With `is_active_space` a molecule has others too, and the exact energy is that of the space.
    """

    unit: str
    num_qubits: int
    sense: int
    reference: float
    exact: Callable[[], float | None]
    note: Callable[[], str | None] = lambda: None
    title: str = ""
    orbitals: str = ""
    is_active_space: bool = False


def title_of(algorithm: str, problem: ProblemText, facts: ProblemFacts) -> str:
    """Return what a run computes, beside its problem's name: a built-in problem's title, or that it is the user's own.

    It is empty for a scan, whose table has the points.
    """
    if algorithm == "scan" or not facts.title:
        return ""
    if problem.text is not None:
        return f"file or object: {facts.title}"
    name = problem.name.lower()
    tables = (load_table(table) for table in ("problems", "binary_problems"))
    title = next(table[name]["title"] for table in tables if name in table)
    size = facts.title.partition(" of ")[2]
    is_reduced = facts.unit == "hartree" and size not in title
    return f"{title}; taken: {size}" if is_reduced else title


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

    @property
    def groupings(self) -> tuple[str, ...]:
        """The choice of measurement groups, for the record of the run; empty for algorithms that have none."""
        return groupings_of(self.algorithm)


def groupings_of(algorithm: PreparedAlgorithm) -> tuple[str, ...]:
    """Return the measurement groups that were chosen for an algorithm, where its settings leave them open."""
    groupings: tuple[str, ...] = getattr(algorithm, "groupings", ())
    return groupings
