"""The simulation of a run for its plan: complete trials, the rounds that are expected, and the worst case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from hybridloop.estimate.dry_run import FINAL, OTHER, SEARCH, DryRound, DryRun, Trial
from hybridloop.estimate.extrapolation import extrapolate
from hybridloop.preparation.prepared import PlanFacts, ProblemFacts


@dataclass(frozen=True, slots=True)
class Simulation:
    """A dry run whose trials are complete, by extrapolation if needed."""

    facts: ProblemFacts
    plan_facts: PlanFacts
    trials: tuple[Trial, ...]
    assumed: str | None

    @classmethod
    def of(cls, run: DryRun, *, samples: bool) -> Self:
        """Complete the trials of a dry run on a target that samples, or on one that measures the exact answer."""
        facts = run.prepared.plan_facts(samples=samples)
        complete = [extrapolate(trial, facts) for trial in run.trials]
        assumed = next((why for _, why in complete if why), None)
        return cls(run.prepared.facts, facts, tuple(trial for trial, _ in complete), assumed)

    @property
    def expected(self) -> tuple[DryRound, ...]:
        """Return the rounds of the median trial by shots."""
        return sorted(self.trials, key=lambda trial: trial.shots)[(len(self.trials) - 1) // 2].rounds

    @property
    def worst(self) -> tuple[DryRound, ...]:
        """Return the longest trial, extended to the limits by the largest round of each phase.

        The final phase is extended by its last round: each is smaller than the one before, because it only adds the
        shots that are missing.
        """
        longest = max(self.trials, key=lambda trial: trial.shots).rounds
        more: list[DryRound] = []
        facts = self.plan_facts
        limits = {SEARCH: facts.search, FINAL: facts.final, OTHER: facts.other}
        for phase, limit in limits.items():
            known = [round_ for trial in self.trials for round_ in trial.rounds if round_.phase == phase]
            if limit is None or not known:
                continue
            sample = known[-1] if phase == FINAL else max(known, key=lambda round_: round_.shots)
            more += [sample] * (limit - sum(round_.phase == phase for round_ in longest))
        return (*longest, *more)
