"""Intervals of energies from noisy machines: how often they hold the noiseless value at the run's angles, and how wide.

Final measurements are drawn from stored distributions (`noise_systems.py`), with readout errors inverted and gate noise
extrapolated to zero, as a run's are. Nothing that decides value, interval or claim knows the noiseless value.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from statistics import fmean, median

import numpy as np

from benchmarks.accuracy_energies import percent
from benchmarks.bounds import Bound, Side, conclude, machine
from benchmarks.noise_systems import MACHINES, SHORT, DrawnRounds, distributions, rows, system
from hybridloop.algorithms.error_budget import error_budget, interval95
from hybridloop.algorithms.estimation.final import measure_final_estimate
from hybridloop.algorithms.mitigation.zne import extrapolation_doubts, is_too_noisy

DRAWS, QUICK_DRAWS = 1000, 20
CLAIMS = 50.0  # percent of the draws, from which on a row claims a value
HEADER = (
    "| system | machine | noise | with an interval | hold | claimed | hold | half width | bias | shots |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)
# Gates that turn too far in their own direction turn back in their inverse, so that folding does not amplify it.
FALL_SHORT = frozenset(("LiH", machine, "over-rotated") for machine in ("H2-1", "Forte", "0.3 %"))

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
        claims = f"{self.claimed:.0f} % | {self.held_of_claimed:.1f} %" if self.claimed else "0 % | "
        return (
            f"| {' | '.join(self.names)} | {self.given:.0f} % | {self.held:.1f} % | {claims} "
            f"| {self.half_width:.2f} | {self.bias:.2f} | {self.shots:.1e} |"
        )


def measure(names: Names, draws: int) -> Row:
    """Draw a row's final measurements, from the plan of shots that a run has for simulated angles."""
    of, found = system(names[0]), distributions(names)
    bare = of.final()
    rounds = DrawnRounds(bare.circuits[: len(found)], found, MACHINES[names[1]])
    exact, precision = of.exact, of.sampling.precision
    groups, weights = len(of.observable.groups), of.mitigation.weights
    plan = of.sampling.planned(of.sampling.expected, groups, weights, len(bare.calibration))
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


def noise(quick: bool, most: int = DRAWS) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Return how often intervals hold, what is claimed, and the widths of two molecules; print the table's rows."""
    draws = QUICK_DRAWS if quick else most
    names = [each for each in rows() if (each[0] in SHORT if quick else each[0] != "cut of 4")]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        print(HEADER)
        found = list[Row]()
        for row in pool.map(measure, names, [draws] * len(names)):
            print(row, flush=True)
            found.append(row)
    scatter = 100.0 * math.sqrt(0.85 * 0.15 / draws)  # percent, one standard deviation of a row that just holds
    claiming = [row for row in found if row.claimed >= CLAIMS and row.names not in FALL_SHORT]
    bounds = [
        Bound("noise: intervals that hold", fmean(row.held for row in found if row.given), Side.AT_LEAST, 93, "%"),
        *(
            Bound(f"{' '.join(row.names)}: claims that hold", row.held_of_claimed, Side.AT_LEAST, 85 - scatter, "%")
            for row in claiming
        ),
    ]
    for row in found:
        if row.names[0] in ("LiH", "HeH+") and row.names[1:] == ("H2-1", "depolarizing"):
            bounds += [
                Bound(f"{' '.join(row.names)}: draws that claim a value", row.claimed, Side.AT_LEAST, 85, "%"),
                Bound(f"{' '.join(row.names)}: half width", row.half_width, Side.AT_MOST, 2.0, "mHa"),
            ]
    return bounds


def main() -> int:
    """Print the table of the guide and the bounds; return the exit code, 1 if one was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise", description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"of each row (default: {DRAWS})")
    options = parser.parse_args()
    print(f"machine    {machine()}")
    return conclude(noise(quick=False, most=options.draws))


if __name__ == "__main__":
    sys.exit(main())
