"""VQE away from equilibrium: energies and claims of convergence for stretched molecules and spin models.

The systems are in `tests/data/away_from_equilibrium.json`, in two halves: those of the half "tuning" may be used to
choose rules of a search, those of the half "held out" only to judge them. All systems of a molecule and its ions are in
the same half; the spin models held out are larger or have further terms. The state that a run should find is the lowest
one with the problem's electrons and spin, or a Pauli sum's lowest one.

One search per system and seed, with the default settings:

    python -m benchmarks.accuracy_stretched --only NaH --seeds 2 --half tuning
    python -m benchmarks.accuracy_stretched --set ansatz=hardware-efficient --only Heisenberg --runs
    python -m benchmarks.accuracy_stretched --references      # search exactly again, after a change of a circuit

`OMP_NUM_THREADS=1` is faster with more than one process.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

from benchmarks.accuracy_energies import CHEMICAL_ACCURACY_MHA, DATA, MHA, CountedRounds, fcidump, percent
from benchmarks.bounds import Bound, Side, conclude
from benchmarks.exact_search import search_exactly
from hybridloop.algorithms.outcome import RoundProgress
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.exact import exact_energy_of_spin
from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import AnsatzName, ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.preparation_helpers import prepare_vqe, settings_for

FILE = DATA / "away_from_equilibrium.json"
TUNING, HELD_OUT = "tuning", "held out"
AT_EQUILIBRIUM = {  # with the mean of shots (million) that a run took by the search rules 2
    "H2_0.735": 0.299,
    "HeH+_0.7743": 0.301,
    "LiH_1.595_fc": 2.17,
    "H3+_0.9": 1.329,
    "H2_0.74_6-31g": 1.675,
    "Li2_2.67_cas2e4o": 0.179,
    "BeH+_1.31_fc": 2.142,
    "OH-_0.97_fc": 2.734,
    "BH_1.23_fc": 6.404,
}
NO_SEARCH = ("LiH 3.0 triplet",)  # Hartree-Fock is exact: without a named circuit it is answered without a job
QUICK = ("HF 2.0", "LiH 3.0 triplet", "H3 1.6 doublet", "B2 2.4 triplet")
MAX_JOBS = 20_000  # a run that wants more is stopped; it claims nothing


class JobLimitReached(Exception):
    """A run asks for more than `MAX_JOBS` jobs."""


class LimitedRounds(CountedRounds):
    """Counted rounds that end a run at `MAX_JOBS` jobs."""

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        if self.jobs > MAX_JOBS:
            raise JobLimitReached
        return super().__call__(pubs)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: errors of its value and of the exact energy at its angles, and its standard error, in mHa.

    A run that was refused or stopped claims nothing; `found` is NaN if it reported no angles.
    """

    system: str
    seed: int
    is_claimed: bool
    error: float
    found: float
    sigma: float
    rounds: int
    jobs: int
    shots: int
    seconds: float
    reason: str

    @property
    def is_found(self) -> bool:
        """True if the exact energy at the angles is within chemical accuracy of the state."""
        return abs(self.found) <= CHEMICAL_ACCURACY_MHA

    @property
    def deviation(self) -> float:
        """The reported value's error in standard errors."""
        return abs(self.error) / self.sigma


@functools.cache
def systems() -> Mapping[str, Any]:
    """Return the systems' half, problem text and searched energies by name."""
    found: dict[str, Any] = json.loads(FILE.read_text())["systems"]
    return found


def prepared_system(name: str, seed: int, settings: VqeSettings) -> tuple[PreparedVqe, float]:
    """Return the VQE of a system of the file or of the reference tables, and the energy of the state asked for."""
    text = systems()[name]["text"] if name in systems() else fcidump(name)
    if name in NO_SEARCH and settings.ansatz is AnsatzName.AUTO:
        settings = settings.model_copy(update={"ansatz": AnsatzName.UCCSD})
    prepared = prepare_vqe(ProblemText(name=name, text=text), settings, seed)
    problem = prepared.problem
    if isinstance(problem, ElectronicProblem):
        return prepared, exact_energy_of_spin(problem.molecule)
    energy = problem.exact_ground_energy()
    assert energy is not None  # at most 6 qubits
    return prepared, energy


