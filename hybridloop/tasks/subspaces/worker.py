"""Worker process that diagonalizes subspaces of one molecule, one after the other, until its input ends.

It reads a molecule and then subspaces, and answers each with its state. A thread reads the input, so that the
process ends at once when the run's process does, in the middle of a diagonalization too.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import IO, Any

from numpy.typing import NDArray

from hybridloop.algorithms.sqd.full_space import FullSpace, solve_space
from hybridloop.tasks.subspaces.messages import molecule_of, read_arrays, solved_arrays, space_of, write_arrays


def main() -> None:
    """Serve the process's standard input and output."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    tasks: queue.SimpleQueue[dict[str, NDArray[Any]]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, tasks), daemon=True).start()
    molecule = molecule_of(tasks.get())
    full = FullSpace.of(molecule)
    while True:
        write_arrays(answers, solved_arrays(solve_space(molecule, full, space_of(tasks.get()))))


def _read(stream: IO[bytes], tasks: queue.SimpleQueue[dict[str, NDArray[Any]]]) -> None:
    while (message := read_arrays(stream)) is not None:
        tasks.put(message)
    os._exit(0)  # the run has ended, and nobody waits for an answer
