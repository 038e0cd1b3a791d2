"""Variational quantum deflation (VQD): excited states, each the lowest state orthogonal to all levels below."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulated_start import simulated_start_near
from hybridloop.algorithms.circuits.statevector import StatevectorModel
from hybridloop.algorithms.estimation.coefficient_splitting import split_coefficients
from hybridloop.algorithms.estimation.estimates import Estimate, Evaluation, MeasuredObjective, evaluation
from hybridloop.algorithms.estimation.final import FinalMeasurement, measure_final_estimate, pilot_shots
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.estimation.reference_state import Reference
from hybridloop.algorithms.optimizers.base import Optimizer, residue_of
from hybridloop.algorithms.optimizers.missing_points import FAIL, MissingPointPolicy, check_missing_point_policy
from hybridloop.algorithms.optimizers.overlaps import all_zeros_fraction, overlap_circuit
from hybridloop.algorithms.outcome import RoundLog, RoundProgress
from hybridloop.algorithms.rounds import Counts, FailedPoint, RoundCounter, RunRound
from hybridloop.algorithms.vqe import (
    DEFAULT_MAX_ROUNDS,
    DEFAULT_PRECISION,
    DEFAULT_SHOTS,
    round_limit,
    run_optimizers,
)
from hybridloop.errors import InputError

MAX_OVERLAP = 0.02  # |⟨below|level⟩|²: it shifts the energy by that fraction of the gap


@dataclass(frozen=True, slots=True)
class Level:
    """One energy level: its final measurement, parameters (radians), and |⟨below|level⟩|² with each level below.

    An overlap is NaN where its job failed. `converged` is true if the search met its own criterion, `is_requested` if
    it ended where the caller asked it to; `reason` says what ended it. `residue` is what the search expects above the
    minimum, in hartree.
    """

    final: FinalMeasurement
    parameters: tuple[float, ...]
    overlaps: tuple[float, ...]
    converged: bool
    reason: str
    is_requested: bool
    residue: float | None = None

    @property
    def is_orthogonal(self) -> bool:
        """True if all overlaps are known and at most `MAX_OVERLAP`; else the energy may mix levels."""
        return all(overlap <= MAX_OVERLAP for overlap in self.overlaps)


@dataclass(frozen=True, slots=True)
class VqdResult:
    """Result of VQD: the levels in the order of their search, from the ground state up, and the resources used.

    With a sufficient ansatz the energies ascend. `penalty` is the deflation weight β in hartree.
    """

    levels: tuple[Level, ...]
    penalty: float
    rounds: int
    circuits: int
    shots: int
    history: tuple[RoundProgress, ...]


def vqd(
    hamiltonian: SparsePauliOp,
    ansatz: Ansatz,
    starts: Sequence[NDArray[np.float64]],
    make_optimizer: Callable[[Ansatz], Optimizer],
    run_round: RunRound,
    *,
    levels: int = 2,
    penalty: float | None = None,
    shots: int = DEFAULT_SHOTS,
    precision: float = DEFAULT_PRECISION,
    max_rounds: int = DEFAULT_MAX_ROUNDS,
    on_lost: MissingPointPolicy = FAIL,
    on_progress: Callable[[RoundProgress], None] = lambda _: None,
    model: StatevectorModel | None = None,
    reference: Reference | None = None,
) -> VqdResult:
    """Minimize E(θ) + β Σ_below |⟨ψ_below|ψ(θ)⟩|² (O. Higgott, D. Wang and S. Brierley, Quantum 3 (2019) 156).

    For each level, the searches from all `starts`, points (n,) in radians, run side by side in shared rounds, and the
    lowest end is taken. An overlap is the probability of all zeros after U(θ) and the inverse of U(θ_below): one more
    circuit for each level below. The deflation weight β (`penalty`, hartree) must be above the spectrum's width; by
    default it is the bound 2 Σ|c| of that width. `max_rounds` bounds the search for one level. The progress of a search
    shows the lowest objective of all its starts.

    With a classical `model` of the circuit's energy, each level has one search, from the lowest minimum of the
    simulated objective that was found from all `starts`, and from further random ones. With a `reference`, the
    coefficients of the Hamiltonian are split by its covariances.

    Raises InputError for invalid settings, JobFailed where a failed job ends the run.
    """
    # Check the settings.
    energy = observable(hamiltonian)
    width = 2.0 * math.fsum(group.max_abs_energy for group in energy.groups)
    penalty = width if penalty is None else penalty
    energy = energy if reference is None else split_coefficients(energy, reference)
    if not 1 <= levels <= 2**ansatz.circuit.num_qubits:
        problem = f"{levels} levels of {ansatz.circuit.num_qubits} qubit(s)"
        raise InputError("levels", problem, f"Give 1 to {2**ansatz.circuit.num_qubits}.")
    if not starts:
        raise InputError("starts", "there is no point to start from", "Give at least one.")
    if not (math.isfinite(penalty) and penalty >= 0):
        problem = f"{penalty} is not a finite energy of 0 or more"
        raise InputError("penalty", problem, "Give a value in hartree above the spectrum's width.")
    # Search the levels from the ground state up.
    ledger, log = RoundCounter(run_round), RoundLog(on_progress)
    results: list[Level] = []
    for _ in range(levels):
        below = tuple(overlap_circuit(ansatz.circuit, level.parameters) for level in results)
        objective = _DeflatedObjective(evaluation(energy, ansatz, ledger), below, penalty)
        searched = [replace(ansatz, initial_point=start) for start in starts]
        if model is not None:
            deflated = model.deflated([np.array(level.parameters) for level in results], penalty)
            point = simulated_start_near(deflated, *starts).point
            searched = [replace(ansatz, initial_point=point, is_near=True, model=deflated)]
        optimizers = [make_optimizer(each) for each in searched]
        for optimizer in optimizers:
            check_missing_point_policy(on_lost, optimizer)
        circuits = len(objective.energy.circuits) + len(objective.below)
        recent = run_optimizers(objective.measure, circuits, ansatz, optimizers, shots, max_rounds, on_lost, log)
        results.append(_measure_level(objective, optimizers, ansatz, recent, shots, precision, max_rounds, log))
    return VqdResult(tuple(results), penalty, ledger.rounds, ledger.circuits, ledger.shots, tuple(log.history))


def _measure_level(
    objective: _DeflatedObjective,
    optimizers: Sequence[Optimizer],
    ansatz: Ansatz,
    recent: Sequence[Estimate],
    shots: int,
    precision: float,
    max_rounds: int,
    log: RoundLog,
) -> Level:
    """Select the optimizer with the lowest best value and measure energy and overlaps at its point."""
    finished = [optimizer for optimizer in optimizers if optimizer.best is not None]
    lowest = min(finished, key=lambda optimizer: optimizer.best.value) if finished else optimizers[0]  # type: ignore[union-attr]
    point = ansatz.initial_point if lowest.best is None else lowest.best.point
    pilot = pilot_shots(recent, len(objective.energy.circuits), shots, precision)
    final = measure_final_estimate(objective.energy, point, pilot=pilot, precision=precision, on_round=log.final)
    stop = lowest.stop or round_limit(max_rounds)
    return Level(
        final=final,
        parameters=tuple(point.tolist()),
        overlaps=objective.overlaps(point, shots),
        converged=stop.converged,
        reason=stop.reason,
        is_requested=stop.is_requested,
        residue=residue_of(lowest),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _DeflatedObjective:
    """VQD's objective E + β Σ overlaps, with one overlap circuit for each level below."""

    energy: Evaluation
    below: tuple[QuantumCircuit, ...]
    penalty: float

    def measure(self, points: NDArray[np.float64], shots: int, other_pubs: Sequence[SamplerPub]) -> MeasuredObjective:
        overlap_pubs = [SamplerPub.coerce((circuit, points, shots)) for circuit in self.below]
        measured, _, energies, results = self.energy.energies_with_pubs(points, shots, [*overlap_pubs, *other_pubs])
        rows = zip(energies, *results[: len(self.below)], strict=True)
        objectives = [self._objective(energy, overlaps) for energy, *overlaps in rows]
        return measured, objectives, energies, results[len(self.below) :]

    def overlaps(self, point: NDArray[np.float64], shots: int) -> tuple[float, ...]:
        """Measure |⟨below|ψ⟩|² at the point (n,) for each level below, NaN where the job failed; one round."""
        if not self.below:
            return ()
        pubs = [SamplerPub.coerce((circuit, point[None, :], shots)) for circuit in self.below]
        results = [result for (result,) in self.energy.run_round(pubs)]
        return tuple(
            math.nan if isinstance(result, FailedPoint) else all_zeros_fraction(result).value for result in results
        )

    def _objective(
        self, energy: Estimate | FailedPoint, counts: Sequence[Counts | FailedPoint]
    ) -> Estimate | FailedPoint:
        """Return the objective of an energy and the counts of its overlaps; if a circuit failed, the first failure."""
        overlaps = [all_zeros_fraction(zeros) for zeros in counts if isinstance(zeros, Counts)]
        if isinstance(energy, FailedPoint) or len(overlaps) < len(counts):
            return next(result for result in (energy, *counts) if isinstance(result, FailedPoint))
        return Estimate(
            value=energy.value + self.penalty * math.fsum(overlap.value for overlap in overlaps),
            variance=energy.variance + self.penalty**2 * math.fsum(overlap.variance for overlap in overlaps),
            shots=energy.shots + sum(overlap.shots for overlap in overlaps),
            is_exact=energy.is_exact,
            rounding_bound=energy.rounding_bound + self.penalty * math.fsum(bound.rounding_bound for bound in overlaps),
        )
