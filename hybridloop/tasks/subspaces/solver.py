"""Solve the subspaces of an iteration (SQD), in this process or side by side on worker processes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.sqd.full_space import FullSpace, SolvedSpace, Subspace, solve_space
from hybridloop.tasks.subspaces.pool import SubspacePool

# seconds of one subspace: a worker takes one to start. Measured on H10 with two processors, three iterations of five
# subspaces: no gain with 10,000 determinants of half a second, 86 s → 45 s with 40,000 of five seconds
WORTH_S = 1.0
_WORKER_BYTES = 200e6  # of a worker with NumPy and PySCF
_VECTOR_BYTES = 8 * 40  # of a determinant: Davidson's vectors and their images
_MEMORY_SHARE = 0.5  # of this computer's memory

_log = logging.getLogger(__name__)


class SubspaceSolver:
    """`SolveSpaces` of a run. The digits are the same in one process and in several.

    `check` is called between subspaces, and raises if the run is to stop. The first subspaces are solved in this
    process; once one took `worth_s`, the others go to up to `most` workers.
    """

    def __init__(
        self,
        molecule: Molecule,
        full: FullSpace | None,
        check: Callable[[], None],
        *,
        most: int,
        worth_s: float = WORTH_S,
    ) -> None:
        self._molecule = molecule
        self._full = full
        self._check = check
        self._most = most
        self._worth_s = worth_s
        self.pool: SubspacePool | None = None

    def __call__(self, spaces: Sequence[Subspace], /) -> list[SolvedSpace]:
        """Return the lowest state of each subspace, in order."""
        solved: list[SolvedSpace | None] = [None] * len(spaces)
        for number, space in enumerate(spaces):
            if self.pool is not None:
                solved[number:] = self.pool.solve(spaces[number:])
                break
            began = time.perf_counter()
            solved[number] = self._solve(space)
            took_s, left = time.perf_counter() - began, len(spaces) - number - 1
            if took_s >= self._worth_s and left > 1:
                self._start_pool(space, left)
        return [self._solve(space) if done is None else done for space, done in zip(spaces, solved, strict=True)]

    def close(self) -> None:
        """End the worker processes."""
        if self.pool is not None:
            self.pool.close()

    def _solve(self, space: Subspace) -> SolvedSpace:
        self._check()
        return solve_space(self._molecule, self._full, space)

    def _start_pool(self, space: Subspace, left: int) -> None:
        determinants = len(space.alpha) * len(space.beta)
        vector = 0 if self._full is None else len(self._full.diagonal)
        fitting = _MEMORY_SHARE * memory_bytes() / (_WORKER_BYTES + _VECTOR_BYTES * max(determinants, vector))
        size = min(self._most, left, int(fitting))
        if size > 1:
            _log.info("subspaces are diagonalized on %d worker processes", size)
            self.pool = SubspacePool(size, self._molecule, self._check)


@contextmanager
def subspace_solver(molecule: Molecule, full: FullSpace | None, check: Callable[[], None]) -> Iterator[SubspaceSolver]:
    """Hold a solver for the block, with as many worker processes as this process may use processors."""
    solver = SubspaceSolver(molecule, full, check, most=usable_processors())
    try:
        yield solver
    finally:
        solver.close()


def usable_processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> float:
    """Return this computer's memory in bytes."""
    return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
