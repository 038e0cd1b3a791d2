"""Time of a job on this machine: `python -m hybridloop.emulator.timing` runs it on the simulator.

It reads a JSON object from standard input: `target`, `input_format`, `output_format`, `program`, `params` (of the job,
without its shots), `comment` (that which begins a line of the program's language), and `shots`. It prints one with
`first_s`, the seconds of a job of one shot, `shot_s`, those of each further shot, and `measured_s`, the time it took.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.simulation.execute import JobRunner
from hybridloop.emulator.simulation.protocol import SimulationTask
from hybridloop.emulator.simulation.simulator import Simulator

MEASURED_S = 1.0  # roughly
VISIBLE = 1.5  # times the seconds of the first shot: less may be other work of the machine
GROWTH = 10


def timed_job(request: Mapping[str, Any]) -> Callable[[int], float]:
    """Return a function that runs the job with that many shots, as a worker of the service does; it returns seconds.

    Raises KeyError for a target of which this service does not know.
    """
    _, target = load_catalogue().targets[request["target"].lower()]
    formats = request["input_format"], request["output_format"]
    runner, calls = JobRunner(Simulator()), itertools.count(1)

    def seconds(shots: int) -> float:
        # another program in each call, so that none is answered from the cache of one before
        data = f"{request['program']}\n{request['comment']} {next(calls)}\n".encode()
        task = SimulationTask(target, *formats, {**request["params"], "shots": shots}, 0, "")
        begin = time.perf_counter()
        runner.run(task, data)
        return time.perf_counter() - begin

    return seconds


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


def main() -> None:
    """Time the job of standard input, and print its figures."""
    request = json.load(sys.stdin)
    run = timed_job(request)
    run(1)  # Aer begins
    begin = time.perf_counter()
    first, slope = seconds_by_shots(run, request["shots"])
    print(json.dumps({"first_s": first, "shot_s": slope, "measured_s": time.perf_counter() - begin}))


if __name__ == "__main__":
    main()
