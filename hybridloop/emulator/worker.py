"""A process that runs circuits: tasks come in on standard input, results go out on standard output.

It lives beside the service, so that a long or memory-hungry simulation can be killed and never holds up HTTP. It ends
when its standard input does, so that none outlives a service that was killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO

from hybridloop.emulator.frames import DONE, FAILED, FREE_BYTES, GRANTED, NEEDS, packed, read_frame

if TYPE_CHECKING:
    from hybridloop.emulator.execute import Runner


def main() -> None:
    """Answer tasks until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # sent to the whole group: the service decides what stops
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not get between the replies
    tasks: SimpleQueue[tuple[bytes, bytes]] = SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, tasks), daemon=True).start()
    from hybridloop.emulator.execute import Runner  # Aer takes half a second, and the signals can't wait for it
    from hybridloop.emulator.simulate import Simulator

    runner = Runner(Simulator(Reservations(tasks, replies).reserve))
    while True:
        replies.write(answer(*tasks.get(), runner))
        replies.flush()


class Reservations:
    """Asks the service for memory: it bounds what all workers take together."""

    def __init__(self, tasks: SimpleQueue[tuple[bytes, bytes]], replies: BinaryIO) -> None:
        self._tasks = tasks
        self._replies = replies

    def reserve(self, needed: int) -> None:
        """Wait until that many bytes may be taken; they are given back with the job's answer."""
        from hybridloop.emulator.program import Unrunnable

        if needed <= FREE_BYTES:
            return
        self._replies.write(packed(_header(NEEDS, bytes=needed), b""))
        self._replies.flush()
        header, _ = self._tasks.get()  # a worker has one job at a time: the next frame is the answer
        answer = json.loads(header)
        if answer["verdict"] != GRANTED:
            raise Unrunnable(
                "InvalidInputData",
                f"the simulation needs {needed / 2**30:.3g} GiB and this service may use "
                f"{answer['limit'] / 2**30:.3g} GiB; take a smaller circuit",
            )


def answer(header: bytes, data: bytes, runner: Runner) -> bytes:
    """The reply to one task: its result, or the code and message of its failure."""
    from hybridloop.emulator.program import Unrunnable
    from hybridloop.emulator.task import Task

    try:
        result, usage = runner.run(Task.from_json(header), data)
        return packed(_header(DONE, usage=usage.to_json()), result)
    except Unrunnable as error:
        return packed(_header(FAILED, code=error.code, message=error.message), b"")
    except MemoryError:
        return packed(_header(FAILED, code="InternalError", message="the simulation ran out of memory"), b"")


def _header(verdict: str, **facts: object) -> bytes:
    return json.dumps({"verdict": verdict, **facts}).encode()


def _receive(stream: BinaryIO, tasks: SimpleQueue[tuple[bytes, bytes]]) -> None:
    while (frame := read_frame(stream)) is not None:
        tasks.put(frame)
    os._exit(0)


if __name__ == "__main__":
    main()
