"""A service that is far away: every call takes 0.3 s longer, once without a limit of calls a second, then with one.

Rounds of different sizes and the SDK's own loop alternate on one local service. A limit's ideal is the time in which
it lets the calls through that a round needs without any refused one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from azure.quantum.qiskit import AzureQuantumProvider
from qiskit.transpiler.passes import RemoveBarriers

from benchmarks.bounds import Bound, Side, conclude, machine
from benchmarks.local import WORKSPACE, local_service
from benchmarks.submission import ANGLES, Measure, ansatz, naive_loop, our_rounds
from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.runtime.signals import exit_on_sigterm
from tests.session_helpers import open_run_session

TARGET, BATCHED_TARGET = "ionq.simulator", "rigetti.sim.qvm"
SLOWER_S = 0.3
CALLS_PER_JOB, PAGE = 4, 100
JOBS = (1, 128, 1024)
MOST = {128: 2.5, 1024: 12.0}  # times the round of one job
BATCHED_POINTS, MOST_BATCHED = 128, 1.5
LIMITS, LIMITED_JOBS = (20, 100), 128
MOST_OF_IDEAL = 1.3
SDK_JOBS, LEAST_OF_SDK = 3, 50.0


def seconds(measure: Measure, jobs: int, turns: int) -> float:
    """Return the median time of a round of so many jobs."""
    rng = np.random.default_rng(jobs)
    return statistics.median(measure(rng.uniform(-np.pi, np.pi, (jobs, ANGLES))) for _ in range(turns))


def set_faults(service: Emulator, *rules: dict[str, Any]) -> None:
    """Make every call slower, besides other faults."""
    service.admin("faults", {"rules": [*rules, {"fault": "slow-answer", "seconds": SLOWER_S}]})


def calls_of(jobs: int) -> int:
    """Return the calls that a round needs: those of its jobs, and one list of them."""
    return CALLS_PER_JOB * jobs + -(-jobs // PAGE)


def main() -> int:
    """Measure, print the figures, and return the exit code; on SIGTERM the service is ended too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.far", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one turn in place of three, without the largest round")
    is_quick = parser.parse_args().quick
    turns, sizes = (1, JOBS[:2]) if is_quick else (3, JOBS)
    print(f"machine    {machine()}")
    with exit_on_sigterm(), local_service() as service, ExitStack() as held:
        return conclude([*unlimited(service, sizes, turns, held), batched(service, turns), *limited(service, turns)])


def unlimited(service: Emulator, sizes: Sequence[int], turns: int, held: ExitStack) -> list[Bound]:
    """Compare rounds with one another and with the SDK's loop."""
    circuit = RemoveBarriers()(ansatz())  # the SDK sends them along, and IonQ's targets refuse them
    session = held.enter_context(open_run_session(service.workspace(WORKSPACE), TARGET, name="far", seed=0))
    backend = AzureQuantumProvider(service.workspace(WORKSPACE)).get_backend(TARGET)
    held.enter_context(backend.open_session(name="naive"))
    ours, sdk = our_rounds(session, circuit), naive_loop(backend, circuit)
    set_faults(service)
    seconds(ours, 2, 1)  # compiles, and learns how far away the service is
    taken = {jobs: seconds(ours, jobs, turns) for jobs in sizes}
    sdk_s = seconds(sdk, SDK_JOBS, 1) / SDK_JOBS
    for jobs, value in taken.items():
        print(f"far        a round of {jobs:4} jobs {value:7.2f} s")
    print(f"far        the SDK's loop        {sdk_s:7.2f} s a job")
    bounds = [
        Bound(f"far: {jobs} jobs / 1 job", taken[jobs] / taken[1], Side.AT_MOST, MOST[jobs])
        for jobs in sizes
        if jobs in MOST
    ]
    jobs = sizes[-1]
    return [
        *bounds,
        Bound(f"far: the SDK's loop / ours, {jobs} jobs", sdk_s * jobs / taken[jobs], Side.AT_LEAST, LEAST_OF_SDK),
    ]


def batched(service: Emulator, turns: int) -> Bound:
    """Compare a round of many points with one of one point, where many points are one job."""
    with open_run_session(service.workspace(WORKSPACE), BATCHED_TARGET, name="batched", seed=0) as session:
        ours = our_rounds(session, ansatz())
        set_faults(service)
        seconds(ours, 2, 1)
        one_s, many_s = (seconds(ours, points, turns) for points in (1, BATCHED_POINTS))
    print(f"far        {BATCHED_POINTS} points in one job      {many_s:7.2f} s, one point {one_s:.2f} s")
    return Bound(f"far: {BATCHED_POINTS} points / 1 point, in one job", many_s / one_s, Side.AT_MOST, MOST_BATCHED)


def limited(service: Emulator, turns: int) -> list[Bound]:
    """Compare rounds at a service that throttles with what its limit allows."""
    bounds = []
    for per_s in LIMITS:
        set_faults(service)
        with open_run_session(service.workspace(WORKSPACE), TARGET, name="limited", seed=0) as session:
            ours = our_rounds(session, ansatz())
            seconds(ours, 1, 1)
            refused = []
            ratios = []
            for _ in range(turns):
                set_faults(service, {"fault": "throttled", "above_per_s": per_s, "retry_after": 1})
                value = seconds(ours, LIMITED_JOBS, 1)
                refused.append(refused_calls(service))
                ratios.append(value / ((calls_of(LIMITED_JOBS) - per_s) / per_s))
                time.sleep(1.0)
            ledger = service.admin(f"ledger?run={session.run_uid}&top=1")
        twice = ledger["duplicates"]["count"]
        print(f"limited    {per_s:4} calls a second: {refused} refused, {twice} jobs put twice")
        bounds.append(
            Bound(f"{per_s} calls a second: taken / allowed", statistics.median(ratios), Side.AT_MOST, MOST_OF_IDEAL)
        )
    return bounds


def refused_calls(service: Emulator) -> int:
    """Return the number of throttled calls since the faults were set."""
    return sum(each["fault"] == "throttled" for each in service.admin("faults/log")["log"])


if __name__ == "__main__":
    sys.exit(main())
