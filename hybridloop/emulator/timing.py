"""Time of a job on this machine: `python -m hybridloop.emulator.timing` runs it on the simulator.

It reads a JSON object from standard input: `target`, `input_format`, `output_format`, `program`, `params` (of the job,
without its shots), `comment` (that which begins a line of the program's language), and `shots`. It prints one with
`first_s`, the seconds of a job of one shot, `shot_s`, those of each further shot, and `measured_s`, the time it took. A
job that would take long is not run: its seconds follow from those of a smaller circuit.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from hybridloop.emulator.model.program import MEASURE, Instruction, OutputList, Program
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.simulation.execute import JobRunner
from hybridloop.emulator.simulation.protocol import UNRESERVED_BYTES, SimulationTask
from hybridloop.emulator.simulation.simulator import Simulator
from hybridloop.emulator.simulation.worker_process import thread_limit

MEASURED_S = 1.0  # roughly
VISIBLE = 1.5  # times the seconds of the first shot: less may be other work of the machine
GROWTH = 10
LONGEST_S = 2.0  # of a job that is run
CALIBRATION_QUBITS = 23  # a state that no cache holds: half a second


class TakesLong(Exception):
    """A job is not run, because it would take so many seconds, on all threads that it would have."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def timed_job(request: Mapping[str, Any], simulator: Simulator) -> Callable[[int], float]:
    """Return a function that runs the job with that many shots, as a worker of the service does; it returns seconds.

    Raises KeyError for a target of which this service does not know.
    """
    _, target = load_catalogue().targets[request["target"].lower()]
    formats = request["input_format"], request["output_format"]
    runner, calls = JobRunner(simulator), itertools.count(1)

    def seconds(shots: int) -> float:
        # another program in each call, so that none is answered from the cache of one before
        data = f"{request['program']}\n{request['comment']} {next(calls)}\n".encode()
        task = SimulationTask(target, *formats, {**request["params"], "shots": shots}, 0, "")
        begin = time.perf_counter()
        runner.run(task, data)
        return time.perf_counter() - begin

    return seconds


def reserve(size: int, seconds: float) -> int:
    """Raise TakesLong for a simulation that takes long on the threads that it would have; else return 1 thread."""
    threads = 1 if size <= UNRESERVED_BYTES else thread_limit()
    if seconds / threads > LONGEST_S:
        raise TakesLong(seconds / threads)
    return 1


def _calibration() -> Program:
    qubits = range(CALIBRATION_QUBITS)
    gates = [Instruction("rx", (qubit,), (0.3,)) for qubit in qubits]
    gates += [Instruction(MEASURE, (qubit,), result=qubit) for qubit in qubits]
    return Program(tuple(gates), OutputList(()), CALIBRATION_QUBITS, CALIBRATION_QUBITS)


def seconds_by_shots(run: Callable[[int], float], shots: int) -> tuple[float, float]:
    """Return the seconds of a job of one shot, and of each further one, by jobs of more and more shots."""
    first = last = run(1)
    number = 1
    while number < shots and first < MEASURED_S / 2 and last < VISIBLE * first:
        # a shot takes no more than the first with its job
        number = min(shots, GROWTH * number if number > 1 or GROWTH * first < MEASURED_S else 2)
        last = run(number)
        if last >= VISIBLE * first:
            last = min(last, run(number))
    return first, max(last - first, 0.0) / max(number - 1, 1)


def _expected(run: Callable[[int], float], shots: int) -> tuple[float, float]:
    """Return the same figures of a job that takes long, in one shot or in all."""

    def seconds(number: int) -> float:
        try:
            return run(number)
        except TakesLong as told:
            return told.seconds

    first, whole = seconds(1), seconds(shots)
    return first, max(whole - first, 0.0) / max(shots - 1, 1)


def main() -> None:
    """Time the job of standard input, and print its figures."""
    request = json.load(sys.stdin)
    simulator = Simulator(reserve)
    run = timed_job(request, simulator)
    begin = time.perf_counter()
    try:
        run(1)  # Aer begins
        first, slope = seconds_by_shots(run, request["shots"])
    except TakesLong:
        simulator.run(_calibration(), shots=1, seed=0, exact=False)
        first, slope = _expected(run, request["shots"])
    print(json.dumps({"first_s": first, "shot_s": slope, "measured_s": time.perf_counter() - begin}))


if __name__ == "__main__":
    main()
