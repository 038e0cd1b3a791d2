"""Intervals of energies from noisy machines: how often they hold the noiseless value at the run's angles, and how wide.

Final measurements are drawn from stored distributions (`noise_systems.py`), with readout errors inverted and gate noise
extrapolated to zero, as a run's are. Nothing that decides value, interval or claim knows the noiseless value.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_energies import percent
from benchmarks.bounds import Bound, Side, conclude, machine
from benchmarks.noise_systems import MACHINES, SHORT, DrawnRounds, distributions, rows, system
from hybridloop.algorithms.error_budget import error_budget, interval95
from hybridloop.algorithms.estimation.final import measure_final_estimate
from hybridloop.algorithms.mitigation.zne import extrapolation_doubts, is_too_noisy

DRAWS = 1000
CLAIMS = 50.0  # percent of the draws, from which on a row claims a value
HEADER = (
    f"{'system':<16}{'machine':<7}{'noise':<14}{'given':>7}{'hold':>7}{'claim':>7}{'hold':>7}"
    f"{'± /σ':>7}{'bias/σ':>7}{'shots':>10}"
)

Names = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of a row over its draws: percentages, median half width and bias in precisions, and median shots.

    `given` are the draws with an interval, `held` those of them that hold; `claimed` and `held_of_claimed` are the same
    of the draws that claim a value.
    """

    names: Names
    given: float
    held: float
    claimed: float
    held_of_claimed: float
    half_width: float
    bias: float
    shots: float

    def __str__(self) -> str:
        system_name, machine_name, kind = self.names
        return (
            f"{system_name:<16}{machine_name:<7}{kind:<14}{self.given:>7.1f}{self.held:>7.1f}{self.claimed:>7.1f}"
            f"{self.held_of_claimed:>7.1f}{self.half_width:>7.2f}{self.bias:>7.2f}{self.shots:>10.2e}"
        )


def measure(names: Names, draws: int) -> Row:
    """Draw a row's final measurements, from the plan of shots that a run has for simulated angles."""
    of, found = system(names[0]), distributions(names)
    bare = of.final()
    rounds = DrawnRounds(bare.circuits[: len(found)], found, MACHINES[names[1]])
    exact, precision = of.exact, of.sampling.precision
    plan = of.mitigation.planned_shots(of.sampling, (of.sampling.expected,), len(of.observable.groups))
    held, claimed, widths, values, shots = [], [], [], [], []
    for seed in range(draws):
        rounds.generator = np.random.default_rng(seed)
        final = measure_final_estimate(
            replace(bare, run_round=rounds),
            of.ansatz.initial_point,
            pilot=plan.pilot,
            precision=precision,
            on_round=lambda *_: None,
        )
        estimate = final.estimate
        low, high = interval95(estimate, error_budget(estimate, 0.0))
        is_given = not is_too_noisy(estimate)
        held.append(None if not is_given else low <= exact <= high)
        claimed.append(final.is_precise and not [*extrapolation_doubts(estimate, precision, of.unit)])
        widths.append((high - low) / 2.0 / precision)
        values.append(estimate.value)
        shots.append(estimate.shots)
    given = [each for each in held if each is not None]
    of_claims = [bool(each) for each, is_claimed in zip(held, claimed, strict=True) if is_claimed]
    return Row(
        names,
        100.0 * len(given) / draws,
        percent(given) if given else 100.0,
        percent(claimed),
        percent(of_claims) if of_claims else 100.0,
        median(widths),
        (median(values) - exact) / precision,
        median(shots),
    )
