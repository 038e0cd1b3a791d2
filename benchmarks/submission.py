"""Cost of a job of a variational loop besides its simulation: the SDK, our rounds, bare HTTP calls, and Aer alone.

All ways alternate on one local service in one run, so that other load on the machine affects all of them.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from azure.quantum.qiskit import AzureQuantumProvider
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ParameterVector
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_aer import AerSimulator

from benchmarks.bare import BareClient
from benchmarks.bounds import Bound, Side, conclude, machine
from benchmarks.local import WORKSPACE, local_service
from hybridloop.algorithms.rounds import Counts
from hybridloop.compiler.programs import PubCompiler
from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.runtime.signals import exit_on_sigterm
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Batching, find_target
from hybridloop.tasks.session import OpenSession
from hybridloop.tasks.submission.job_ids import RoundKey
from hybridloop.tasks.submission.jobs import build_jobs
from tests.session_helpers import open_run_session

TARGET = "rigetti.sim.qvm"
QUBITS, ANGLES, SHOTS = 4, 8, 1000
LARGE = 64
NAIVE, FLOOR = "naive loop, one at a time", "floor: straight on Aer"
Points = NDArray[np.float64]  # (points, angles), in radians
Measure = Callable[[Points], float]  # total seconds of the points


@dataclass(frozen=True, slots=True)
class Way:
    """A way to get the counts of points, with its points and rounds per turn."""

    name: str
    points: int
    rounds: int
    measure: Measure

    def turn(self, rng: np.random.Generator) -> float:
        """Return the milliseconds per job over the rounds of one turn."""
        rounds = rng.uniform(-np.pi, np.pi, (self.rounds, self.points, ANGLES))
        return 1e3 * sum(self.measure(points) for points in rounds) / (self.rounds * self.points)


def main() -> int:
    """Measure, print the figures, and return the exit code; on SIGTERM the service is ended too."""
    with exit_on_sigterm():
        return _main()


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.submission", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two turns in place of five")
    turns = 2 if parser.parse_args().quick else 5
    circuit = ansatz()
    print(f"machine    {machine()}")
    print(f"circuit    {QUBITS} qubits, {ANGLES} angles, {SHOTS} shots, on {TARGET}")
    print(f"template   {compile_seconds(circuit)}, once a structure")
    with local_service() as service, ExitStack() as held:
        print(f"service    in memory, at {service.endpoint} (pid {service.process.pid})")
        figures = measured(ways(service, circuit, held), turns)
    print(f"\nmilliseconds per job, median of {turns} turns (lowest to highest)")
    for name, values in figures.items():
        print(f"  {name:<34} {statistics.median(values):8.2f}   ({min(values):.2f} to {max(values):.2f})")
    print()
    return conclude(bounds({name: statistics.median(values) for name, values in figures.items()}))


def ansatz() -> QuantumCircuit:
    """Return two layers of rotations around a chain of entangling gates, with all qubits measured."""
    theta = ParameterVector("theta", ANGLES)
    circuit = QuantumCircuit(QUBITS)
    for qubit in range(QUBITS):
        circuit.ry(theta[qubit], qubit)
    for qubit in range(QUBITS - 1):
        circuit.cx(qubit, qubit + 1)
    for qubit in range(QUBITS):
        circuit.rz(theta[QUBITS + qubit], qubit)
        circuit.h(qubit)
    circuit.measure_all()
    return circuit


def compile_seconds(circuit: QuantumCircuit) -> str:
    """Return the seconds to compile a new structure: with the compiler not yet loaded, and loaded."""
    pub = SamplerPub.coerce((circuit, np.zeros((1, ANGLES))), SHOTS)
    taken = []
    for _ in range(2):
        programs = PubCompiler(find_target(TARGET).profile)
        started = time.perf_counter()
        programs.compile_pub(pub)
        taken.append(1e3 * (time.perf_counter() - started))
    return f"{taken[1]:.0f} ms to compile and check ({taken[0]:.0f} ms the first in a process)"


def ways(service: Emulator, circuit: QuantumCircuit, held: ExitStack) -> list[Way]:
    """Return all ways in the order of a turn; `held` closes their sessions."""
    backend = AzureQuantumProvider(service.workspace(WORKSPACE)).get_backend(TARGET)
    held.enter_context(backend.open_session(name="naive"))
    session = held.enter_context(
        open_run_session(
            service.workspace(WORKSPACE), TARGET, SessionOptions(batching=Batching.OFF), name="rounds", seed=0
        )
    )
    client = BareClient(service, find_target(TARGET))
    held.callback(client.close)
    ours, bare = our_rounds(session, circuit), bare_calls(client, circuit)
    return [
        Way(NAIVE, 5, 1, naive_loop(backend, circuit)),
        Way(ours_at(LARGE), LARGE, 1, ours),
        Way(FLOOR, LARGE, 1, straight_on_aer(circuit)),
        Way(bare_at(LARGE), LARGE, 1, bare),
        Way(ours_at(8), 8, 4, ours),
        Way(bare_at(8), 8, 4, bare),
        Way(ours_at(1), 1, 8, ours),
        Way(bare_at(1), 1, 8, bare),
    ]


def ours_at(points: int) -> str:
    """Return the name of our rounds of so many points."""
    return f"our rounds, {points} at once"


def bare_at(points: int) -> str:
    """Return the name of the bare calls for so many points."""
    return f"bare HTTP calls, {points} at once"


def measured(compared: Sequence[Way], turns: int) -> dict[str, list[float]]:
    """Return the milliseconds per job of each way in each turn, after one turn that is not counted.

    The first turn compiles, opens connections and has the service start its second worker.
    """
    rng = np.random.default_rng(7)
    figures: dict[str, list[float]] = {way.name: [] for way in compared}
    for turn in range(turns + 1):
        for way in compared:
            taken = way.turn(rng)
            if turn > 0:
                figures[way.name].append(taken)
    return figures


def naive_loop(backend: Any, circuit: QuantumCircuit) -> Measure:
    """Measure the unmodified SDK as its documentation shows it; the dots that it prints are dropped."""

    def measure(points: Points) -> float:
        with redirect_stdout(io.StringIO()):
            started = time.perf_counter()
            results = [backend.run(circuit.assign_parameters(point), shots=SHOTS).result() for point in points]
            taken = time.perf_counter() - started
        _check(sum(result.get_counts().values()) for result in results)
        return taken

    return measure


def our_rounds(session: OpenSession, circuit: QuantumCircuit) -> Measure:
    """Measure all points in one round of an open session."""

    def measure(points: Points) -> float:
        started = time.perf_counter()
        (results,) = session.run_round([SamplerPub.coerce((circuit, points), SHOTS)])
        taken = time.perf_counter() - started
        _check(result.shots if isinstance(result, Counts) else 0 for result in results)
        return taken

    return measure


def straight_on_aer(circuit: QuantumCircuit) -> Measure:
    """Measure all points in one call of the simulator, with the circuit transpiled beforehand."""
    # one thread: with more, Aer's threads spin for 16 ms a circuit as soon as anything else wants a core
    simulator = AerSimulator(method="statevector", max_parallel_threads=1)
    ready = transpile(circuit, simulator)

    def measure(points: Points) -> float:
        started = time.perf_counter()
        result = simulator.run([ready.assign_parameters(point) for point in points], shots=SHOTS).result()
        counts = result.get_counts()
        taken = time.perf_counter() - started
        _check(sum(each.values()) for each in counts)
        return taken

    return measure


def bare_calls(client: BareClient, circuit: QuantumCircuit) -> Measure:
    """Measure the HTTP calls of a round's jobs, with the same payloads prepared beforehand."""
    target = find_target(TARGET)
    programs = PubCompiler(target.profile)
    run_uid, number = str(uuid.uuid4()), 0

    def measure(points: Points) -> float:
        nonlocal number
        pub = SamplerPub.coerce((circuit, points), SHOTS)
        place = RoundKey(run_uid, "bare", number)
        number += 1
        program = programs.compile_pub(pub)
        return client.round(place, build_jobs(place, [program], [SHOTS], target, seed=0)[1])

    return measure


def bounds(median: dict[str, float]) -> list[Bound]:
    """Return the bounds of a large round."""
    ours, below = median[ours_at(LARGE)], median[FLOOR] + median[bare_at(LARGE)]
    return [
        Bound(f"naive / ours, {LARGE} at once", median[NAIVE] / ours, Side.AT_LEAST, 12),
        Bound(f"ours / (floor + bare HTTP), {LARGE} at once", ours / below, Side.AT_MOST, 3),
    ]


def _check(shots: Any) -> None:
    if set(shots) != {SHOTS}:
        raise RuntimeError(f"a job did not come back with {SHOTS} counts")


if __name__ == "__main__":
    sys.exit(main())
