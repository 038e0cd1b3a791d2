"""Overhead of Prefect in a run: the same rounds in a flow and in a plain script, and the wait at the flow's end.

A round here is one small job on the local service. The flow is the one that all algorithms have around them: opening,
rounds and closing are tasks, and events are sent. Once with Prefect on SQLite, as the local stack has it, once on
PostgreSQL where one is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bounds import Bound, Side, conclude, machine
from benchmarks.local import WORKSPACE, local_service
from benchmarks.sweep import own_stack
from hybridloop import local_stack as stack
from hybridloop.local_stack import PrefectServer
from hybridloop.runtime.signals import exit_on_sigterm
from hybridloop.targets import Batching
from tests.cli.shell_helpers import connection_string
from tests.journal.postgresql_helpers import not_installed

ROUNDS, QUICK = 100, 20
TARGET = "rigetti.sim.qvm"
WARM = 3
ROUND_LIMIT_MS, END_LIMIT_S = 15.0, 2.0


@dataclass(frozen=True, slots=True)
class Rounds:
    """Milliseconds per round of one way: CPU time of this process, and elapsed time."""

    cpu_ms: float
    wall_ms: float


def timed(run_round: Callable[[Any], object], rounds: int) -> Rounds:
    """Run some rounds to warm up, then measure."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.primitives.containers.sampler_pub import SamplerPub

    angle = Parameter("angle")
    circuit = QuantumCircuit(1)
    circuit.ry(angle, 0)
    circuit.measure_all()
    for number in range(WARM):
        run_round([SamplerPub.coerce((circuit, [[0.1 * number]]), shots=100)])
    cpu, walls = time.process_time(), []
    for number in range(rounds):
        began = time.perf_counter()
        run_round([SamplerPub.coerce((circuit, [[0.01 * number]]), shots=100)])
        walls.append(time.perf_counter() - began)
    return Rounds(1e3 * (time.process_time() - cpu) / rounds, 1e3 * statistics.median(walls))


def child(rounds: int) -> int:
    """Measure both ways in this child process, and print the figures as JSON."""
    from prefect import flow

    from hybridloop.azure.workspace import connect_from_environment
    from hybridloop.flows.in_prefect.flow_run_events import shown_in_flow_run
    from hybridloop.settings.session_options import SessionOptions
    from hybridloop.tasks.prefect_tasks import run_round, session_of_flow
    from hybridloop.tasks.replay.replayed_rounds import ReplayedRounds
    from tests.session_helpers import open_run_session, temporary_run

    workspace = connect_from_environment()
    with open_run_session(workspace, TARGET, SessionOptions(batching=Batching.OFF), seed=1) as session:
        plain = timed(session.run_round, rounds)
    ended = 0.0

    @flow(name="orchestration", persist_result=False)
    def measured() -> tuple[float, float]:
        nonlocal ended
        with (
            temporary_run(TARGET, seed=2) as run,
            shown_in_flow_run(run.record),
            session_of_flow(
                open_run_session(workspace, TARGET, SessionOptions(batching=Batching.OFF), run=run)
            ) as opened,
        ):
            found = timed(ReplayedRounds(opened, run_round), rounds)
        ended = time.perf_counter()
        return found.cpu_ms, found.wall_ms

    names = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_HOME")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    server = PrefectServer(os.environ["PREFECT_API_URL"], is_local=True, environment=environment)
    with stack.run_flows_on(server):
        cpu_ms, wall_ms = measured()
    end_s = time.perf_counter() - ended
    figures = {"plain": [plain.cpu_ms, plain.wall_ms], "flow": [cpu_ms, wall_ms], "end_s": end_s}
    json.dump(figures, sys.stdout)
    return 0


def figures_of(name: str, rounds: int, environ: Mapping[str, str]) -> dict[str, Any]:
    """Measure with the Prefect server, and print the figures."""
    command = [sys.executable, "-m", "benchmarks.orchestration", "--child", str(rounds)]
    said = subprocess.run(command, env=dict(environ), stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    for way, (cpu, wall) in ((way, found[way]) for way in ("plain", "flow")):
        print(f"{name:<11} {way:<6} {wall:7.2f} ms a round, of which this process {cpu:.2f} ms of CPU")
    print(f"{name:<11} wait at the flow's end {found['end_s']:.2f} s")
    return found


def price_of(name: str, found: Mapping[str, Any]) -> Bound:
    """Return the additional time of a round in the flow's process."""
    more = found["flow"][0] - found["plain"][0]
    return Bound(f"{name}: CPU that Prefect adds to a round", more, Side.AT_MOST, ROUND_LIMIT_MS, "ms")


def main() -> int:
    """Measure, print the figures, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} rounds in place of {ROUNDS}")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        return child(options.child)
    rounds = QUICK if options.quick else ROUNDS
    print(f"machine     {machine()}")
    bounds: list[Bound] = []
    with exit_on_sigterm(), local_service() as service:
        connection = {
            **stack.QUIET,
            "AZURE_QUANTUM_CONNECTION_STRING": connection_string(service.endpoint, service.api_key, WORKSPACE),
        }
        with own_stack():
            bounds.append(price_of("SQLite", figures_of("SQLite", rounds, {**os.environ, **connection})))
        bounds += on_postgresql(rounds, connection)
    return conclude(bounds)


def on_postgresql(rounds: int, connection: Mapping[str, str]) -> list[Bound]:
    """Measure with Prefect on PostgreSQL; print a note and return no figures if it is not installed."""
    if (missing := not_installed()) is not None:
        print(f"PostgreSQL  nothing was measured on it: {missing} is not installed")
        return []
    from tests import database_helpers as databases  # it needs psycopg

    with tempfile.TemporaryDirectory() as folder, databases.on_postgresql(Path(folder)) as (server, _):
        found = figures_of("PostgreSQL", rounds, {**os.environ, **server.environment, **connection})
    return [
        price_of("PostgreSQL", found),
        Bound("PostgreSQL: wait at the flow's end", found["end_s"], Side.AT_MOST, END_LIMIT_S, "s"),
    ]


if __name__ == "__main__":
    sys.exit(main())
