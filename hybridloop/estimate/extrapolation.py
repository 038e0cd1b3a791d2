"""Extrapolation of dry runs: rounds assumed for a trial that was cut."""

from __future__ import annotations

import math
from dataclasses import replace

from hybridloop.estimate.dry_run import FINAL, OTHER, SEARCH, DryRound, Trial
from hybridloop.preparation.prepared import PlanFacts

ASSUMED_ROUNDS = 30  # of a search that was not simulated to its end


def extrapolate(trial: Trial, facts: PlanFacts) -> tuple[Trial, str | None]:
    """Replace the rounds that were not simulated by assumed ones; return the trial and the assumption (None: none).

    A search has `ASSUMED_ROUNDS` rounds, or its limit, each as large as the largest simulated one. The final
    measurement has the shots that its precision takes by the operator's terms.
    """
    if trial.cut is None or (trial.ended and not facts.search):
        return trial, None
    largest = max(trial.rounds, key=lambda round_: (round_.phase == SEARCH, round_.shots))
    simulated = sum(round_.phase == SEARCH for round_ in trial.rounds)
    number = min(facts.search, max(ASSUMED_ROUNDS, simulated))
    others = [round_ for round_ in trial.rounds if round_.phase == OTHER and round_ is not largest]
    rounds = [*others, *[replace(largest, phase=SEARCH)] * number]
    assumptions = [f"the search is assumed to take {number} rounds, each as large as the largest simulated one"]
    if facts.final:
        rounds.append(_final_round(trial, largest, facts.final_shots))
        if facts.final_shots:
            assumptions.append(
                f"the final measurement {facts.final_shots:.1e} shots, by its precision and the operator's terms"
            )
    states, shares = facts.after(max(pub.shots for pub in rounds[-1].pubs))
    if shares:
        pubs = rounds[-1].pubs
        rounds += [DryRound(FINAL, tuple(replace(pub, shots=shots) for pub in pubs) * states) for shots in shares]
        assumptions.append(f"what follows {len(shares)} rounds over {states} states")
    complete = Trial(tuple(rounds), None, ended=True, classical_s=trial.classical_s)
    return complete, f"not simulated to the end ({trial.cut}): {', '.join(assumptions)}"


def _final_round(trial: Trial, largest: DryRound, shots: int) -> DryRound:
    """Return a final round over the circuits of a simulated one, else over those of the search, one point each."""
    example = next((round_ for round_ in trial.rounds if round_.phase == FINAL), largest)
    shots_per_pub = math.ceil(shots / len(example.pubs))
    pubs = tuple(replace(pub, points=1, shots=max(pub.shots, shots_per_pub)) for pub in example.pubs)
    return DryRound(FINAL, pubs)
