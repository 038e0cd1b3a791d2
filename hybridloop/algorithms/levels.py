"""Energy levels from a VQE's circuit by q-sc-EOM: the Hamiltonian's matrix between rotated states is measured.

q-sc-EOM: quantum self-consistent equation of motion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.model_space import ModelSpace, ModelState, preparation_circuit
from hybridloop.algorithms.estimation.estimates import (
    RARE_SHOTS95,
    Estimate,
    GroupStatistics,
    group_statistics,
    shown_unseen,
)
from hybridloop.algorithms.estimation.final import (
    MAX_SHOTS,
    MIN_PILOT_SHOTS,
    PRECISION_MARGIN,
    FinalMeasurement,
    Stages,
)
from hybridloop.algorithms.estimation.observable import Observable
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.estimation.subspace import (
    MAX_BIAS,
    State,
    SubspaceMatrix,
    allocate_shots,
    measured_states,
)
from hybridloop.algorithms.outcome import RoundLog
from hybridloop.algorithms.problems.determinants import spin_squared_matrix
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.algorithms.rounds import Counts, FailedPoint, RunRound, left_of
from hybridloop.errors import JobFailed

MAX_LEVEL_ROUNDS = 3
SPIN_TOLERANCE = 0.5  # of ⟨S²⟩; the nearest other values are at least 2 away

Place = tuple[int, int]  # of a level: the number of its block, and of its eigenvalue there


@dataclass(frozen=True, slots=True)
class SubspaceLevel:
    """One energy level in hartree, or a Pauli sum's unit, with its standard error, and its place in the spectrum.

    The standard error has the part `unseen` of outcomes that were not seen (`Estimate`). `noise_bias` is the shift of
    the eigenvalue by noise, which is subtracted from `energy`. Both it and the standard error come from a parametric
    bootstrap. `excitation` is the energy above the lowest level, with its own error: parts of the levels' errors
    cancel. `spin_squared` is ⟨S²⟩ of the level's determinants, `multiplicity` 2S + 1 of the spin that it is near; None
    between two. A Pauli sum has neither. `symmetry` numbers the block of reference states, 0 for that of the VQE's.
    """

    energy: float
    standard_error: float
    unseen: float
    rounding_bound: float
    noise_bias: float
    excitation: float
    excitation_error: float
    spin_squared: float | None
    multiplicity: int | None
    symmetry: int


@dataclass(frozen=True, slots=True)
class LevelsResult:
    """Levels in ascending order, the measurement of the lowest, and the number of rounds.

    The measurement is precise if all levels reached the requested precision.
    """

    levels: tuple[SubspaceLevel, ...]
    final: FinalMeasurement
    rounds: int


@dataclass(frozen=True, slots=True)
class LevelsWanted:
    """The number of lowest levels, the `Sampling` with the standard error of each, and the seed of the bootstrap."""

    number: int
    sampling: Sampling
    seed: int


def measure_levels(
    problem: ElectronicProblem | PauliProblem,
    space: ModelSpace,
    energy: Observable,
    ansatz: Ansatz,
    run_round: RunRound,
    wanted: LevelsWanted,
    log: RoundLog,
) -> LevelsResult:
    """Measure the lowest levels of the Hamiltonian between the states U(θ)|I⟩, for the reference states I of the space.

    A. Asthana et al., Chem. Sci. 14 (2023) 2405; of basis states R. M. Parrish et al., Phys. Rev. Lett. 122 (2019)
    230401. For a molecule the circuit `ansatz` is U(θ) after the reference state, and must be the unitary of a VQE on
    all determinants, without shortening; its initial point are the VQE's angles in radians. For a Pauli sum it is that
    of `basis_space`. The states are orthonormal, so the levels are the matrix's eigenvalues. With a complete space they
    are exact at any angles; a VQE's angles make the couplings of the ground state small. Those are measured too.
    Elements between blocks of the space vanish.

    All states are measured in one round. One or two further rounds reach the precision. A circuit whose job failed is
    measured again in the next round. What earlier stages of a run measured is pooled with them: see `Stages`. Raises
    JobFailed where a circuit has no result after `MAX_LEVEL_ROUNDS`.
    """
    levels, precision, point = wanted.number, wanted.sampling.precision, ansatz.initial_point
    measurement = _Measurement.of(problem, space, energy, ansatz, point, run_round)
    rounds = circuits = shots = 0
    fitted: list[SubspaceMatrix] = []
    failed: FailedPoint | None = None
    further = np.where(measurement.missing(), MIN_PILOT_SHOTS, 0)
    if not further.any():  # the run was extended
        fitted = measurement.fit()
        found = measurement.estimate(fitted, _lowest(fitted, levels)[0])
        log.final(found, point, further.size, found.shots)
        further = measurement.further_shots(fitted, wanted)
    while rounds < MAX_LEVEL_ROUNDS and further.any():
        # one round, pooled with those before; rounds without a result for each circuit count with the next one
        rounds, circuits, shots = rounds + 1, circuits + int(np.count_nonzero(further)), shots + int(further.sum())
        failed = measurement.measure(further, run_round) or failed
        if (missing := measurement.missing()).any():
            further = np.where(missing, MIN_PILOT_SHOTS, 0)
            continue
        fitted = measurement.fit()
        log.final(measurement.estimate(fitted, _lowest(fitted, levels)[0]), point, circuits, shots)
        circuits = shots = 0
        further = measurement.further_shots(fitted, wanted)
    if not fitted:
        raise JobFailed(
            f"a circuit of the levels failed in all {MAX_LEVEL_ROUNDS} rounds ({failed.reason if failed else ''})",
            "The VQE is over and its energy is known, the levels are not.",
            "Run again.",
        )
    places = _lowest(fitted, levels)
    estimates = [measurement.estimate(fitted, place) for place in places]
    errors = [each.rounding_bound if each.is_exact else each.expected_error for each in estimates]
    table = measurement.levels(fitted, places, np.random.default_rng(wanted.seed))
    lowest = table[0]
    ground = replace(
        estimates[0],
        value=lowest.energy,
        variance=max(0.0, lowest.standard_error**2 - lowest.unseen**2),
        rare_variance=0.0,
        unseen=lowest.unseen,
        rounding_bound=lowest.rounding_bound,
    )
    return LevelsResult(table, FinalMeasurement(ground, max(errors) <= precision, drifted=measurement.drifted), rounds)


def levels_table(
    found: LevelsResult, exact: tuple[float, ...] | None, electrons: list[int] | None
) -> tuple[dict[str, Any], ...]:
    """Return the rows of a result's table, with the exact energies if they are known."""
    rows = zip(found.levels, exact or (None,) * len(found.levels), strict=True)
    return tuple(_table_row(number, *row, electrons) for number, row in enumerate(rows))


