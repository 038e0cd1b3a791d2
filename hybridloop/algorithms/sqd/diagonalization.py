"""Sample-based quantum diagonalization (SQD): samples of a state choose the subspace that is diagonalized.

J. Robledo-Moreno et al., arXiv:2405.05068; without configuration recovery it is QSCI: K. Kanno et al.,
arXiv:2302.11320.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.configurations import Samples
from hybridloop.algorithms.optimizers.base import PointEstimate
from hybridloop.algorithms.outcome import RoundLog
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.sqd.determinants import determinant_record, determinant_subspaces
from hybridloop.algorithms.sqd.full_space import SolvedSpace, SolveSpaces
from hybridloop.algorithms.steps import Steps

UNCHANGED = 3  # iterations in a row that change the energy by less than the tolerance end the run
OCCUPATION_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class SqdBounds:
    """Bounds of the iterations: determinants of a subspace, batches of each iteration, iterations, and their end.

    The iterations end once three in a row have changed the lowest energy by less than `tolerance` in hartree.
    """

    max_subspace: int
    batches: int
    iterations: int
    tolerance: float
    seed: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The lowest state of one batch's subspace: energy in hartree, its variance in hartree² (None: space too large)."""

    iteration: int
    energy: float
    determinants: int
    variance: float | None
    spin_squared: float


@dataclass(frozen=True, slots=True)
class SqdResult:
    """All batches in order, the best of them, and the shots whose electrons were corrected in the last iteration."""

    batches: tuple[Batch, ...]
    best: Batch
    is_self_consistent: bool
    iterations: int
    corrected: int

    def lowest_of(self, iteration: int) -> Batch:
        """Return the batch of the lowest energy in one iteration."""
        return min((each for each in self.batches if each.iteration == iteration), key=lambda batch: batch.energy)


def diagonalize_samples(
    samples: Samples,
    molecule: Molecule,
    solve: SolveSpaces,
    bounds: SqdBounds,
    steps: Steps,
    log: RoundLog,
    point: NDArray[np.float64],
) -> SqdResult:
    """Diagonalize the Hamiltonian in subspaces that the samples choose, with self-consistent configuration recovery.

    The first iteration takes the samples with the right electrons. Each further one corrects all others by the mean
    occupations of the batches before. A batch's subspace has the heaviest strings of the best state so far and strings
    drawn from its samples. Every energy is that of a state, thus an upper bound. `point` are the circuit's angles.
    """
    batches: list[Batch] = []
    values: dict[str, Any] | None = None
    best = np.inf
    unchanged = iteration = 0
    shots = int(samples.shots.sum())
    while iteration < bounds.iterations and unchanged < UNCHANGED:
        iteration += 1
        compute = partial(_iterate, iteration, values, samples, molecule, solve, bounds)
        values = steps(f"sqd iteration {iteration}", compute)
        batches += [Batch(iteration, **batch) for batch in values["batches"]]
        unchanged = unchanged + 1 if best - values["energy"] < bounds.tolerance else 0
        best = min(best, values["energy"])
        is_first = iteration == 1
        log.add("search", PointEstimate(point, best, 0.0), 1, int(is_first), shots if is_first else 0)
    assert values is not None
    lowest = min(batches, key=lambda batch: batch.energy)
    return SqdResult(tuple(batches), lowest, unchanged >= UNCHANGED, iteration, values["corrected"])


def _iterate(
    iteration: int,
    before: dict[str, Any] | None,
    samples: Samples,
    molecule: Molecule,
    solve: SolveSpaces,
    bounds: SqdBounds,
) -> dict[str, Any]:
    """Return an iteration's values as JSON: its batches, the best state's strings, and the mean occupations."""
    generator = np.random.default_rng([bounds.seed, iteration])
    configurations = samples.valid if before is None else None
    if configurations is None or not len(configurations.shots):
        means = _reference_occupations(molecule) if before is None else np.array(before["occupations"])
        configurations = samples.recover(means, generator)
    solved = solve(
        determinant_subspaces(configurations, before, molecule, bounds.max_subspace, bounds.batches, generator)
    )
    states = [each.state for each in solved]
    best = min(states, key=lambda state: state.energy)
    if before is None or best.energy <= before["energy"]:
        energy, kept = best.energy, determinant_record(best)
    else:
        energy, kept = before["energy"], {"state": before["state"]}
    occupations = np.mean([state.occupations(molecule.norb) for state in states], axis=0)
    return {
        "energy": energy,
        **kept,
        "occupations": np.round(occupations, OCCUPATION_DECIMALS).tolist(),
        "batches": [_batch(each) for each in solved],
        "configurations": len(configurations.shots),
        "corrected": 0 if before is None else int(samples.shots[~samples.is_valid].sum()),
    }


def _reference_occupations(molecule: Molecule) -> NDArray[np.float64]:
    """Return the occupations (2 norb,) of the Hartree-Fock determinant."""
    return np.concatenate([np.arange(molecule.norb) < count for count in molecule.electrons]).astype(float)


def _batch(solved: SolvedSpace) -> dict[str, Any]:
    state = solved.state
    return {
        "energy": state.energy,
        "determinants": state.size,
        "variance": solved.variance,
        "spin_squared": state.spin_squared,
    }
