"""SQD beside qiskit-addon-sqd and classical subspaces: the same samples, and the same number of determinants."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bounds import machine
from hybridloop.algorithms.estimation.configurations import Samples
from hybridloop.algorithms.outcome import RoundLog
from hybridloop.algorithms.rounds import run_round_from_sampler
from hybridloop.algorithms.sqd.comparison import compare_with_classical
from hybridloop.algorithms.sqd.diagonalization import Batch, diagonalize_samples
from hybridloop.algorithms.sqd.full_space import solve_in_turn
from hybridloop.algorithms.sqd.product_spaces import StringLimits
from hybridloop.algorithms.steps import compute_each
from hybridloop.descriptions.sqd import SqdSettings
from hybridloop.inputs.problem_objects.geometry_options import GeometryOptions
from hybridloop.inputs.problems import read_problem
from hybridloop.preparation import prepare
from hybridloop.preparation.sqd import PreparedSqd

OTHER = Path(__file__).with_name("peers_sqd.py")
OURS = "hybridloop"
FLIPPED = 0.01  # of the bits, in the noisy form: that of a gate model's readout
PROBLEMS: Mapping[str, tuple[str, tuple[int, int] | None]] = {
    "N2, 1.1 Å (10e,8o)": ("N 0 0 0; N 0 0 1.1", (10, 8)),
    "N2, 1.6 Å (10e,8o)": ("N 0 0 0; N 0 0 1.6", (10, 8)),
    "H8, 1.0 Å": ("; ".join(f"H 0 0 {i}" for i in range(8)), None),
    "H10, 1.0 Å": ("; ".join(f"H 0 0 {i}" for i in range(10)), None),
}

Row = dict[str, Any]


def sampled(name: str) -> tuple[PreparedSqd, Samples]:
    """Return the prepared run of a problem, and its samples of Aer."""
    from qiskit_aer.primitives import SamplerV2

    geometry, space = PROBLEMS[name]
    run = prepare("sqd", read_problem(geometry, GeometryOptions()), SqdSettings(active_space=space, seed=7), 7)
    assert isinstance(run.algorithm, PreparedSqd)
    return run.algorithm, run.algorithm.measure(run_round_from_sampler(SamplerV2(seed=7)), lambda _: None)


def noisy(samples: Samples, rate: float) -> Samples:
    """Return the samples with each occupation flipped at a rate."""
    rows = np.repeat(samples.occupied, samples.shots, axis=0)
    rows = rows ^ (np.random.default_rng(5).random(rows.shape) < rate).astype(np.uint8)
    outcomes, shots = np.unique(rows, axis=0, return_counts=True)
    return Samples(outcomes, shots.astype(np.int64), samples.electrons)


def ours(run: PreparedSqd, samples: Samples, most: int, seeds: Sequence[int]) -> Iterator[Row]:
    """Yield a row for each seed; the memory is that of the process so far."""
    molecule = run.problem.molecule
    for seed in seeds:
        bounds, log = replace(run.bounds, max_subspace=most, seed=seed), RoundLog(lambda _: None)
        started = time.perf_counter()
        solve = solve_in_turn(molecule, run.full)
        found = diagonalize_samples(samples, molecule, solve, bounds, compute_each, log, np.zeros(0))
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        best = found.best
        yield {
            **{"library": OURS, "seed": seed, "energy": best.energy, "determinants": best.determinants},
            **{"wall_s": seconds, "memory_mb": memory},
        }


def theirs(python: str, run: PreparedSqd, samples: Samples, most: int, seeds: Sequence[int]) -> list[Row]:
    """Return the rows of qiskit-addon-sqd, whose subspaces are products of as many strings as fit."""
    molecule = run.problem.molecule
    work = {
        "one_body": molecule.one_body.tolist(),
        "two_body": molecule.two_body.tolist(),
        "core_energy": molecule.core_energy,
        "electrons": molecule.electrons,
        "norb": molecule.norb,
        "occupied": samples.occupied.tolist(),
        "shots": samples.shots.tolist(),
        "strings": StringLimits.of(molecule, most).alpha,
        "per_batch": int(samples.shots.sum()) // run.bounds.batches,
        "batches": run.bounds.batches,
        "iterations": run.bounds.iterations,
        "seeds": list(seeds),
    }
    done = subprocess.run([python, str(OTHER)], input=json.dumps(work), capture_output=True, text=True)
    if done.returncode:
        return [{"library": "qiskit-addon-sqd", "failed": done.stderr.strip().splitlines()[-1]}]
    rows: list[Row] = json.loads(done.stdout)
    return rows


def table(title: str, rows: Sequence[Row], exact: float) -> str:
    """Return a Markdown table: the range of errors over the seeds, and medians."""
    lines = [f"| {title} | determinants | error, mHa | seconds | memory, MB |", "| --- | --- | --- | --- | --- |"]
    for library in dict.fromkeys(row["library"] for row in rows):
        own = [row for row in rows if row["library"] == library]
        if "failed" in own[0]:
            lines.append(f"| {library} | {own[0]['failed'][:80]} | | | |")
            continue
        errors = [1e3 * (row["energy"] - exact) for row in own]
        span = f"{min(errors):.2f}" if max(errors) - min(errors) < 0.005 else f"{min(errors):.2f} … {max(errors):.2f}"
        middle = [
            "–" if own[0].get(key) is None else f"{statistics.median(row[key] for row in own):,.{digits}f}"
            for key, digits in (("wall_s", 1), ("memory_mb", 0))
        ]
        lines.append(
            f"| {library} | {max(row['determinants'] for row in own):,} | {span} | {middle[0]} | {middle[1]} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Print a table for each problem, without and with noise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", help="of an environment with qiskit-addon-sqd; left out, it is not compared")
    parser.add_argument("--seeds", type=int, default=3, help="how often each is run on the same samples")
    parser.add_argument("--only", default="", help="problems whose name contains this")
    asked = parser.parse_args()
    seeds = range(asked.seeds)
    print(machine())
    for name in (name for name in PROBLEMS if asked.only in name):
        run, clean = sampled(name)
        exact, most = run.facts.exact(), run.bounds.max_subspace
        assert exact is not None
        for rate in (0.0, FLIPPED):
            samples = noisy(clean, rate)
            rows = list(ours(run, samples, most, seeds))
            if asked.python:
                rows += theirs(asked.python, run, samples, most, seeds)
            best = Batch(1, exact, most, None, 0.0)  # of which the comparison takes the size alone
            for space in compare_with_classical(run.problem.molecule, run.full, best, compute_each):
                rows.append({"library": space.name, "energy": space.energy, "determinants": space.determinants})
            share = f"{most / len(run.full.diagonal):.0%}" if run.full is not None else "?"
            noise = f"{FLIPPED:.0%} of the bits flipped" if rate else "no noise"
            print(f"\n{table(f'{name}, {share} of the space, {noise}', rows, exact)}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
