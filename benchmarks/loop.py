"""The measured search beside other libraries: circuits, rounds and shots to the target, and the claims at the end.

A run reaches its target at the first round after which the exact energy at the optimizer's best angles is within one
target of the circuit's lowest. At its end it claims a minimum or not; a claim is right within one target.

    python -m benchmarks.loop --cases random cut --seeds 3 --optimizer rotosolve
    python -m benchmarks.loop --write            # the table of docs/benchmarks.md
    python -m benchmarks.loop --peers PYTHON     # run the other libraries again, and store their runs
    python -m benchmarks.loop --minima           # search exactly again, after a change of a circuit
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from benchmarks.accuracy_energies import CountedRounds
from benchmarks.bounds import machine
from benchmarks.exact_search import minima_near
from benchmarks.loop_cases import CHEMICAL_ACCURACY, NAMES, NOISY, LoopCase, loop_case
from hybridloop.algorithms.circuits.simulated_start import simulated_start_near
from hybridloop.algorithms.circuits.statevector import StatevectorModel
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.facts import GROUND_TOLERANCE
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.optimizers.registry import OPTIMIZERS, SearchSettings, choose_optimizer
from hybridloop.algorithms.optimizers.trust_region import TrustRegion
from hybridloop.algorithms.outcome import RoundProgress
from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.algorithms.search import DEFAULT_MAX_ROUNDS, Search
from hybridloop.algorithms.vqe.claims import MENDABLE, Claims
from hybridloop.algorithms.vqe.simulated_energy import SimulatedEnergy
from hybridloop.algorithms.vqe.vqe import vqe
from tests.algorithms.batched_state_helpers import shot_rounds

AUTO = "auto"  # the optimizer that a run without simulation would choose
SHOTS = 4000  # for each circuit, of optimizers that do not choose them
MAX_SHOTS = 30_000_000
TOLERANCE_SHARE = 1.0  # of the target: the tolerance of the optimizers that have one
PRECISION_SHARE = 0.44  # of the target: the standard error of the final measurement, as 0.7 of 1.6 mHa
MEASURED, SIMULATED = "hybridloop, measured", "hybridloop, simulated"
QUICK = ("H3+", "weighted cut of 8")
STORED = Path(__file__).parent / "data" / "loop_peers.json"
PEER_SEEDS, PEER_SECONDS = 3, 20  # of CPU time for a run
GUIDE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- table of benchmarks.loop -->", "<!-- end of the table -->"


@dataclass(frozen=True, slots=True)
class Run:
    """One run: circuits, rounds and shots to the target (None: not reached), and those of the whole run.

    `whole` ends with the search, `total` with the final measurement (None: there was none). `end` is the error at the
    end in targets, `is_claimed` true if the run says that it has converged.
    """

    case: str
    contender: str
    seed: int
    reached: Sequence[int] | None
    whole: Sequence[int]
    end: float
    is_claimed: bool
    seconds: float = 0.0
    total: Sequence[int] | None = None

    def __str__(self) -> str:
        """Return the run as a line."""
        claim = "claims" if self.is_claimed else "ends"
        measured = "" if self.total is None else f", measured after {effort(self.total)}"
        reached = "not reached" if self.reached is None else f"reached at {effort(self.reached)}"
        return (
            f"{self.case}, {self.contender}, seed {self.seed}: {reached}; {claim} at {self.end:.2f} t with "
            f"{effort(self.whole)}{measured} in {self.seconds:.1f} s"
        )


def effort(spent: Sequence[float]) -> str:
    """Return circuits/rounds/shots as text."""
    circuits, rounds, shots = spent
    return f"{circuits:.0f}/{rounds:.0f}/{shots:.1e}".replace("e+0", "e")


class OutOfShots(Exception):
    """A run asks for a round beyond `MAX_SHOTS`."""


class LimitedRounds(CountedRounds):
    """Counted rounds that end a run at `MAX_SHOTS` shots."""

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        if self.shots > MAX_SHOTS:
            raise OutOfShots
        return super().__call__(pubs)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A round's end: the best angles then, and the circuits, rounds and shots so far."""

    point: NDArray[np.float64]
    spent: tuple[int, int, int]


def scored(case: LoopCase, steps: Sequence[Step]) -> tuple[tuple[int, int, int] | None, float]:
    """Return what was spent at the first step within the target, None if no step is, and the last step's error."""
    errors = case.errors(np.array([step.point for step in steps]))
    within = np.flatnonzero(errors <= 1.0)
    return (steps[int(within[0])].spent if len(within) else None), float(errors[-1])


