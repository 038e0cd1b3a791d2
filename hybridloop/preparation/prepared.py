"""The common shape of a prepared run: facts of its problem, and an algorithm that lacks only a session."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hybridloop.algorithms.diagnostics import below_exact
from hybridloop.algorithms.doubt import Doubt
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.steps import Steps, compute_each
from hybridloop.data import TABLES, built_in_problem
from hybridloop.preparation.checks import doubt_of_noise
from hybridloop.runtime.leaves import leaf
from hybridloop.settings import EnergySettings, ProblemText, RunSettings
from hybridloop.targets import Target
from hybridloop.targets.prices import priced_job_shots

if TYPE_CHECKING:
    from hybridloop.algorithms.estimation import grouping as groupings
else:
    groupings = leaf("hybridloop.algorithms.estimation.grouping")


@dataclass(frozen=True, slots=True, eq=False)
class ProblemFacts:
    """Facts of a problem that are known before anything is measured; values in `unit`.

    `unit` is "hartree", or empty for a dimensionless objective. `num_qubits` is the width of the widest circuit.
    `sense` says whether a lower (-1) or a higher (1) value is better; 0 where rounds measure different quantities.
    `reference` needs no run: the Hartree-Fock energy, the mean of a Pauli sum's spectrum, or the mean over random
    feasible assignments, None where it takes too much work. `exact` computes the exact value, which may take a
    second of diagonalization; it gives None where the problem is too large. `note` gives a sentence about the
    problem to tell with a result.
    `title` says in a few words what is computed, as it was read: "molecule of 4 electrons in 4 orbitals".
    `orbitals` says why these, if they were chosen automatically. With `is_active_space` a molecule has others too, and
    the exact energy is that of the space.
    `is_solved` says whether `exact` takes no more work, for a run that is ended early.
    """

    unit: str
    num_qubits: int
    sense: int
    reference: float | None
    exact: Callable[[], float | None]
    note: Callable[[], str | None] = lambda: None
    title: str = ""
    orbitals: str = ""
    is_active_space: bool = False
    is_solved: Callable[[], bool] = lambda: True

    def doubt(self, outcome: Outcome) -> Doubt | None:
        """Return a doubt about an energy below the exact one."""
        if self.unit != "hartree":
            return None
        return below_exact(outcome.value, outcome.standard_error, outcome.rounding_bound, self.exact())


_CUT = "Max-cut of "  # begins the titles of graphs, which have other objectives, too


def title_of(problem: ProblemText, facts: ProblemFacts) -> str:
    """Return what a run computes, beside its problem's name: a built-in problem's title, or how a text was read.

    It is empty for a series of problems, of which the result's table has each.
    """
    if not facts.title:
        return ""
    if problem.text is not None:
        return facts.title
    title = next(entry["title"] for table in TABLES if (entry := built_in_problem(table, problem.name)))
    kind = facts.title.partition(" of ")[0]
    if title.startswith(_CUT) and not _CUT.lower().startswith(kind):
        return f"{kind[:1].upper()}{kind[1:]} of {title.removeprefix(_CUT)}"
    size = facts.title.partition(" of ")[2]
    is_reduced = facts.unit == "hartree" and size not in title
    return f"{title}; taken: {size}" if is_reduced else title


OnRound = Callable[[RoundProgress], None]


@dataclass(frozen=True, slots=True)
class ClassicalPart:
    """Means of an algorithm for its work after the session is closed.

    `steps` computes its steps, recorded in the journal in a run. An algorithm calls `check`
    between pieces of work: it raises where the run stops. `in_processes` allows processes of its own.
    """

    on_progress: OnRound
    steps: Steps = compute_each
    check: Callable[[], None] = lambda: None
    in_processes: bool = False


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """Facts of a prepared algorithm for its plan.

    `search`, `final` and `other` are the most rounds of each phase, without retries of failed jobs; None: as many as
    any run has. `final_shots` are those that the final measurement takes by its precision; 0: as many as in a trial.
    `deviation` is the sum over its groups of the standard deviation of one shot, by the operator's terms; 0: unknown.
    `after(shots)` is for algorithms with rounds after the final measurement: how often these measure each circuit, and
    the shots of a circuit in each of them, if the final measurement took `shots`. `classical` is the work on this
    machine after the rounds, empty where it takes no time.
    """

    search: int
    final: int
    other: int | None = None
    final_shots: int = 0
    deviation: float = 0.0
    after: Callable[[int], tuple[int, tuple[int, ...]]] = lambda _: (0, ())
    classical: str = ""


SEARCH, START, GROUPS, CIRCUIT = "search", "start", "groups", "circuit"  # names of choices
_ANGLES_SIMULATED = "angles from a classical simulation; jobs test them"


def chosen(**reasons: str | None) -> dict[str, str]:
    """Return what was chosen automatically, by name, with the reason; without what the settings gave."""
    return {name: reason for name, reason in reasons.items() if reason}


def origin_of_angles(target: str, *, is_simulated: bool) -> str:
    """Return the origin of a search's angles, the first choice of a run."""
    return _ANGLES_SIMULATED if is_simulated else f"angles searched on {target}"


