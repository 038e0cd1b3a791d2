"""Worker process that runs circuits: tasks arrive on standard input, results leave on standard output.

It is a process beside the service, so that a simulation that is long or takes too much memory can be killed and never
delays HTTP. It exits at the end of its standard input, so that none survives a service that was killed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO

from hybridloop.emulator.simulation.protocol import (
    DONE,
    FAILED,
    GRANTED,
    NEEDS,
    READY,
    UNRESERVED_BYTES,
    UNTOLD_S,
    pack_frame,
    read_frame,
)

if TYPE_CHECKING:
    from hybridloop.emulator.simulation.execute import JobRunner

SPARE_BYTES = 1 << 29  # address space that is allocated and not used, as by the threads of libraries


def main() -> None:
    # Ctrl-C reaches the whole process group: the service decides which processes stop
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # output of libraries goes to standard error, so that it can't get between the replies
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    tasks: SimpleQueue[tuple[bytes, bytes]] = SimpleQueue()
    threading.Thread(target=_read_tasks, args=(sys.stdin.buffer, tasks), daemon=True).start()
    # importing Aer takes half a second: too long to wait with the signals
    from hybridloop.emulator.simulation.execute import JobRunner
    from hybridloop.emulator.simulation.simulator import Simulator

    limit_address_space(int(sys.argv[1]))
    runner = JobRunner(Simulator(lambda size, seconds: reserve(size, seconds, tasks, replies)))
    replies.write(pack_frame(_header(READY), b""))
    replies.flush()
    while True:
        replies.write(execute_task(*tasks.get(), runner))
        replies.flush()


def limit_address_space(size: int) -> None:
    """Let this process allocate at most `size` bytes more, where the system supports that (Linux, not macOS).

    Reservations keep to the limit by estimates; this holds also for a library that takes more than expected.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    used = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + size + SPARE_BYTES, resource.RLIM_INFINITY))


def reserve(size: int, seconds: float, tasks: SimpleQueue[tuple[bytes, bytes]], replies: BinaryIO) -> int:
    """Wait until the service, which limits what all workers take together, grants `size` bytes; return the threads.

    The service learns the `seconds` that the simulation takes on one thread. It takes the memory back with the reply to
    the task. Raises JobInputError if it is more than its limit.
    """
    from hybridloop.emulator.model.program import JobInputError

    if size <= UNRESERVED_BYTES and seconds <= UNTOLD_S:
        return 1  # for circuits of a few qubits, several workers use the cores better than one simulation does
    replies.write(pack_frame(_header(NEEDS, bytes=size, seconds=seconds), b""))
    replies.flush()
    header, _ = tasks.get()  # a worker has one task at a time, so the next frame is the answer
    answer = json.loads(header)
    if answer["verdict"] != GRANTED:
        needed, limit = f"{size / 2**30:.3g} GiB", f"{answer['limit'] / 2**30:.3g} GiB"
        problem = f"the simulation needs {needed} and this service may use {limit}; take a smaller circuit"
        raise JobInputError("InvalidInputData", problem)
    return int(answer["threads"])


def execute_task(header: bytes, data: bytes, runner: JobRunner) -> bytes:
    """Execute one task and return the reply: its result, or the code and message of its failure."""
    from hybridloop.emulator.model.program import JobInputError
    from hybridloop.emulator.simulation.protocol import SimulationTask

    try:
        result, usage = runner.run(SimulationTask.from_json(header), data)
        return pack_frame(_header(DONE, usage=asdict(usage)), result)
    except JobInputError as error:
        return pack_frame(_header(FAILED, code=error.code, message=error.message), b"")
    except MemoryError:
        return pack_frame(_header(FAILED, code="InternalError", message="the simulation ran out of memory"), b"")


def _header(verdict: str, **fields: object) -> bytes:
    return json.dumps({"verdict": verdict, **fields}).encode()


def _read_tasks(stream: BinaryIO, tasks: SimpleQueue[tuple[bytes, bytes]]) -> None:
    while (frame := read_frame(stream)) is not None:
        tasks.put(frame)
    os._exit(0)


if __name__ == "__main__":
    main()
