"""Energies as runs report them: how far off, how sure, and what they took."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qiskit.primitives.containers.sampler_pub import SamplerPub

from benchmarks.bounds import Bound, Side
from hybridloop.algorithms.rounds import Measured, RunRound
from hybridloop.flows.problems import prepare_vqe
from hybridloop.flows.results import Outcome
from hybridloop.flows.settings import ProblemText, VqeSettings
from hybridloop.sessions.targets import split_shots
from tests.algorithms.batched_states import shot_rounds

DATA = Path(__file__).parent.parent / "tests" / "data"
MHA = 1e-3  # hartree
CHEMICAL_ACCURACY_MHA = 1.6
SHOTS_A_JOB = 10_000


class Counted:
    """The rounds, and what they took: jobs of at most `SHOTS_A_JOB` shots."""

    def __init__(self, run_round: RunRound) -> None:
        self._run_round = run_round
        self.rounds = self.jobs = self.shots = 0

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[Measured]:
        self.rounds += 1
        self.jobs += sum(pub.size * len(split_shots(int(pub.shots), SHOTS_A_JOB)) for pub in pubs)
        self.shots += sum(pub.size * int(pub.shots) for pub in pubs)
        return self._run_round(pubs)


@dataclass(frozen=True, slots=True)
class Reported:
    """What a run came to, how far from the exact energy (mHa), and what it took."""

    outcome: Outcome
    error_mha: float
    counted: Counted

    @property
    def is_covered(self) -> bool:
        """Whether the 95 % interval holds the exact energy."""
        return abs(self.error_mha) * MHA <= (self.outcome.interval95[1] - self.outcome.interval95[0]) / 2


def fcidump(name: str) -> str:
    """A molecule's FCIDUMP from the tests' data: a file of its own, or one of the reference's."""
    own = DATA / "fcidump" / f"{name}.fcidump"
    if own.exists():
        return own.read_text()
    molecules: dict[str, Any] = json.loads((DATA / "molecules.json").read_text())["molecules"]
    return str(molecules[name]["fcidump"])


def reported(name: str, seed: int, settings: VqeSettings | None = None) -> Reported:
    """The molecule's energy by a run with the defaults, or these settings."""
    prepared = prepare_vqe(ProblemText(name=name, text=fcidump(name)), settings or VqeSettings(), seed)
    if prepared.exact is None:
        raise ValueError(f"{name} is too large for its exact energy to be known")
    counted = Counted(shot_rounds(seed))
    outcome = prepared.measured(counted, lambda _: None)
    return Reported(outcome, (outcome.value - prepared.exact) / MHA, counted)


def p95(values: Sequence[float]) -> float:
    """The 95th percentile."""
    return float(np.quantile(values, 0.95))


def dihydrogen(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """H2 at four distances with the defaults; the intervals' coverage over all of them."""
    bounds: list[Bound] = []
    covered: list[bool] = []
    for name in ("H2_0.3", "H2_0.735", "H2_1.6", "H2_2.5"):
        runs = [reported(name, seed) for seed in range(20 if quick else 200)]
        covered += [each.is_covered for each in runs]
        bounds += [
            Bound(f"{name}: p95 of |reported|", p95([abs(r.error_mha) for r in runs]), Side.AT_MOST, 1.6, "mHa"),
            Bound(f"{name}: p95 of rounds", p95([r.counted.rounds for r in runs]), Side.AT_MOST, 3),
            Bound(f"{name}: p95 of shots", p95([r.counted.shots for r in runs]), Side.AT_MOST, 3.2e5),
            Bound(f"{name}: p95 of jobs", p95([r.counted.jobs for r in runs]), Side.AT_MOST, 40),
        ]
    share = 100 * float(np.mean(covered))
    return [
        *bounds,
        Bound("H2: 95 % intervals that hold", share, Side.AT_LEAST, 90, "%"),
        Bound("H2: 95 % intervals that hold", share, Side.AT_MOST, 99, "%"),
    ]