class PreparedAlgorithm(ABC):
    """An algorithm with its problem and circuits in place; nothing in it changes, so it serves several runs."""

    __slots__ = ()
    facts: ProblemFacts

    @property
    def choices(self) -> Mapping[str, str]:
        """All automatic choices by name, with the reason: see `chosen`."""
        return {}

    @property
    def groupings(self) -> tuple[str, ...]:
        """The measurement groups and the least shots of a job, as they were chosen, for the record of the run."""
        return ()

    def forecast(self, _target: Target, _settings: Any, /) -> Mapping[str, float]:
        """Return the shift that the target's noise is expected to give the value, by mitigation ("": by default).

        It is empty where none is known, or none can be chosen.
        """
        return {}

    def doubt_of_noise(self, target: Target, settings: RunSettings, /) -> Doubt | None:
        """Return the doubt about a value from a noisy target that nothing corrects."""
        return doubt_of_noise(target, settings, self.forecast(target, settings), self.facts.unit)

    @abstractmethod
    def plan_facts(self, *, samples: bool) -> PlanFacts:
        """Return the facts for a plan on a target that samples, or on one that measures the exact answer once."""

    @abstractmethod
    def measure(self, run_round: RunRound, on_progress: OnRound, /) -> Any:
        """Run the algorithm on these rounds; return what `finish` takes, for most the outcome."""

    def finish(self, measured: Any, _part: ClassicalPart, /) -> Outcome:
        """Return the outcome, after the session was closed; most have it already."""
        outcome: Outcome = measured
        return outcome

    def run(self, run_round: RunRound, on_progress: OnRound = lambda _: None, /) -> Outcome:
        """Measure, finish and judge in this process, without a journal."""
        return self.judge(self.finish(self.measure(run_round, on_progress), ClassicalPart(on_progress)))

    def judge(self, outcome: Outcome, *doubts: Doubt | None) -> Outcome:
        """Return the outcome with all choices, the problem's notes, and the doubts that its value raises by itself."""
        choices = [*(f"{name}: {reason}" for name, reason in self.choices.items()), *outcome.choices]
        notes = [note for note in (self.facts.orbitals, self.facts.note()) if note]
        judged = replace(outcome, choices=(*choices, *notes))
        return judged.doubted(*doubts, self.facts.doubt(outcome))


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Accuracy of a run in its problem's unit: standard error of the final measurement, and tolerance of the search.

    `tolerance` is None for the optimizer's default.
    """

    precision: float
    tolerance: float | None


class PreparedEnergy(PreparedAlgorithm):
    """A run for the energy of an observable in measurement groups, that lacks only a session."""

    __slots__ = ()
    sampling: Sampling
    energy: groupings.GroupingChoice

    @property
    def groupings(self) -> tuple[str, ...]:
        """The grouping that was chosen, with the least shots of a job."""
        return (self.energy.record,)

    def _plan_facts(
        self, search: int, final: int, other: int | None = None, *, samples: bool, copies: Sequence[float] = (1.0,)
    ) -> PlanFacts:
        """Return these limits; the shots of the final measurement are (Σ_g σ_g / precision)² over all groups.

        Groups are measured in `copies` with these weights, whose sizes add up.
        """
        deviation = float(self.energy.deviations.sum()) * math.fsum(map(abs, copies)) if samples else 0.0
        return PlanFacts(search, final, other, math.ceil((deviation / self.sampling.precision) ** 2), deviation)


def sampling_of(
    settings: EnergySettings, target: Target, energy: groupings.GroupingChoice, precision: float
) -> Sampling:
    """Return the shots of the settings, or those that fit the groups' jobs on a target, for a precision."""
    shots = settings.shots or max(settings.default_shots, energy.least_shots)
    fewest = target.fewest_shots(debias=settings.debias)
    return Sampling(shots, precision, energy.least_shots, job_shots=priced_job_shots(target), fewest_shots=fewest)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A checked request: the algorithm, its target with the options of its provider, and what doubts every value."""

    algorithm: PreparedAlgorithm
    target: Target
    noise: Doubt | None = None  # of the target, where nothing corrects it

    def judge(self, outcome: Outcome) -> Outcome:
        """Return the outcome with its choices and doubts; with noise left in the value, no row has converged.

        A value without a round is computed, and has no noise.
        """
        noise = self.noise if outcome.rounds else None
        if noise is not None:
            table = tuple({**row, "converged": False} if "converged" in row else row for row in outcome.table)
            outcome = replace(outcome, table=table)
        return self.algorithm.judge(outcome, noise)
