"""Accuracy of energy levels after a VQE (q-sc-EOM): errors against their error bars, rounds and jobs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qiskit.primitives.containers.sampler_pub import SamplerPub

from benchmarks.accuracy_energies import MHA, CountedRounds, fcidump
from benchmarks.bounds import Bound, Side
from hybridloop.algorithms.levels import MAX_LEVEL_ROUNDS
from hybridloop.algorithms.problems.determinants import determinants_of, hamiltonian_matrix, spin_squared_matrix
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.descriptions.levels import LevelsSettings
from hybridloop.preparation.levels import PreparedLevels
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.preparation_helpers import prepared

MAX_ERROR_MHA = 1.5
# distances in ångström; STO-3G unless said
MOLECULES = ("H2_0.735", "H2_1.4", "H2_2.2", "H2_0.74_6-31g", "H2_1.4_6-31g", "H2_2.2_6-31g")


def levels_after_vqe(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Compare the four lowest levels with full diagonalization, on sampled rounds with the default settings."""
    bounds = list[Bound]()
    for name in MOLECULES[:2] if quick else MOLECULES:
        errors, deviations, rounds, jobs = list[float](), list[float](), list[int](), list[int]()
        wrong_spins = 0
        for seed in range(2 if quick else 5):
            run = prepared("levels", ProblemText(name=name, text=fcidump(name)), LevelsSettings(), seed)
            assert isinstance(run, PreparedLevels)
            counted = _LevelRounds(run, seed)
            outcome = run.measure(counted, lambda _: None)
            spins = _multiplicities(run.problem.molecule)
            wrong_spins += sum(row["multiplicity"] != spin for row, spin in zip(outcome.table, spins, strict=False))
            rounds.append(counted.of_levels.rounds)
            jobs.append(counted.of_levels.jobs)
            errors += [row["standard_error"] / MHA for row in outcome.table]
            deviations += [abs(row["energy"] - row["exact"]) / row["standard_error"] for row in outcome.table]
        bounds += [
            Bound(f"levels, {name}: largest |error|", max(deviations), Side.AT_MOST, 3, "standard errors"),
            Bound(f"levels, {name}: largest standard error", max(errors), Side.AT_MOST, MAX_ERROR_MHA, "mHa"),
            Bound(f"levels, {name}: rounds after the VQE", max(rounds), Side.AT_MOST, MAX_LEVEL_ROUNDS),
            Bound(f"levels, {name}: jobs after the VQE", float(np.mean(jobs)), Side.AT_MOST, 4000),
            Bound(f"levels, {name}: other spins than the exact", wrong_spins, Side.AT_MOST, 0),
        ]
    return bounds


def _multiplicities(molecule: Molecule) -> list[int]:
    """Return 2S + 1 of all levels, ascending; a small multiple of S² parts levels that coincide."""
    states = determinants_of(molecule)
    squared = spin_squared_matrix(molecule.norb, states).toarray()
    vectors = np.linalg.eigh(hamiltonian_matrix(molecule, states).toarray() + 1e-8 * squared)[1]
    return [round(np.sqrt(1 + 4 * max(0.0, float(vector @ squared @ vector)))) for vector in vectors.T]


class _LevelRounds:
    """Sampled rounds, of which those of the levels are counted: their circuits have angles of a preparation."""

    def __init__(self, run: PreparedLevels, seed: int) -> None:
        self._angles = run.unitary.num_parameters
        self._of_vqe = shot_rounds(seed)
        self.of_levels = CountedRounds(self._of_vqe)

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        is_of_levels = pubs[0].circuit.num_parameters > self._angles
        return (self.of_levels if is_of_levels else self._of_vqe)(pubs)