def measure_run(name: str, seed: int, settings: VqeSettings) -> Run:
    """Run one search with shots drawn, and compare it with the state asked for."""
    started, counted = time.perf_counter(), LimitedRounds(shot_rounds(seed))
    history: list[RoundProgress] = []
    try:
        prepared, exact = prepared_system(name, seed, settings)
    except InputError as error:
        unknown = (np.nan, np.nan, np.nan)
        return Run(name, seed, False, *unknown, 0, 0, 0, 0.0, f"refused: {error}")  # noqa: FBT003 (a field)
    try:
        outcome = prepared.measure(counted, history.append)
    except JobLimitReached:
        last = history[-1]
        value, sigma, point, is_claimed, reason = last.value, last.standard_error, last.point, False, "stopped"
    else:
        value, sigma, point = outcome.value, outcome.standard_error, outcome.parameters
        is_claimed, reason = outcome.converged, outcome.reason
    state = Statevector(prepared.ansatz.circuit.assign_parameters(np.array(point)))
    found = float(state.expectation_value(prepared.energy.observable.operator).real)
    errors = ((value - exact) / MHA, (found - exact) / MHA, sigma / MHA)
    seconds = time.perf_counter() - started
    return Run(name, seed, is_claimed, *errors, counted.rounds, counted.jobs, counted.shots, seconds, reason)


def measure_runs(names: Iterable[str], seeds: int, settings: VqeSettings, processes: int) -> list[Run]:
    """Measure each system with seeds 0, 1, …, in this process or in others."""
    cases = [(name, seed, settings) for name in names for seed in range(seeds)]
    if processes == 1:
        return [measure_run(*case) for case in cases]
    return list(_pool(processes).map(measure_run, *zip(*cases, strict=True)))


@functools.cache
def _pool(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, get_context("spawn"))  # a fork of a process with threads may hang


def searched(name: str, settings: VqeSettings) -> list[float]:
    """Return the errors (mHa) at the ends of the exact searches: from the file, or by searching with another circuit.

    Empty if there is no circuit.
    """
    try:
        prepared, exact = prepared_system(name, 0, settings)
    except InputError:
        return []
    stored = systems()[name].get("searched", {})
    if stored.get("circuit") == _circuit(prepared):
        return list(stored["errors_mha"])
    return [(energy - exact) / MHA for energy in search_exactly(prepared.ansatz, prepared.energy.observable.operator)]


def _circuit(prepared: PreparedVqe) -> str:
    """Return a label of the circuit, to notice a change."""
    ansatz = prepared.ansatz
    return f"{ansatz.name}, {ansatz.num_parameters} angle(s), {ansatz.circuit.size()} gates"


def write_references(settings: VqeSettings) -> None:
    """Search each system exactly where its circuit has changed, and write the errors to the file."""
    document = json.loads(FILE.read_text())
    for name, system in document["systems"].items():
        if errors := searched(name, settings):
            prepared, _ = prepared_system(name, 0, settings)
            system["searched"] = {"circuit": _circuit(prepared), "errors_mha": [round(error, 4) for error in errors]}
            print(f"{name:28} {nearest(errors):9.3f} mHa  {system['searched']['circuit']}", flush=True)
            FILE.write_text(json.dumps(document, indent=0, ensure_ascii=False) + "\n")  # kept if the next is broken off


def nearest(errors: Sequence[float]) -> float:
    """Return the error nearest to 0; infinite if there is none."""
    return min(errors, key=abs, default=np.inf)


def claims(runs: Sequence[Run], label: str, least: float) -> list[Bound]:
    """Compare the claims of convergence with the truth: none is false, and of good runs at least `least` % claim."""
    claimed = [run for run in runs if run.is_claimed]
    far = sum(abs(run.error) > max(CHEMICAL_ACCURACY_MHA, 4 * run.sigma) for run in claimed)
    beyond = percent([run.deviation > 3 for run in claimed]) if claimed else 0.0
    false = sum(not run.is_found for run in claimed)
    good = [run.is_claimed for run in runs if run.is_found]
    return [
        Bound(f"{label}: claims beyond 1.6 mHa and 4 sigma", far, Side.AT_MOST, 0),
        Bound(f"{label}: claims beyond 3 sigma", beyond, Side.AT_MOST, 1, "%"),
        Bound(f"{label}: claims, angles off by 1.6 mHa", false, Side.AT_MOST, 0),
        Bound(f"{label}: of runs within 1.6 mHa, claimed", percent(good) if good else 0.0, Side.AT_LEAST, least, "%"),
    ]


def figures(runs: Sequence[Run], label: str, settings: VqeSettings) -> list[Bound]:
    """Compare the claims, and the systems found with those that exact searches find."""
    by_name = _by_name(runs)
    reachable = [name for name in by_name if abs(nearest(searched(name, settings))) <= CHEMICAL_ACCURACY_MHA]
    ends = [abs(_median(by_name[name])) <= CHEMICAL_ACCURACY_MHA for name in reachable]
    found = percent(ends) if ends else 0.0
    return [*claims(runs, label, 75), Bound(f"{label}: systems found of {len(ends)}", found, Side.AT_LEAST, 85, "%")]


