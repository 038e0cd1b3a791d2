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
from hybridloop.algorithms.estimation.estimates import Estimate, combine, group_statistics
from hybridloop.algorithms.estimation.evaluation import Evaluation, evaluation
from hybridloop.algorithms.estimation.final import FinalMeasurement, measure_final_estimate, pilot_shots
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.optimizers.missing_points import (
    FAIL,
    MissingPointPolicy,
    apply_missing_point_policy,
    check_missing_point_policy,
)
from hybridloop.algorithms.optimizers.overlaps import (
    OverlapMeasurement,
    all_zeros_fraction,
    overlap_circuit,
    overlap_pairs,
    tell_overlaps,
)
from hybridloop.algorithms.outcome import RoundLog, RoundProgress
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub, RoundCounter, RunRound
from hybridloop.algorithms.vqe import DEFAULT_MAX_ROUNDS, DEFAULT_PRECISION, DEFAULT_SHOTS
from hybridloop.errors import InputError

MAX_OVERLAP = 0.02  # |⟨below|level⟩|²: it shifts the energy by that fraction of the gap


@dataclass(frozen=True, slots=True)
class Level:
    """One energy level: its final measurement, parameters (radians), and |⟨below|level⟩|² with each level below.

    An overlap is NaN where its job failed. `converged` is true if the search met its own criterion; `reason` says what
    ended it.
    """

    final: FinalMeasurement
    parameters: tuple[float, ...]
    overlaps: tuple[float, ...]
    converged: bool
    reason: str

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
) -> VqdResult:
    """Minimize E(θ) + β Σ_below |⟨ψ_below|ψ(θ)⟩|² (O. Higgott, D. Wang and S. Brierley, Quantum 3 (2019) 156).

    For each level, the searches from all `starts`, points (n,) in radians, run side by side in shared rounds, and the
    lowest end is taken. An overlap is the probability of all zeros after U(θ) and the inverse of U(θ_below): one more
    circuit for each level below. The deflation weight β (`penalty`, hartree) must be above the spectrum's width; by
    default it is the bound 2 Σ|c| of that width. `max_rounds` bounds the search for one level. The progress of a search
    shows the lowest objective of all its starts.

    Raises InputError for invalid settings, JobFailed where a failed job ends the run.
    """
    energy = observable(hamiltonian)
    width = 2.0 * math.fsum(group.max_abs_energy for group in energy.groups)
    penalty = width if penalty is None else penalty
    _check(ansatz, starts, levels, penalty)
    ledger, log, overlaps = RoundCounter(run_round), RoundLog(on_progress), OverlapMeasurement.of(ansatz)
    results: list[Level] = []
    for _ in range(levels):
        objective = _DeflatedObjective(
            evaluation(energy, ansatz, ledger),
            tuple(overlap_circuit(ansatz.circuit, level.parameters) for level in results),
            penalty,
        )
        optimizers = [make_optimizer(replace(ansatz, initial_point=start)) for start in starts]
        for optimizer in optimizers:
            check_missing_point_policy(on_lost, optimizer)
        recent = _run_optimizers(objective, optimizers, overlaps, shots, max_rounds, on_lost, log)
        results.append(_measure_level(objective, optimizers, ansatz, recent, shots, precision, log))
    return VqdResult(tuple(results), penalty, ledger.rounds, ledger.circuits, ledger.shots, tuple(log.history))


def _check(ansatz: Ansatz, starts: Sequence[NDArray[np.float64]], levels: int, penalty: float) -> None:
    if not 1 <= levels <= 2**ansatz.circuit.num_qubits:
        problem = f"{levels} levels of {ansatz.circuit.num_qubits} qubit(s)"
        raise InputError("levels", problem, f"Give 1 to {2**ansatz.circuit.num_qubits}.")
    if not starts:
        raise InputError("starts", "there is no point to start from", "Give at least one.")
    if not (math.isfinite(penalty) and penalty >= 0):
        problem = f"{penalty} is not a finite energy of 0 or more"
        raise InputError("penalty", problem, "Give a value in hartree above the spectrum's width.")


def _run_optimizers(
    objective: _DeflatedObjective,
    optimizers: Sequence[Optimizer],
    overlaps: OverlapMeasurement,
    shots: int,
    max_rounds: int,
    on_lost: MissingPointPolicy,
    log: RoundLog,
) -> list[Estimate]:
    """Run all optimizers to their ends in shared rounds; return the energies measured last."""
    recent: list[Estimate] = []
    for _ in range(max_rounds):
        # Measure the points and overlaps of all optimizers in one round.
        batches = [optimizer.ask() for optimizer in optimizers]
        pairs = [overlap_pairs(optimizer, overlaps.num_parameters) for optimizer in optimizers]
        if not any(map(len, batches)):
            break
        overlap_pubs = overlaps.pubs(np.concatenate(pairs), shots)
        measured, objectives, energies, results = objective.measure(np.concatenate(batches), shots, overlap_pubs)
        measured_pairs, overlap_estimates = overlaps.read(results)
        recent = energies or recent
        # Tell each optimizer its part.
        point_count = pair_count = 0
        for optimizer, batch, batch_pairs in zip(optimizers, batches, pairs, strict=True):
            part = slice(point_count, point_count + len(batch))
            pair_part = slice(pair_count, pair_count + len(batch_pairs))
            tell_overlaps(optimizer, measured_pairs[pair_part], overlap_estimates[pair_part], on_lost)
            if len(batch):
                optimizer.tell(measured[part], apply_missing_point_policy(objectives[part], on_lost))
            point_count, pair_count = part.stop, pair_part.stop
        # Report the lowest objective.
        current = [estimate for optimizer in optimizers if (estimate := optimizer.current)]
        best = min(current, key=lambda estimate: estimate.value, default=None)
        circuits = point_count * len(objective.circuits) + pair_count
        log.add("search", best, point_count, circuits, circuits * shots)
    return recent