def make_optimizer(case: LoopCase, seed: int, name: str) -> Optimizer:
    """Return an optimizer at the case's start, with a tolerance by its target; scales are for QAOA's own one."""
    ansatz, tolerance = case.ansatz, TOLERANCE_SHARE * case.target
    if name == AUTO and case.scales is not None:
        return TrustRegion(ansatz.initial_point, ansatz.frequencies, tolerance, scales=case.scales)
    name = choose_optimizer(ansatz).name if name == AUTO else name
    spec = OPTIMIZERS[name]
    honoured = tolerance if "tolerance" in spec.honours else None
    return spec.create(name, SearchSettings(ansatz, ansatz.starts_near, seed, DEFAULT_MAX_ROUNDS, tolerance=honoured))


def limited_rounds(case: LoopCase, seed: int) -> LimitedRounds:
    """Return the case's rounds with shot noise, and gate noise if it has any."""
    return LimitedRounds(shot_rounds(seed, two_qubit_error=case.two_qubit_error))


def measured_run(case: LoopCase, seed: int, optimizer: str = AUTO) -> Run:
    """Run the search of hybridloop from the case's start without a simulation, and measure its end."""
    started, ansatz = time.perf_counter(), case.ansatz
    search, rounds = make_optimizer(case, seed, optimizer), limited_rounds(case, seed)
    steps = [Step(ansatz.initial_point, (0, 0, 0))]

    def record(progress: RoundProgress) -> None:
        if progress.phase == "search":
            circuits, count, _ = steps[-1].spent
            best = search.best
            point = steps[-1].point if best is None else best.point
            steps.append(Step(point, (circuits + progress.circuits, count + 1, progress.total_shots)))

    found = None
    with contextlib.suppress(OutOfShots):
        found = vqe(
            case.measured,
            ansatz,
            Search(search),
            rounds,
            sampling=Sampling(SHOTS, PRECISION_SHARE * case.target),
            claims=CaseClaims(case=case),
            on_progress=record,
        )
        steps.append(Step(np.array(found.parameters), steps[-1].spent))
    reached, end = scored(case, steps)
    is_claimed = found is not None and found.converged and is_bounded(case, steps[-1].point)
    total = None if found is None else (found.circuits, found.rounds, found.shots)
    label, seconds = MEASURED if optimizer == AUTO else optimizer, time.perf_counter() - started
    return Run(case.name, label, seed, reached, steps[-1].spent, end, is_claimed, seconds, total)


def claim_tolerance(case: LoopCase) -> float:
    """Return how far above the problem's lowest energy a claimed state may be, as in a run."""
    return GROUND_TOLERANCE if case.target == CHEMICAL_ACCURACY else case.target


def is_bounded(case: LoopCase, point: NDArray[np.float64]) -> bool:
    """Return whether the state at a point (n,) is as near to the problem's lowest energy as a claim needs."""
    energy = float(case.energies(point[None, :])[0])
    return case.exact is None or energy - case.exact <= claim_tolerance(case)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CaseClaims(Claims):
    """Claims by a case's exact energy; the circuit's lowest minimum stands for that near a point."""

    case: LoopCase

    def falls_short(self, point: NDArray[np.float64], residue: float, /) -> bool:
        """Return whether a search goes on, as in a run."""
        if self.case.exact is None or is_bounded(self.case, point):
            return False
        excess = float(self.case.energies(point[None, :])[0]) - self.case.exact
        return excess <= MENDABLE * residue and self.case.minimum - self.case.exact <= claim_tolerance(self.case)


def simulated_run(case: LoopCase, seed: int) -> Run:
    """Test the minimum of the circuit's simulation by a final measurement; where it fails, search from there."""
    started, model = time.perf_counter(), simulation(case.name)
    start = replace(case, ansatz=replace(case.ansatz, initial_point=model.point))
    precision, simulated = PRECISION_SHARE * case.target, SimulatedEnergy(model.energy, case.target, "")
    optimizer, rounds = make_optimizer(start, seed, AUTO), limited_rounds(case, seed)
    try:
        search, sampling = Search(optimizer), Sampling(precision=precision)
        found = vqe(case.measured, start.ansatz, search, rounds, sampling=sampling, claims=Claims(simulated))
    except OutOfShots:
        end = float(case.errors(model.point[None, :])[0])
        whole = (0, rounds.rounds, rounds.shots)
        return Run(case.name, SIMULATED, seed, None, whole, end, False, time.perf_counter() - started)  # noqa: FBT003 (a field)
    whole = (found.circuits, found.rounds, found.shots)
    end = float(case.errors(np.array([found.parameters]))[0])
    reached = whole if end <= 1.0 else None
    return Run(case.name, SIMULATED, seed, reached, whole, end, found.converged, time.perf_counter() - started)


class Simulation(NamedTuple):
    """Lowest minimum that a circuit's simulation found: angles (n,) and energy."""

    point: NDArray[np.float64]
    energy: float