def away_from_equilibrium(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Measure all systems with five seeds, and molecules at equilibrium, of which nearly all runs claim."""
    settings = VqeSettings()
    if quick:
        return figures(measure_runs(QUICK, 1, settings, processes=1), "stretched", settings)
    runs = measure_runs(systems(), 5, settings, processes=2)
    held_out = [run for run in runs if systems()[run.system]["half"] == HELD_OUT]
    equilibrium = measure_runs(AT_EQUILIBRIUM, 5, settings, processes=2)
    return [
        *figures(runs, "stretched", settings),
        *figures(held_out, "stretched, held out", settings),
        *at_equilibrium(equilibrium),
    ]


def at_equilibrium(runs: Sequence[Run]) -> list[Bound]:
    """Compare the claims at equilibrium, and the shots with those by the search rules 2, averaged over molecules."""
    ratios = [np.mean([run.shots / 1e6 for run in own]) / AT_EQUILIBRIUM[name] for name, own in _by_name(runs).items()]
    label = "at equilibrium"
    return [
        *claims(runs, label, 95),
        Bound(f"{label}: shots by those of rules 2", float(np.mean(ratios)), Side.AT_MOST, 1.15),
    ]


def _by_name(runs: Iterable[Run]) -> dict[str, list[Run]]:
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        grouped.setdefault(run.system, []).append(run)
    return grouped


def _median(runs: Sequence[Run]) -> float:
    """Return the median of the runs' errors at their angles; infinite if one has none."""
    return float(np.nan_to_num(np.median([run.found for run in runs]), nan=np.inf))


HEADER = (
    f"{'system':28} claims    found:  worst   worst  sigma rounds   jobs  shots   time  exact search\n"
    f"{'':28}          median    found   sigmas    mHa            million    s    nearest, lowest"
)


def table_row(name: str, runs: Sequence[Run], errors: Sequence[float]) -> str:
    """Return a system's line of the table: medians over its runs, the worst error, and the last run's reason."""

    def median(value: Callable[[Run], float]) -> float:
        return float(np.median([value(run) for run in runs]))

    false = sum(run.is_claimed and not run.is_found for run in runs)
    worst, lowest = max((run.found for run in runs), key=abs), min(errors, default=np.inf)
    return (
        f"{name:28} {sum(run.is_claimed for run in runs)}/{len(runs)}{f' {false}!' if false else '   '}"
        f"{median(lambda run: run.found):9.2f} {worst:9.2f} {max(run.deviation for run in runs):7.1f} "
        f"{median(lambda run: run.sigma):6.2f} {median(lambda run: run.rounds):5.0f} "
        f"{median(lambda run: run.jobs):7.0f} {median(lambda run: run.shots / 1e6):6.2f} "
        f"{median(lambda run: run.seconds):5.1f} {nearest(errors):9.2f} {lowest:8.2f}  {runs[-1].reason[:90]}"
    )


def main() -> int:
    """Measure the chosen systems, print a table and the figures; return the exit code, 1 if a bound was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy_stretched", description=__doc__.split("\n")[0])
    parser.add_argument("--only", action="append", metavar="TEXT", help="systems whose name contains the text")
    parser.add_argument("--half", choices=(TUNING, HELD_OUT), help="default: both")
    parser.add_argument("--equilibrium", action="store_true", help="the molecules at equilibrium instead")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of vqe")
    parser.add_argument("--runs", action="store_true", help="print each run too")
    parser.add_argument("--save", metavar="FILE", help="append the runs as JSON lines")
    parser.add_argument("--references", action="store_true", help="search exactly again where a circuit changed")
    options = parser.parse_args()
    settings = settings_for("vqe", dict(pair.split("=", 1) for pair in options.set))
    assert isinstance(settings, VqeSettings)
    if options.references:
        write_references(settings)
        return 0
    half = [name for name, system in systems().items() if options.half in (None, system["half"])]
    names = list(AT_EQUILIBRIUM) if options.equilibrium else half
    names = [name for name in names if not options.only or any(text in name for text in options.only)]
    if not names:
        parser.error("no such system")
    runs, lines = list[Run](), [HEADER]
    print(HEADER)
    for name in names:
        measured = measure_runs([name], options.seeds, settings, options.processes)
        runs += measured
        lines.append(table_row(name, measured, [] if options.equilibrium else searched(name, settings)))
        print(lines[-1], *(f"    {run}" for run in measured if options.runs), sep="\n", flush=True)
        if options.save:
            with open(options.save, "a") as file:
                file.writelines(json.dumps(dataclasses.asdict(run)) + "\n" for run in measured)
    if options.processes > 1:
        _pool(options.processes).shutdown()
    label = options.half or "all"
    return conclude(at_equilibrium(runs) if options.equilibrium else figures(runs, label, settings))


if __name__ == "__main__":
    sys.exit(main())
