"""Worker processes of a run that diagonalize subspaces side by side; they end with the run's process."""

from __future__ import annotations

import logging
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.sqd.full_space import SolvedSpace, Subspace
from hybridloop.tasks.subspaces.messages import molecule_arrays, read_arrays, solved_of, space_arrays, write_arrays

CHECK_EVERY_S = 0.5
_START = "from hybridloop.tasks.subspaces.worker import main; main()"
_SECRETS = "AZURE_"  # prefix of the variables that a worker does not get

_log = logging.getLogger(__name__)


class SubspacePool:
    """Up to `size` worker processes for one molecule, started when first needed.

    They are new interpreters: a fork would copy threads' locks, and `multiprocessing` runs a user's script again.
    `check` is called while the pool waits, and raises if the run is to stop.
    """

    def __init__(self, size: int, molecule: Molecule, check: Callable[[], None]) -> None:
        self._size = size
        self._molecule = molecule_arrays(molecule)
        self._check = check
        self._processes: list[subprocess.Popen[bytes]] = []
        self._answers = selectors.DefaultSelector()

    @property
    def processes(self) -> list[int]:
        """The ids of the processes."""
        return [process.pid for process in self._processes]

    def solve(self, spaces: Sequence[Subspace]) -> list[SolvedSpace | None]:
        """Return the lowest states of these subspaces; None for one whose process died, as without memory."""
        solved: list[SolvedSpace | None] = [None] * len(spaces)
        waiting = deque(enumerate(spaces))
        at_work: dict[subprocess.Popen[bytes], int] = {}
        idle = list(self._processes)
        while waiting or at_work:
            while waiting and (idle or len(self._processes) < self._size):
                process = idle.pop() if idle else self._launch()
                at_work[process], space = waiting.popleft()
                assert process.stdin is not None
                with suppress(BrokenPipeError):  # it has died: its output has ended
                    write_arrays(process.stdin, space_arrays(space))
            if not at_work:  # each process has died
                break
            for key, _ in self._answers.select(CHECK_EVERY_S):
                process = key.data
                assert process.stdout is not None
                number, answer = at_work.pop(process), read_arrays(process.stdout)
                if answer is None:
                    self._lose(process)
                else:
                    solved[number] = solved_of(answer)
                    idle.append(process)
            self._check()
        return solved

    def close(self) -> None:
        """End all processes at once; they hold nothing."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            with suppress(BrokenPipeError):
                process.__exit__(None, None, None)  # closes its pipes, and waits for it
        self._processes = []
        self._answers.close()

    def _lose(self, process: subprocess.Popen[bytes]) -> None:
        """Remove a process that has died; no other is started in its place, as memory may be short."""
        self._answers.unregister(process.stdout)  # type: ignore[arg-type]  # it has an output
        self._processes.remove(process)
        self._size -= 1
        with suppress(BrokenPipeError):
            process.__exit__(None, None, None)
        text = "a worker process died (exit code %d); its subspace is diagonalized in the run's own process"
        _log.warning(text, process.returncode)

    def _launch(self) -> subprocess.Popen[bytes]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
        process = subprocess.Popen(
            (sys.executable, "-P", "-c", _START),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # its error comes again in the run's own process
            env=environ,
            start_new_session=True,  # a Ctrl-C reaches it only through `close`
        )
        self._processes.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            write_arrays(process.stdin, self._molecule)
        self._answers.register(process.stdout, selectors.EVENT_READ, process)
        return process