def _measure_level(
    objective: _DeflatedObjective,
    optimizers: Sequence[Optimizer],
    ansatz: Ansatz,
    recent: Sequence[Estimate],
    shots: int,
    precision: float,
    log: RoundLog,
) -> Level:
    """Select the optimizer with the lowest best value and measure energy and overlaps at its point."""
    finished = [optimizer for optimizer in optimizers if optimizer.best is not None]
    lowest = min(finished, key=lambda optimizer: optimizer.best.value) if finished else optimizers[0]  # type: ignore[union-attr]
    point = ansatz.initial_point if lowest.best is None else lowest.best.point
    final = measure_final_estimate(
        objective.energy,
        point,
        pilot=pilot_shots(recent, len(objective.energy.circuits), shots, precision),
        precision=precision,
        on_round=lambda estimate, circuits, used: log.final(estimate, point, circuits, used),
    )
    stop = lowest.stop
    return Level(
        final=final,
        parameters=tuple(point.tolist()),
        overlaps=objective.overlaps(point, shots),
        converged=stop is not None and stop.converged,
        reason="the limit of rounds was reached; raise max_rounds" if stop is None else stop.reason,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _DeflatedObjective:
    """VQD's objective E + β Σ overlaps, with one overlap circuit for each level below."""

    energy: Evaluation
    below: tuple[QuantumCircuit, ...]
    penalty: float

    @property
    def circuits(self) -> tuple[QuantumCircuit, ...]:
        """Circuits to run for each point: those of the energy, then the overlap circuits."""
        return (*self.energy.circuits, *self.below)

    def measure(
        self, points: NDArray[np.float64], shots: int, other_pubs: Sequence[SamplerPub]
    ) -> tuple[NDArray[np.float64], list[Estimate | FailedPoint], list[Estimate], list[MeasuredPub]]:
        """Measure the points (k, n) and other PUBs in one round.

        Returns the points as measured, the objective at each, the energies of the points without a failed circuit, and
        the results of `other_pubs`.
        """
        circuits = self.circuits
        pubs = [SamplerPub.coerce((circuit, points, shots)) for circuit in circuits]
        all_results = self.energy.run_round([*pubs, *other_pubs])
        results, other_results = all_results[: len(circuits)], all_results[len(circuits) :]
        groups = self.energy.observable.groups
        objectives: list[Estimate | FailedPoint] = []
        energies: list[Estimate] = []
        for row in zip(*results, strict=True):
            counts = [result for result in row if isinstance(result, Counts)]
            if len(counts) < len(row):
                objectives.append(next(result for result in row if isinstance(result, FailedPoint)))
                continue
            tallies = [group_statistics(*pair) for pair in zip(groups, counts, strict=False)]
            energies.append(combine(self.energy.observable, tallies))
            overlaps = [all_zeros_fraction(zeros) for zeros in counts[len(groups) :]]
            objectives.append(self._objective(energies[-1], overlaps))
        return (results[0].points if results else points), objectives, energies, other_results

    def overlaps(self, point: NDArray[np.float64], shots: int) -> tuple[float, ...]:
        """Measure |⟨below|ψ⟩|² at the point (n,) for each level below, NaN where the job failed; one round."""
        if not self.below:
            return ()
        pubs = [SamplerPub.coerce((circuit, point[None, :], shots)) for circuit in self.below]
        results = [result for (result,) in self.energy.run_round(pubs)]
        return tuple(
            math.nan if isinstance(result, FailedPoint) else all_zeros_fraction(result).value for result in results
        )

    def _objective(self, energy: Estimate, overlaps: Sequence[Estimate]) -> Estimate:
        return Estimate(
            value=energy.value + self.penalty * math.fsum(overlap.value for overlap in overlaps),
            variance=energy.variance + self.penalty**2 * math.fsum(overlap.variance for overlap in overlaps),
            shots=energy.shots + sum(overlap.shots for overlap in overlaps),
            is_exact=energy.is_exact,
            rounding_bound=energy.rounding_bound + self.penalty * math.fsum(bound.rounding_bound for bound in overlaps),
        )
