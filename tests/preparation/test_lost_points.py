"""Searches that lose points for good: they end, and claim convergence only where the value is within its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.optimizers.registry import OPTIMIZERS
from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub, RunRound
from hybridloop.errors import InputError, JobFailed
from hybridloop.preparation.prepared import ClassicalPart
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.long_form import long_form, short_or_long
from tests.preparation_helpers import prepared, settings_for

SEEDS = short_or_long(range(1, 3), range(1, 11))
MAX_ROUNDS = 500  # five times those of the longest search
POLICIES: tuple[dict[str, Any], ...] = ({"on_lost_job": "skip"}, {"on_lost_job": "penalize", "penalty": 1.0})


@dataclass(slots=True)
class LossyRounds:
    """Rounds of shots, of which a share of the points is lost at random."""

    measured: RunRound
    lost: float
    draws: np.random.Generator
    rounds: list[int] = field(default_factory=list)

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        self.rounds.append(len(pubs))
        assert len(self.rounds) < MAX_ROUNDS
        return [
            MeasuredPub(pub.points, tuple(FailedPoint("lost") if self._is_lost() else each for each in pub.counts))
            for pub in self.measured(pubs)
        ]

    def _is_lost(self) -> bool:
        return bool(self.draws.random() < self.lost)


def searched(optimizer: str, policy: dict[str, Any], share: float, seed: int) -> tuple[Outcome, float | None] | str:
    """Return the outcome of a search and the exact value, or the name of the error that ended it."""
    values = {"search": "measured", "optimizer": optimizer, "precision": 0.02, "failure": policy}
    rounds = LossyRounds(shot_rounds(seed), share, np.random.default_rng(seed))
    history: list[RoundProgress] = []
    try:
        run = prepared("vqe", ProblemText(name="h2"), settings_for("vqe", values), seed)
        return run.finish(run.measure(rounds, history.append), ClassicalPart(history.append)), run.facts.exact()
    except (InputError, JobFailed) as error:
        return type(error).__name__


@long_form
@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_search_that_loses_points_ends_and_claims_no_false_convergence(optimizer: str, share: float) -> None:
    for seed in SEEDS:
        for policy in POLICIES:
            found = searched(optimizer, policy, share, seed)
            if isinstance(found, str):
                refused = {"InputError"} if policy["on_lost_job"] == "skip" else set()
                assert found in refused | ({"JobFailed"} if share > 0.1 else set())
                continue
            outcome, exact = found
            assert exact is not None
            is_near = abs(outcome.value - exact) < 5.0 * outcome.standard_error  # five, for some 500 values
            assert is_near or not outcome.converged, (seed, policy, outcome.reason)
