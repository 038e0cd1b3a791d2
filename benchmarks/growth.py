"""Growth of time and memory with jobs a round, rounds of a run, runs in a journal, and points of a sweep.

Each size is measured in a process of its own, against one local service. The exponent of growth is the slope of the
logarithm of the time between the two largest sizes: 1 is linear. Pictures are written into a folder.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import numpy as np
import psutil

from benchmarks.bounds import Bound, Side, conclude, machine
from benchmarks.local import WORKSPACE, local_service
from benchmarks.sweep import end_at_once, own_stack
from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.journal import Journal, journal_url
from hybridloop.runtime.signals import exit_on_sigterm
from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE

TARGET = "rigetti.sim.qvm"
SHOTS = 10
JOBS = (1, 10, 100, 1_000, 10_000)
ROUNDS = (1, 10, 100, 1_000)
RUNS = (30, 100, 1_000, 10_000)
POINTS, AT_ONCE = (1, 4, 16, 60), (1, 2, 8)
LISTED, PRUNED = 20, 10  # runs
QUICK = {"jobs": JOBS[:3], "rounds": ROUNDS[:3], "runs": RUNS[:3], "points": POINTS[:2]}
LINEAR = 1.15  # exponents up to here: the speed of a machine varies
FLAT = 2.0  # times the time in the smallest journal
Figures = dict[str, float]


def session_rounds(rounds: int, jobs: int) -> Figures:
    """Measure rounds of a session in this process, after one that compiles; each has so many jobs of one point."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

    import hybridloop as hl

    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("angle"), 0)
    circuit.measure_all()
    with hl.open_session(TARGET, seed=1, batching="off") as session:
        sampler = session.sampler(shots=SHOTS)
        sampler.run([(circuit, [0.0])]).result()
        began = time.perf_counter()
        for number in range(rounds):
            sampler.run([(circuit, np.linspace(0.0, 1.0, jobs)[:, None] + number)]).result()
        return {"s": time.perf_counter() - began}


def journal_calls(path: Path, newest: int, old: int) -> Figures:
    """Measure what commands ask of a journal: a list of the newest runs, a run by its key, and pruning the old ones."""
    with Journal(journal_url(path)) as journal:
        journal.overview(limit=1)  # opens the database
        seconds = {}
        calls: dict[str, Callable[[], object]] = {
            "list": lambda: journal.overview(limit=LISTED),
            "resume": lambda: [*journal.rounds(journal.run(f"run-{newest}").uid)],
            "prune": lambda: journal.delete_runs(journal.old_runs(older_than=old)),
        }
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name] = time.perf_counter() - began
        return seconds


def sweep_points(points: int, at_once: int) -> Figures:
    """Measure a sweep on this machine, in so many processes at once."""
    import hybridloop as hl

    spec = {
        "name": f"grown-{points}-{at_once}",
        "algorithm": "vqe",
        "problems": ["h2"],
        "settings": {"precision": 0.05},
        "grid": {"seed": list(range(points))},
    }
    began = time.perf_counter()
    result = hl.sweep(spec, deployment="none", in_flight=at_once)
    if not result.is_complete:
        raise RuntimeError(f"{result.counts}")
    return {"s": time.perf_counter() - began}


def one(kind: str, sizes: Sequence[str]) -> int:
    """Measure one size in this process, and print its figures with the largest memory of it and its children."""
    numbers = [int(each) for each in sizes if each.isdigit()]
    match kind:
        case "jobs":
            figures = session_rounds(1, numbers[0])
        case "rounds":
            figures = session_rounds(numbers[0], 1)
        case "runs":
            figures = journal_calls(Path(sizes[0]), *numbers)
        case _:
            figures = sweep_points(*numbers)
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1e6 if sys.platform == "darwin" else 1e3
    print(json.dumps(figures | {"client_mb": own / unit, "process_mb": children / unit}))
    return 0


