"""Accuracy of the algorithms and the rounds, jobs and shots that they take: each measured figure beside its bound.

Seeds are fixed, shots are drawn from state vectors, and no algorithm uses an exact value.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping

from benchmarks.accuracy_binary import cubic_graphs, recursion
from benchmarks.accuracy_calibration import calibration
from benchmarks.accuracy_energies import dihydrogen, ground_states, stretched
from benchmarks.accuracy_kinds import kinds
from benchmarks.accuracy_levels import levels_after_vqe
from benchmarks.accuracy_outside import graphs, molecules
from benchmarks.accuracy_speed import speeds
from benchmarks.accuracy_states import electrons, grown_circuits, operators
from benchmarks.accuracy_stretched import away_from_equilibrium
from benchmarks.bounds import Bound, machine
from benchmarks.noise import noise
from benchmarks.shots import shots_of_ways

# A row takes `quick` (the short form of a few seconds, which pytest runs too) and returns its figures.
ROWS: Mapping[str, Callable[[bool], list[Bound]]] = {
    "dihydrogen": dihydrogen,
    "ground-states": ground_states,
    "shots": shots_of_ways,
    "stretched": stretched,
    "away-from-equilibrium": away_from_equilibrium,
    "adapt-operators": operators,
    "adapt-shots": grown_circuits,
    "vqe-levels": levels_after_vqe,
    "other-electrons": electrons,
    "cubic-graphs": cubic_graphs,
    "recursion": recursion,
    "noise": noise,
    "further-molecules": molecules,
    "further-graphs": graphs,
    "qaoa-kinds": kinds,
    "speeds": speeds,
    "calibration": calibration,
}


def main() -> int:
    """Measure the named rows, or all; return the exit code, 1 if a bound was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few seeds and small problems: seconds a row")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    print(f"machine    {machine()}")
    bounds: list[Bound] = []
    for name in options.rows or ROWS:
        started = time.perf_counter()
        found = ROWS[name](options.quick)
        print(f"# {name}, {time.perf_counter() - started:.0f} s", *found, sep="\n", flush=True)
        bounds += found
    return 0 if all(bound.is_kept for bound in bounds) else 1


if __name__ == "__main__":
    sys.exit(main())
