"""Subspaces on worker processes: the digits of one process, and nothing left of them when the run ends."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.sqd.full_space import FullSpace, SolvedSpace, Subspace, solve_in_turn
from hybridloop.algorithms.sqd.product_spaces import hartree_fock_strings
from hybridloop.errors import StopRequested
from hybridloop.preparation.problem import parse_problem
from hybridloop.settings import ProblemText
from hybridloop.tasks.subspaces.pool import SubspacePool
from hybridloop.tasks.subspaces.solver import SubspaceSolver, usable_processors
from tests.paths import DATA
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.slow  # each process imports PySCF


@pytest.fixture(scope="module")
def full() -> FullSpace:
    text = (DATA / "fcidump" / "H2O_0.9572.fcidump").read_text("utf-8")
    molecule = parse_problem(ProblemText(name="water", text=text))
    assert isinstance(molecule, Molecule)
    return FullSpace(molecule)


@pytest.fixture(scope="module")
def spaces(full: FullSpace) -> list[Subspace]:
    generator = np.random.default_rng(3)
    alpha, beta = (
        [np.union1d(first, generator.permutation(strings)[:size]) for size in (3, 5, 7, 9)]
        for first, strings in zip(hartree_fock_strings(full.molecule), full.strings, strict=True)
    )
    whole = [Subspace(*pair) for pair in zip(alpha, beta, strict=True)]
    chosen = np.arange(0, whole[-1].size, 2)  # every other determinant
    return [*whole, Subspace(whole[-1].alpha, whole[-1].beta, chosen, np.ones(len(chosen)))]


@pytest.fixture(scope="module")
def expected(full: FullSpace, spaces: list[Subspace]) -> list[SolvedSpace]:
    return solve_in_turn(full.molecule, full)(spaces)


def assert_same(found: list[SolvedSpace], expected: list[SolvedSpace]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.state.energy, one.state.spin_squared, one.variance) == (
            *(other.state.energy, other.state.spin_squared),
            other.variance,
        )
        for name in ("alpha", "beta", "amplitudes"):
            assert np.array_equal(getattr(one.state, name), getattr(other.state, name))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_worker_processes_find_the_digits_of_one_process_and_replace_none_that_dies(
    full: FullSpace, spaces: list[Subspace], expected: list[SolvedSpace]
) -> None:
    solver = SubspaceSolver(full.molecule, full, lambda: None, most=2, worth_s=0.0)
    assert_same(solver(spaces), expected)
    assert solver.pool is not None
    pids = solver.pool.processes
    assert len(pids) == 2
    # one is killed: its subspace is solved here, and the other process goes on
    os.kill(pids[0], signal.SIGKILL)
    assert_same(solver(spaces), expected)
    assert solver.pool.processes == pids[1:]
    solver.close()
    assert not any(map(is_running, pids))


def test_small_subspaces_start_no_process(full: FullSpace, spaces: list[Subspace], expected: list[SolvedSpace]) -> None:
    solver = SubspaceSolver(full.molecule, full, lambda: None, most=2, worth_s=1e9)
    assert_same(solver(spaces), expected)
    assert solver.pool is None
    alone = SubspaceSolver(full.molecule, full, lambda: None, most=1, worth_s=0.0)
    assert_same(alone(spaces), expected)
    assert alone.pool is None
    assert usable_processors() >= 1


def test_a_stop_does_not_wait_for_a_worker_and_one_whose_run_died_ends(full: FullSpace, spaces: list[Subspace]) -> None:
    def stop() -> None:
        raise StopRequested(0)

    pool = SubspacePool(1, full.molecule, stop)
    with pytest.raises(StopRequested):
        pool.solve(spaces)
    (process,) = pool._processes  # its input ends as when the run's process is killed
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 0
    pool.close()