def measured(kind: str, *sizes: object, service: Emulator | None = None) -> Figures:
    """Measure one size in a process of its own, with the memory of the service at its end."""
    command = [sys.executable, "-m", "benchmarks.growth", "--one", kind, *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{kind} {sizes} ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    if service is not None:
        figures["service_mb"] = memory_mb(service.process.pid)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    named = " ".join(str(each) for each in sizes if isinstance(each, int))
    print(f"{kind:<8} {named:>11}  {shown}", flush=True)
    return figures


def memory_mb(pid: int) -> float:
    """Return the memory of a process and its children in MB."""
    process = psutil.Process(pid)
    total = 0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += each.memory_info().rss
    return total / 1e6


def exponent(by_size: dict[int, Figures], name: str) -> float:
    """Return the slope of the logarithm between the two largest sizes."""
    (small, low), (large, high) = sorted(by_size.items())[-2:]
    return math.log(high[name] / low[name]) / math.log(large / small)


def runs_of_journal(sizes: Sequence[int], folder: str) -> dict[int, Figures]:
    """Measure one journal that grows to each size; its runs have a result and no rounds."""
    path, found, made = Path(folder) / "grown.db", dict[int, Figures](), 0
    with Journal(journal_url(path), now=lambda: float(made)) as journal:  # a run a second
        for size in sizes:
            pruned = PRUNED * len(found)
            while made < size + pruned:
                order = {"settings": {"seed": made}, "run_key": f"run-{made}", "problem": {"name": "ring-8"}}
                end_at_once(journal, order)
                made += 1
            found[size] = measured("runs", path, made - 1, pruned + PRUNED)
    return found


def draw(folder: Path, name: str, axis: str, series: dict[str, dict[int, Figures]], names: Sequence[str]) -> None:
    """Write a picture over the sizes: the seconds of each series, and the memory of the last one."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    from hybridloop.reports.plots.style import BLUE, GREEN, ORANGE, RC

    memory = list(series.values())[-1]
    with rc_context(RC):
        figure = Figure(figsize=(5.4, 5.4), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        curves = [(label, each, by_size) for label, by_size in series.items() for each in names]
        for (label, each, by_size), color in zip(curves, cycle([BLUE, ORANGE, GREEN]), strict=False):
            text = label or each
            above.loglog(list(by_size), [figures[each] for figures in by_size.values()], "o-", color=color, label=text)
        places = {"client_mb": "client", "service_mb": "service", "process_mb": "process of points"}
        for (key, text), color in zip(places.items(), (BLUE, ORANGE, GREEN), strict=True):
            if all(key in figures for figures in memory.values()) and (key != "process_mb" or name == "points"):
                values = [figures[key] for figures in memory.values()]
                below.semilogx(list(memory), values, "o-", color=color, label=text)
        above.set_ylabel("seconds")
        below.set_ylabel("MB")
        below.set_ylim(bottom=0.0)
        below.set_xlabel(axis)
        for axes in (above, below):
            axes.grid(visible=True)
            axes.legend()
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        above.yaxis.set_major_formatter("{x:g}")
        above.yaxis.set_minor_formatter(NullFormatter())
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"growth-{name}.svg", metadata={"Date": None})


def main() -> int:
    """Measure, draw, print the figures, and return the exit code; on SIGTERM service and stack are stopped too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the largest sizes")
    parser.add_argument("--one", nargs="+", metavar="SIZE", help="measure one size in this process")
    parser.add_argument("--output", type=Path, default=Path("build/growth"), help="folder of the pictures")
    given = parser.parse_args()
    if given.one:
        return one(given.one[0], given.one[1:])
    with exit_on_sigterm():
        return _main(is_quick=given.quick, folder=given.output)


def _main(*, is_quick: bool, folder: Path) -> int:
    from hybridloop.azure.workspace import connection_string_of

    print(f"machine    {machine()}")
    sizes = QUICK if is_quick else {"jobs": JOBS, "rounds": ROUNDS, "runs": RUNS, "points": POINTS}
    with own_stack(), tempfile.TemporaryDirectory() as state, local_service(Path(state)) as service:
        os.environ[CONNECTION_VARIABLE] = connection_string_of(service.workspace(WORKSPACE))
        jobs = {size: measured("jobs", size, service=service) for size in sizes["jobs"]}
        rounds = {size: measured("rounds", size, service=service) for size in sizes["rounds"]}
        runs = runs_of_journal(sizes["runs"], state)
        sweeps = {
            f"{at_once} at once": {size: measured("points", size, at_once, service=service) for size in sizes["points"]}
            for at_once in AT_ONCE
        }
    draw(folder, "jobs", "jobs of a round", {"": jobs}, ["s"])
    draw(folder, "rounds", "rounds of a run", {"": rounds}, ["s"])
    draw(folder, "runs", "runs in the journal", {"": runs}, ["list", "resume", "prune"])
    draw(folder, "points", "points of a sweep", sweeps, ["s"])
    first, *_, last = runs.values()
    print(f"pictures in {folder}\n")
    return conclude(
        [
            Bound("jobs a round: exponent of time", exponent(jobs, "s"), Side.AT_MOST, LINEAR),
            Bound("jobs a round: exponent of the client's memory", exponent(jobs, "client_mb"), Side.AT_MOST, LINEAR),
            Bound("rounds: exponent of time", exponent(rounds, "s"), Side.AT_MOST, LINEAR),
            *(
                Bound(f"points, {name}: exponent of time", exponent(each, "s"), Side.AT_MOST, LINEAR)
                for name, each in sweeps.items()
            ),
            *(
                Bound(f"journal: {name}, largest / smallest", last[name] / first[name], Side.AT_MOST, FLAT)
                for name in ("list", "resume")
            ),
            Bound("journal: exponent of pruning", exponent(runs, "prune"), Side.AT_MOST, LINEAR),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
