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
from typing import BinaryIO

from hybridloop.emulator.execute import Task, execute
from hybridloop.emulator.frames import packed, read_frame
from hybridloop.emulator.program import Unrunnable

DONE, FAILED = b"done", b"failed"


def answer(task: bytes, data: bytes) -> bytes:
    """The reply to one task: its result, or the code and message of its failure."""
    try:
        return packed(DONE, execute(Task.from_json(task), data))
    except Unrunnable as error:
        return packed(FAILED, json.dumps([error.code, error.message]).encode())
    except MemoryError:
        return packed(FAILED, json.dumps(["InternalError", "the simulation ran out of memory"]).encode())


def main() -> None:
    """Answer tasks until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # sent to the whole group: the service decides what stops
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not get between the replies
    tasks: SimpleQueue[tuple[bytes, bytes]] = SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, tasks), daemon=True).start()
    import hybridloop.emulator.simulate  # noqa: F401  # loads Aer while nobody waits yet

    while True:
        replies.write(answer(*tasks.get()))
        replies.flush()


def _receive(stream: BinaryIO, tasks: SimpleQueue[tuple[bytes, bytes]]) -> None:
    while (frame := read_frame(stream)) is not None:
        tasks.put(frame)
    os._exit(0)


if __name__ == "__main__":
    main()
