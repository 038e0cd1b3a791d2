"""Time of a resume: replay of a thousand evaluations from the journal, in a new process.

One evaluation per round is the worst case for the journal; a search with several points per round has fewer rounds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from benchmarks.bounds import Bound, Side, conclude, machine
from benchmarks.local import WORKSPACE, local_service
from hybridloop.algorithms.circuits.ansatz import hardware_efficient
from hybridloop.algorithms.estimation.estimates import Estimate, evaluation
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.rounds import RunRound
from hybridloop.azure.workspace import connect
from hybridloop.emulator.pytest_plugin import RESOURCE_GROUP, SUBSCRIPTION
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import hold_run, new_run
from hybridloop.runtime.signals import exit_on_sigterm
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Batching
from tests.session_helpers import open_run_session

TARGET = "rigetti.sim.qvm"
EVALUATIONS, QUICK = 1000, 100
SHOTS = 100
HAMILTONIAN = SparsePauliOp(["ZZ", "XI", "IX"], [1.0, 0.6, 0.4])  # two groups: an evaluation is two jobs
LIMIT_S = 3.0


def walk(run_round: RunRound, evaluations: int) -> str:
    """Search by single random steps, each kept if it is no worse; return the last energy."""
    ansatz = hardware_efficient(2, np.random.default_rng(5))
    evaluated = evaluation(observable(HAMILTONIAN), ansatz, run_round)
    draws = np.random.default_rng(7)
    point, lowest = ansatz.initial_point, np.inf
    for _ in range(evaluations):
        tried = point + draws.normal(0.0, 0.1, len(point))
        (estimate,) = evaluated.energies(tried[None, :], SHOTS)[1]
        if isinstance(estimate, Estimate) and estimate.value <= lowest:
            point, lowest = tried, estimate.value
    return float(lowest).hex()


def resumed(order: dict[str, Any]) -> tuple[str, int]:
    """Resume a run from its journal; return its answer and the number of replayed rounds."""
    with Journal(journal_url(Path(order["journal"]))) as journal, hold_run(journal, order["uid"]) as run:
        with open_run_session(
            connect(order["connection"]), TARGET, SessionOptions(batching=Batching.OFF), run=run
        ) as session:
            return walk(session.run_round, order["evaluations"]), session.replayed


def child() -> int:
    """Resume the run in the new process; the clock starts after the imports."""
    order = json.load(sys.stdin)
    started = time.perf_counter()
    answer, replayed = resumed(order)
    json.dump({"seconds": time.perf_counter() - started, "answer": answer, "replayed": replayed}, sys.stdout)
    return 0


def main() -> int:
    """Record a run, replay it in a new process, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} evaluations in place of {EVALUATIONS}")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child()
    with exit_on_sigterm():
        return recorded_and_replayed(QUICK if options.quick else EVALUATIONS)


def recorded_and_replayed(evaluations: int) -> int:
    """Return the exit code: 1 if the replay took too long."""
    print(f"machine    {machine()}")
    with local_service() as service, TemporaryDirectory() as folder:
        uid = str(uuid.uuid4())
        journal = Path(folder) / "journal.db"
        with Journal(journal_url(journal)) as kept:
            kept.add_run(new_run(uid, key="replay", algorithm="walk", problem="", target=TARGET, seed=3))
        order = {
            "connection": f"SubscriptionId={SUBSCRIPTION};ResourceGroupName={RESOURCE_GROUP};WorkspaceName={WORKSPACE};"
            f"ApiKey={service.api_key};QuantumEndpoint={service.endpoint}",
            "journal": str(journal),
            "uid": uid,
            "evaluations": evaluations,
        }
        started = time.perf_counter()
        answer, _ = resumed(order)
        live = time.perf_counter() - started
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        print(f"live       {evaluations} evaluations in {live:.1f} s, {1e3 * live / evaluations:.1f} ms each")
        print(f"journal    {size / 1e6:.2f} MB, {size / evaluations / 1e3:.2f} kB an evaluation")
        found = json.loads(
            subprocess.run(
                [sys.executable, "-m", "benchmarks.replay", "--child"],
                input=json.dumps(order),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            ).stdout
        )
        jobs = service.admin(f"ledger?run={uid}&top=1")["jobs"]
    if (found["answer"], found["replayed"], jobs) != (answer, evaluations, 2 * evaluations):
        raise RuntimeError(f"the replay gave {found}, the run {answer} in {evaluations} rounds, the books {jobs} jobs")
    return conclude(
        [Bound(f"replay of {evaluations} evaluations, beyond imports", found["seconds"], Side.AT_MOST, LIMIT_S, "s")]
    )


if __name__ == "__main__":
    sys.exit(main())
