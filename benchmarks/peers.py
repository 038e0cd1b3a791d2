"""Comparison of QAOA with other libraries at their defaults: rounds, jobs, shots, cuts, time."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_aer.primitives import SamplerV2

from benchmarks.bounds import machine
from hybridloop.algorithms.problems.binary import max_cut
from hybridloop.algorithms.problems.graphs import graph_from_edges
from hybridloop.algorithms.qaoa.circuit import qaoa_circuit
from hybridloop.algorithms.qaoa.search import qaoa
from hybridloop.algorithms.rounds import MeasuredPub, RunRound, run_round_from_sampler
from hybridloop.data import load_table

OTHERS = Path(__file__).with_name("peers_libraries.py")
CUT_SHOTS = 1000
EDGES = ((0, 1), (0, 3), (0, 4), (1, 4), (1, 7), (2, 3), (2, 5), (2, 6), (3, 7), (4, 6), (5, 6), (5, 7))
BEST_CUT = 10  # by brute force
LAYERS = 2
OURS = "hybridloop"

Row = dict[str, Any]


class Counting:
    """Rounds on Aer with a new seed for each, counted with their circuits and shots."""

    def __init__(self, seed: int) -> None:
        self._draws = np.random.default_rng(seed)
        self.rounds = self.jobs = self.shots = 0

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        run: RunRound = run_round_from_sampler(SamplerV2(seed=int(self._draws.integers(2**31))))
        self.rounds += 1
        self.jobs += sum(pub.size for pub in pubs)
        self.shots += sum(pub.size * int(pub.shots) for pub in pubs)
        return run(pubs)

    @property
    def counted(self) -> Row:
        return {"rounds": self.rounds, "jobs": self.jobs, "shots": self.shots}


def cut_work(name: str, seeds: Sequence[int]) -> tuple[dict[str, Any], list[Row]]:
    """Return the max-cut work of a cubic graph of eight nodes; others minimize the negative cut, as a sum of ZZ."""
    terms = [["".join("Z" if q in edge else "I" for q in reversed(range(8))), 0.5] for edge in EDGES]
    work = {
        "name": name,
        "edges": [[*edge, 1.0] for edge in EDGES],
        "reps": LAYERS,
        "terms": [*terms, ["I" * 8, -len(EDGES) / 2]],
        "shots": CUT_SHOTS,
        "seeds": list(seeds),
    }
    problem = max_cut(graph_from_edges(8, [(*edge, 1.0) for edge in EDGES]))
    circuit = qaoa_circuit(problem, load_table("qaoa_angles")["3-regular"], layers=LAYERS)

    def ours(seed: int) -> Row:
        counting = Counting(seed)
        found = qaoa(circuit, counting, shots=CUT_SHOTS)
        return counting.counted | {"value": -found.value, "best": found.best_bitstring}

    return work, [{"work": name, "library": OURS, "seed": seed, **timed(partial(ours, seed))} for seed in seeds]


def timed(run: Callable[[], Row]) -> Row:
    """Return the row with its elapsed seconds."""
    started = time.perf_counter()
    row = run()
    return row | {"wall_s": time.perf_counter() - started}


def scored(row: Row) -> Row:
    """Return the row with its cuts as ratios to the best."""
    if "failed" in row:
        return row
    bits = row.get("best")
    seen = None if bits is None else sum(bits[-1 - a] != bits[-1 - b] for a, b in EDGES) / BEST_CUT
    return row | {"reported": -row["value"] / BEST_CUT, "found": seen}


def table(rows: Sequence[Row], work: Mapping[str, Any]) -> str:
    """Return a Markdown table: medians over the seeds, and the range of the errors."""
    lines = [
        f"| {work['name']} | rounds | jobs | shots | mean cut reported / best | best cut sampled | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for library in dict.fromkeys(row["library"] for row in rows):
        own = [row for row in rows if row["library"] == library]
        done = [row for row in own if "failed" not in row]
        if not done:
            lines.append(f"| {library} | {own[0]['failed'].splitlines()[0][:80]} | | | | | |")
            continue
        middle = [statistics.median(row[key] for row in done) for key in ("rounds", "jobs", "shots", "wall_s")]
        errors = [_span([row[key] for row in done if row[key] is not None]) for key in ("reported", "found")]
        lines.append(
            f"| {library} | {middle[0]:.0f} | {middle[1]:.0f} | {middle[2]:.1e} | {errors[0]} | {errors[1]} "
            f"| {middle[3]:.1f} |"
        )
    return "\n".join(lines)


def _span(values: Sequence[float]) -> str:
    if not values:
        return "–"
    least, most = f"{min(values):.2f}", f"{max(values):.2f}"
    return least if least == most else f"{least} … {most}"


def main() -> int:
    """Run hybridloop, then the other libraries in the given Python, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="of an environment with the other libraries")
    parser.add_argument("--seeds", type=int, default=3, help="how often each is run")
    asked = parser.parse_args()
    seeds = range(asked.seeds)
    print(machine())
    work, rows = cut_work(f"max-cut of 8 nodes, {LAYERS} layers", seeds)
    answer = subprocess.run(
        [asked.python, str(OTHERS)], input=json.dumps([work]), stdout=subprocess.PIPE, text=True, check=True
    )
    rows += json.loads(answer.stdout)
    print("\n" + table([scored(row) for row in rows], work))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