@functools.cache
def simulation(name: str) -> Simulation:
    """Return the lowest minimum of the case's simulation, as a run starts from it."""
    case = loop_case(name)
    model = StatevectorModel.of(case.ansatz.circuit, case.measured.operator)
    start = None if model is None else simulated_start_near(model, case.ansatz.initial_point)
    if model is None or start is None:
        raise ValueError(f"the circuit of {name} is too large to be simulated")
    return Simulation(start.point, model.energy(start.point))


def table(runs: Sequence[Run]) -> str:
    """Return two Markdown tables: the effort to the target for each case, and the claims of contenders that make any.

    The first contender has columns for the end of its searches and for its whole runs too.
    """
    contenders = list(dict.fromkeys(run.contender for run in runs))
    heads = ["case (angles)", contenders[0], "its search's end", "whole run", *contenders[1:]]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for name in dict.fromkeys(run.case for run in runs):
        by_contender = [[run for run in runs if (run.case, run.contender) == (name, each)] for each in contenders]
        cells = [_reached(own) for own in by_contender]
        totals = [run.total for run in by_contender[0] if run.total is not None]
        cells[1:1] = [_medians([run.whole for run in by_contender[0]]), _medians(totals) if totals else "–"]
        lines.append(_row([f"{name} ({loop_case(name).ansatz.num_parameters})", *cells]))
    lines += ["", _row(["ends", "right", "1–2 t", "over 2 t", "no claim"]), _row(["---"] * 5)]
    for each in contenders:
        own = [run for run in runs if run.contender == each]
        ends = [run.end for run in own if run.is_claimed]
        right, near = sum(end <= 1 for end in ends), sum(1 < end <= 2 for end in ends)
        if ends:
            lines.append(_row([each, *map(str, (right, near, len(ends) - right - near, len(own) - len(ends)))]))
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _reached(runs: Sequence[Run]) -> str:
    """Return the median effort of the runs that reached the target, or the median error at the end."""
    if not runs:
        return "–"
    reached = [run.reached for run in runs if run.reached is not None]
    if not reached:
        return f"{statistics.median(run.end for run in runs):.1f} t"
    return _medians(reached) + f", {len(reached)} of {len(runs)}" * (len(reached) < len(runs))


def _medians(spent: Sequence[Sequence[int]]) -> str:
    return effort([statistics.median(column) for column in zip(*spent, strict=True)])


def stored_runs() -> list[Run]:
    """Return the other libraries' runs."""
    rows: list[dict[str, Any]] = json.loads(STORED.read_text())
    return [Run(**row) for row in rows]


def store_peer_runs(python: str, names: Sequence[str]) -> None:
    """Run the other libraries in the given Python, and store a run a line."""
    asked = {"works": [loop_case(name).work() for name in names], "seeds": PEER_SEEDS, "seconds": PEER_SECONDS}
    command = [python, "-m", "benchmarks.loop_peers"]
    answer = subprocess.run(command, input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True)
    STORED.write_text("[\n" + ",\n".join(answer.stdout.splitlines()) + "\n]\n")


def with_table(text: str, tables: str) -> str:
    """Return the guide's text with the tables between its two markers."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.split(END)[1]}"


def main() -> int:
    """Run the cases asked for, a line each, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=[], help="parts of their names; all by default")
    parser.add_argument("--seeds", type=int, default=5, help="how often each is run")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--optimizer", default=AUTO, help="one for all cases")
    parser.add_argument("--minima", action="store_true", help="print the lowest energies of the circuits")
    parser.add_argument("--quick", action="store_true", help="one seed of two small cases")
    parser.add_argument("--write", action="store_true", help="write the tables into the guide")
    parser.add_argument("--peers", metavar="PYTHON", help="run the other libraries in their environment")
    asked = parser.parse_args()
    names = [name for name in NAMES if not asked.cases or any(part in name for part in asked.cases)]
    if asked.minima:
        for case in (loop_case(name) for name in names if name != NOISY):
            print(case.name, minima_near(case.energy_and_gradient, case.ansatz.initial_point)[0])
        return 0
    if asked.peers:
        store_peer_runs(asked.peers, names)
        return 0
    print(machine())
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    if asked.quick:
        names, seeds = list(QUICK), seeds[:1]
    runs = []
    for name, seed in itertools.product(names, seeds):
        runs.append(measured_run(loop_case(name), seed, asked.optimizer))
        print(runs[-1], flush=True)
    stored = [run for run in stored_runs() if run.case in names]
    simulated = [simulated_run(loop_case(name), seed) for name, seed in itertools.product(names, seeds)]
    tables = table([*runs, *stored, *simulated])
    print(f"\n{tables}")
    if asked.write:
        GUIDE.write_text(with_table(GUIDE.read_text(), tables))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
