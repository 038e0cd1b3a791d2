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

from hybridloop.emulator.frames import DONE, FAILED, packed, read_frame

if TYPE_CHECKING:
    from hybridloop.emulator.simulate import Simulator


def main() -> None:
    """Answer tasks until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # sent to the whole group: the service decides what stops
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not get between the replies
    tasks: SimpleQueue[tuple[bytes, bytes]] = SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, tasks), daemon=True).start()
    from hybridloop.emulator.simulate import Simulator  # Aer takes half a second, and the signals can't wait for it

    simulator = Simulator()
    while True:
        replies.write(answer(*tasks.get(), simulator))
        replies.flush()


def answer(header: bytes, data: bytes, simulator: Simulator) -> bytes:
    """The reply to one task: its result, or the code and message of its failure."""
    from hybridloop.emulator.execute import execute
    from hybridloop.emulator.program import Unrunnable
    from hybridloop.emulator.task import Task

    try:
        result, usage = execute(Task.from_json(header), data, simulator)
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