def _table_row(number: int, level: SubspaceLevel, exact: float | None, electrons: list[int] | None) -> dict[str, Any]:
    return {
        "level": number,
        "energy": level.energy,
        "standard_error": level.standard_error,
        "unseen_bound": RARE_SHOTS95 * level.unseen,
        "rounding_bound": level.rounding_bound,
        "exact": exact,
        "noise_bias": level.noise_bias,
        "excitation": level.excitation,
        "excitation_error": level.excitation_error,
        "multiplicity": level.multiplicity,
        "spin_squared": level.spin_squared,
        "electrons": electrons,
        "symmetry": level.symmetry,
    }


def _lowest(fitted: Sequence[SubspaceMatrix], levels: int) -> list[Place]:
    """Return the places of the lowest levels, ascending."""
    values = [(value, block, k) for block, each in enumerate(fitted) for k, value in enumerate(each.values.tolist())]
    return [(block, k) for _, block, k in sorted(values)[:levels]]


@dataclass(frozen=True, slots=True, eq=False)
class _Measurement:
    """Circuits of all states, block by block, and the stages of their statistics, by state and group.

    `circuits[row]` and `points[row]` are those of one state; states that differ in their angles alone share circuits.
    `rows[block]` are the rows of a block's `states`.
    """

    problem: ElectronicProblem | PauliProblem
    space: ModelSpace
    energy: Observable
    states: tuple[tuple[State, ...], ...]
    rows: tuple[slice, ...]
    circuits: tuple[tuple[QuantumCircuit, ...], ...]
    points: tuple[NDArray[np.float64], ...]
    stages: Stages

    @classmethod
    def of(
        cls,
        problem: ElectronicProblem | PauliProblem,
        space: ModelSpace,
        energy: Observable,
        ansatz: Ansatz,
        point: NDArray[np.float64],
        run_round: RunRound,
    ) -> _Measurement:
        """Build the circuits, for each group, each set of qubits in which two states differ, and kind of phase."""
        qubits = ansatz.circuit.num_qubits
        by_kind: dict[tuple[int, bool], tuple[QuantumCircuit, ...]] = {}
        states: list[tuple[State, ...]] = []
        rows: list[slice] = []
        circuits: list[tuple[QuantumCircuit, ...]] = []
        points: list[NDArray[np.float64]] = []
        for block in space.blocks:
            flips = block if isinstance(problem, PauliProblem) else _flips(problem, block)
            states.append(tuple(measured_states(len(block), space.pairs(block), is_real=space.is_real)))
            rows.append(slice(len(points), len(points) + len(states[-1])))
            for i, j, phase in states[-1]:
                state = ModelState(flips[i], flips[j], phase)
                if (kind := (state.flip, state.is_real)) not in by_kind:
                    prepared = preparation_circuit(ansatz.circuit, state.flip, is_real=state.is_real)
                    by_kind[kind] = tuple(group.measurement_circuit(prepared) for group in energy.groups)
                circuits.append(by_kind[kind])
                points.append(np.concatenate([point, state.angles(qubits)]))
        pairs = zip(circuits, points, strict=True)
        pubs = [SamplerPub.coerce((each, point[None, :], 1)) for of_state, point in pairs for each in of_state]
        groups = energy.groups * len(points)
        earlier = [
            [
                group_statistics(group, counts) if isinstance(counts, Counts) else None
                for group, (counts,) in zip(groups, stage, strict=True)
            ]
            for stage in left_of(run_round, pubs)
        ]
        stages = Stages(earlier, len(pubs))
        return cls(problem, space, energy, tuple(states), tuple(rows), tuple(circuits), tuple(points), stages)

    @property
    def statistics(self) -> list[list[GroupStatistics | None]]:
        """The statistics of each state's groups, pooled over all stages."""
        width, pooled = len(self.energy.groups), self.stages.pooled
        return [pooled[first : first + width] for first in range(0, len(pooled), width)]

    @property
    def drifted(self) -> int:
        """The shots of earlier stages that are left out."""
        return self.stages.drifted

    def measure(self, shots: NDArray[np.int64], run_round: RunRound) -> FailedPoint | None:
        """Measure each circuit that gets shots (states, groups) in one round; return a failure if there was one."""
        cells = [(int(row), int(group)) for row, group in np.argwhere(shots)]
        pubs = [
            SamplerPub.coerce((self.circuits[row][group], self.points[row][None, :], int(shots[row, group])))
            for row, group in cells
        ]
        failed, found = None, dict[int, GroupStatistics]()
        for (row, group), (counts,) in zip(cells, run_round(pubs), strict=True):
            if isinstance(counts, FailedPoint):
                failed = counts
            else:
                found[row * len(self.energy.groups) + group] = group_statistics(self.energy.groups[group], counts)
        self.stages.add(found)
        return failed

    def missing(self) -> NDArray[np.bool_]:
        """Return the circuits (states, groups) without a result."""
        return np.array([[cell is None for cell in row] for row in self.statistics])

    def fit(self) -> list[SubspaceMatrix]:
        """Fit the matrix of each block."""
        means, variances = self._numbers("mean").sum(axis=1), self._numbers("variance").sum(axis=1)
        energies = self.energy.constant + means
        pairs = zip(self.states, self.rows, strict=True)
        return [SubspaceMatrix.fit(states, energies[rows], variances[rows]) for states, rows in pairs]

    def estimate(self, fitted: Sequence[SubspaceMatrix], place: Place) -> Estimate:
        """Return the estimate of a level to first order in the noise, with the shots of all circuits."""
        block, k = place
        shots, is_exact = int(self._numbers("shots").sum()), bool(self._numbers("is_exact").all())
        bound = fitted[block].rounding_bound(self._numbers("rounding_bound").sum(axis=1)[self.rows[block]])
        weights = np.abs(fitted[block].weights(k)[k].real)
        unseen = float((weights * self._numbers("unseen").max(axis=1)[self.rows[block]]).max())
        sampled = float(weights**2 @ self._numbers("sampled_variance").sum(axis=1)[self.rows[block]])
        return Estimate(
            float(fitted[block].values[k]),
            sampled + unseen**2,
            shots,
            is_exact,
            bound,
            rare_variance=unseen**2,
            unseen=shown_unseen(unseen, sampled),
        )

    def further_shots(self, fitted: Sequence[SubspaceMatrix], wanted: LevelsWanted) -> NDArray[np.int64]:
        """Return further shots of each circuit (states, groups) for the precision; all 0 once it is reached."""
        measured = self._numbers("shots").astype(int)
        further, precision = np.zeros_like(measured), wanted.sampling.precision
        places = _lowest(fitted, wanted.number)
        for block in {block for block, _ in places}:
            rows, matrix, chosen = self.rows[block], fitted[block], [k for other, k in places if other == block]
            if (bound := self.estimate(fitted, (block, 0)).rounding_bound) > precision:
                ratio = bound / (PRECISION_MARGIN * precision)  # rounding is proportional to 1 / shots
                further[rows] = np.ceil(np.minimum(measured[rows] * ratio, MAX_SHOTS))
            is_reached = all(
                self.estimate(fitted, (block, k)).expected_error <= precision
                and matrix.shift_weights(k, precision) @ matrix.variances <= MAX_BIAS * precision
                for k in chosen
            )
            if not is_reached:
                variances = self._numbers("shot_variance")[rows]
                further[rows] = allocate_shots(
                    self.states[block], matrix.energies, variances, measured[rows], chosen, precision
                )
        return wanted.sampling.whole_jobs_of(further)

    def levels(
        self, fitted: Sequence[SubspaceMatrix], places: Sequence[Place], generator: np.random.Generator
    ) -> tuple[SubspaceLevel, ...]:
        """Return the levels with bootstrapped errors and their spins, ascending once the noise's shift is taken off."""
        rare = (self._numbers("variance") - self._numbers("sampled_variance")).sum(axis=1)
        drawn = [matrix.bootstrap(generator, rare[rows]) for matrix, rows in zip(fitted, self.rows, strict=True)]
        draws = np.array([drawn[block][:, k] for block, k in places])
        biases = draws.mean(axis=1) - [fitted[block].values[k] for block, k in places]
        energies = np.array([fitted[block].values[k] for block, k in places]) - biases
        order = np.argsort(energies, kind="stable").tolist()
        lowest, found = order[0], list[SubspaceLevel]()
        for row in order:
            block, k = places[row]
            squared, multiplicity = self._spin(block, fitted[block].vectors[:, k])
            own, ground = (self.estimate(fitted, each) for each in ((block, k), places[lowest]))
            found.append(
                SubspaceLevel(
                    energy=float(energies[row]),
                    standard_error=math.hypot(draws[row].std(), own.unseen),
                    unseen=own.unseen,
                    rounding_bound=own.rounding_bound,
                    noise_bias=float(biases[row]),
                    excitation=float(energies[row] - energies[lowest]),
                    excitation_error=0.0
                    if row == lowest
                    else math.hypot((draws[row] - draws[lowest]).std(), max(own.unseen, ground.unseen))
                    + own.rounding_bound
                    + ground.rounding_bound,
                    spin_squared=squared,
                    multiplicity=multiplicity,
                    symmetry=block,
                )
            )
        return tuple(found)

    def _spin(self, block: int, amplitudes: NDArray[np.float64]) -> tuple[float | None, int | None]:
        """Return ⟨S²⟩ and the multiplicity of a level of a molecule."""
        if isinstance(self.problem, PauliProblem):
            return None, None
        molecule = self.problem.molecule
        operator = spin_squared_matrix(molecule.norb, np.array(self.space.blocks[block]))
        squared = float(amplitudes @ (operator @ amplitudes))
        return squared, _multiplicity(squared, sum(molecule.electrons))

    def _numbers(self, name: str) -> NDArray[np.float64]:
        """Return a figure of the statistics, (states, groups)."""
        return np.array([[float(getattr(cell, name)) for cell in row] for row in self.statistics])


def _flips(problem: ElectronicProblem, determinants: Sequence[int]) -> list[int]:
    """Return the qubits that the determinants flip in the reference state."""
    return [problem.encoding.basis_state(determinant) ^ problem.reference_state for determinant in determinants]


def _multiplicity(squared: float, electrons: int) -> int | None:
    """Return 2S + 1 of the spin S that ⟨S²⟩ is near, None between two; it is odd for an even number of electrons."""
    root = math.sqrt(1.0 + 4.0 * max(squared, 0.0))
    nearest = min(range(1 + electrons % 2, electrons + 2, 2), key=lambda multiplicity: abs(multiplicity - root))
    is_near = abs(squared - (nearest**2 - 1) / 4) <= SPIN_TOLERANCE
    return nearest if is_near else None
