"""Load test of the local service: jobs per second with many clients, and the cost of a job late in a long session."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from qiskit.primitives.containers.sampler_pub import SamplerPub

from benchmarks.bare import BareClient
from benchmarks.bounds import Bound, Side, conclude, machine
from benchmarks.local import WORKSPACE, local_service
from benchmarks.submission import ANGLES, QUBITS, SHOTS, TARGET, ansatz, straight_on_aer
from hybridloop.compiler.programs import PubCompiler
from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.runtime.signals import exit_on_sigterm
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Batching, find_target
from hybridloop.tasks.submission.job_ids import RoundKey
from hybridloop.tasks.submission.jobs import JobSpec, build_jobs
from tests.session_helpers import open_run_session

THREADS = (1, 8, 32)
JOBS = 320  # for each number of threads
ROUND, EDGE = 100, 500  # jobs of a round; jobs at each end of the long session that are compared
STARTS = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds per job: CPU time of the client and of the service (without its workers), and elapsed time."""

    client: float
    service: float
    wall: float

    def __str__(self) -> str:
        return f"client {self.client:5.2f}, service {self.service:5.2f}, wall {self.wall:6.2f}"


def main() -> int:
    """Measure, print the figures, and return the exit code; on SIGTERM the service is ended too."""
    with exit_on_sigterm():
        return _main()


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 jobs in the long session in place of 10,000")
    jobs = 2_000 if parser.parse_args().quick else 10_000
    print(f"machine    {machine()}")
    print(f"circuit    {QUBITS} qubits, {ANGLES} angles, {SHOTS} shots, on {TARGET}; other angles for each job")
    with local_service() as service:
        print_throughput(service)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        with local_service(state) as service:
            first, last = long_session(service, jobs)
        stored = statistics.median(ready_seconds(state) for _ in range(STARTS))
        empty = statistics.median(ready_seconds(Path(folder) / f"empty-{n}") for n in range(STARTS))
    print(f"\nmilliseconds per job in one session, rounds of {ROUND}")
    print(f"  the first {EDGE:<24} {first}")
    print(f"  the last {EDGE} of {jobs:<16,} {last}")
    print(
        f"\nseconds from the start of the service to its ready line: {empty:.2f} with nothing stored, "
        f"{stored:.2f} with {jobs:,} jobs\n"
    )
    return conclude(
        [
            Bound("client's time per job, last / first", last.client / first.client, Side.AT_MOST, 1.3),
            Bound("service's time per job, last / first", last.service / first.service, Side.AT_MOST, 1.3),
            Bound("start with stored jobs, above an empty one", stored - empty, Side.AT_MOST, 1.0, "s"),
        ]
    )


def print_throughput(service: Emulator) -> None:
    """Print jobs per second from submission to result, and those of the simulator alone."""
    rng = np.random.default_rng(7)
    client = BareClient(service, find_target(TARGET))
    each_alone(client, specs(rng, 64), 8)  # connections, and the service's second worker
    on_aer = straight_on_aer(ansatz())
    on_aer(rng.uniform(-np.pi, np.pi, (JOBS, ANGLES)))
    print("\njobs per second, from submission to result")
    for threads in THREADS:
        taken = each_alone(client, specs(rng, JOBS), threads)
        print(f"  {f'{threads} client thread' + 's' * (threads > 1):<34} {JOBS / taken:8.1f}")
    print(
        f"  {'bare Aer, one thread':<34} {JOBS / on_aer(rng.uniform(-np.pi, np.pi, (JOBS, ANGLES))):8.1f}", flush=True
    )
    client.close()


def specs(rng: np.random.Generator, jobs: int) -> list[JobSpec]:
    """Return jobs of the circuit, each at other angles."""
    target = find_target(TARGET)
    pub = SamplerPub.coerce((ansatz(), rng.uniform(-np.pi, np.pi, (jobs, ANGLES))), SHOTS)
    program = PubCompiler(target.profile).compile_pub(pub)
    place = RoundKey(str(uuid.uuid4()), "bare", 0)
    return build_jobs(place, [program], [SHOTS], target, seed=0)[1]


def each_alone(client: BareClient, jobs: Sequence[JobSpec], threads: int) -> float:
    """Return the seconds until all jobs have results, each submitted, awaited and read by itself."""
    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        results = list(pool.map(client.job, jobs))
        taken = time.perf_counter() - started
    if not all(results):
        raise RuntimeError("a job came back without a result")
    return taken


def long_session(service: Emulator, jobs: int) -> tuple[Cost, Cost]:
    """Return the costs of the first and of the last jobs of one long session."""
    rng = np.random.default_rng(11)
    circuit = ansatz()
    process = psutil.Process(service.process.pid)
    costs: list[Cost] = []
    with open_run_session(
        service.workspace(WORKSPACE), TARGET, SessionOptions(batching=Batching.OFF), name="warm", seed=0
    ) as warm:
        for _ in range(3):
            warm.run_round([SamplerPub.coerce((circuit, rng.uniform(-np.pi, np.pi, (ROUND, ANGLES))), SHOTS)])
    with open_run_session(
        service.workspace(WORKSPACE), TARGET, SessionOptions(batching=Batching.OFF), name="long", seed=0
    ) as session:
        for _ in range(jobs // ROUND):
            pub = SamplerPub.coerce((circuit, rng.uniform(-np.pi, np.pi, (ROUND, ANGLES))), SHOTS)
            before = (time.process_time(), _seconds(process), time.perf_counter())
            session.run_round([pub])
            after = (time.process_time(), _seconds(process), time.perf_counter())
            costs.append(Cost(*(1e3 * (b - a) / ROUND for a, b in zip(before, after, strict=True))))
    rounds = EDGE // ROUND
    return _mean(costs[:rounds]), _mean(costs[-rounds:])


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()  # of the service itself: its workers are processes of their own
    return float(times.user + times.system)


def _mean(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.fmean(getattr(cost, name) for cost in costs) for name in ("client", "service", "wall")))


def ready_seconds(state: Path) -> float:
    """Return the seconds until the service is ready on the given state."""
    started = time.perf_counter()
    with local_service(state):
        return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
