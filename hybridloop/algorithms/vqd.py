"""Excited states by variational quantum deflation: each level is the lowest that overlaps with none below it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.estimation import Estimate, combine, tally
from hybridloop.algorithms.evaluation import Evaluation, evaluation
from hybridloop.algorithms.final import FinalMeasurement, measure_finally, pilot_shots
from hybridloop.algorithms.lost import FAIL, LostPoints, as_told, check_lost_points
from hybridloop.algorithms.measurement import observable
from hybridloop.algorithms.optimizer import Optimizer
from hybridloop.algorithms.outcome import Progress, RoundLog
from hybridloop.algorithms.overlaps import Overlaps, asked_overlaps, overlap_with, share_of_zeros, tell_overlaps
from hybridloop.algorithms.rounds import CountedRounds, Counts, Lost, Measured, RunRound
from hybridloop.algorithms.vqe import DEFAULT_MAX_ROUNDS, DEFAULT_PRECISION, DEFAULT_SHOTS
from hybridloop.errors import InputError

MOST_OVERLAP = 0.02  # squared, with a level below: more of it moves the energy by that share of the gap


@dataclass(frozen=True, slots=True)
class Level:
    """One level: its energy, measured anew, the angles of its state, and |⟨below|it⟩|² with each level below.

    `converged` says that its search met its own criterion; `reason` what ended it. `is_apart` is false where an
    overlap is above `MOST_OVERLAP`: the energy then mixes levels.
    """

    final: FinalMeasurement
    parameters: tuple[float, ...]
    overlaps: tuple[float, ...]
    converged: bool
    reason: str

    @property
    def is_apart(self) -> bool:
        """Whether it keeps clear of all levels below."""
        return all(each <= MOST_OVERLAP for each in self.overlaps)


@dataclass(frozen=True, slots=True)
class VqdResult:
    """The levels as they were found, from the ground state up; with a good ansatz their energies ascend."""

    levels: tuple[Level, ...]
    penalty: float
    rounds: int
    circuits: int
    shots: int
    history: tuple[Progress, ...]


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
    on_lost: LostPoints = FAIL,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> VqdResult:
    """Minimize E(θ) + β Σ_below |⟨ψ_below|ψ(θ)⟩|² (O. Higgott, D. Wang and S. Brierley, Quantum 3 (2019) 156).

    For each level the searches from all `starts`, points (n,) in radians, go on side by side, sharing rounds, and the
    lowest end is taken. An overlap is the share of zeros after U(θ) and the inverse of U(θ_below): one more circuit for
    each level below. β (hartree) must be above the spectrum's width; by default it is that width's bound 2 Σ|c|.
    `max_rounds` bounds the search for a level. In the search's progress the value is the least objective of them all.
    """
    energy = observable(hamiltonian)
    width = 2.0 * math.fsum(group.reach for group in energy.groups)
    penalty = width if penalty is None else penalty
    _check(ansatz, starts, levels, penalty)
    ledger, log, overlaps = CountedRounds(run_round), RoundLog(on_progress), Overlaps.of(ansatz)
    found: list[Level] = []
    for _ in range(levels):
        deflated = _Deflated(
            evaluation(energy, ansatz, ledger),
            tuple(overlap_with(ansatz.circuit, each.parameters) for each in found),
            penalty,
        )
        optimizers = [make_optimizer(replace(ansatz, initial_point=start)) for start in starts]
        for each in optimizers:
            check_lost_points(on_lost, each)
        recent = _search_together(deflated, optimizers, overlaps, shots, max_rounds, on_lost, log)
        found.append(_level(deflated, optimizers, ansatz, recent, shots, precision, log))
    return VqdResult(tuple(found), penalty, ledger.rounds, ledger.circuits, ledger.shots, tuple(log.history))


def _check(ansatz: Ansatz, starts: Sequence[NDArray[np.float64]], levels: int, penalty: float) -> None:
    if not 1 <= levels <= 2**ansatz.circuit.num_qubits:
        problem = f"{levels} levels of {ansatz.circuit.num_qubits} qubit(s)"
        raise InputError("levels", problem, f"Give 1 to {2**ansatz.circuit.num_qubits}.")
    if not starts:
        raise InputError("starts", "there is no point to start from", "Give one at least.")
    if not (math.isfinite(penalty) and penalty >= 0):
        raise InputError("penalty", f"{penalty} is no energy of 0 or more", "Give one above the spectrum's width.")


def _search_together(
    deflated: _Deflated,
    optimizers: Sequence[Optimizer],
    overlaps: Overlaps,
    shots: int,
    max_rounds: int,
    on_lost: LostPoints,
    log: RoundLog,
) -> list[Estimate]:
    """All searches to their ends, one round for what all of them ask; the last energies that were measured."""
    recent: list[Estimate] = []
    for _ in range(max_rounds):
        asked = [each.ask() for each in optimizers]
        pairs = [asked_overlaps(each, overlaps.angles) for each in optimizers]
        if not any(map(len, asked)):
            break
        others = overlaps.pubs(np.concatenate(pairs), shots)
        measured, objectives, energies, answers = deflated.measured(np.concatenate(asked), shots, others)
        met, shares = overlaps.read(answers)
        recent = energies or recent
        first = first_pair = 0
        for optimizer, points, own in zip(optimizers, asked, pairs, strict=True):
            part, beside = slice(first, first + len(points)), slice(first_pair, first_pair + len(own))
            tell_overlaps(optimizer, met[beside], shares[beside], on_lost)
            if len(points):
                optimizer.tell(measured[part], as_told(objectives[part], on_lost))
            first, first_pair = part.stop, beside.stop
        best = min((each.current for each in optimizers if each.current), key=lambda each: each.value, default=None)
        circuits = first * len(deflated.circuits) + first_pair
        log.add("search", best, first, circuits, circuits * shots)
    return recent


def _level(
    deflated: _Deflated,
    optimizers: Sequence[Optimizer],
    ansatz: Ansatz,
    recent: Sequence[Estimate],
    shots: int,
    precision: float,
    log: RoundLog,
) -> Level:
    """Choose the lowest end by what the searches know, and measure there anew what is reported."""
    ends = [each for each in optimizers if each.best is not None]
    chosen = min(ends, key=lambda each: each.best.value) if ends else optimizers[0]  # type: ignore[union-attr]
    point = ansatz.initial_point if chosen.best is None else chosen.best.point
    evaluated = deflated.energy
    final = measure_finally(
        evaluated,
        point,
        pilot=pilot_shots(recent, len(evaluated.circuits), shots, precision),
        precision=precision,
        on_round=lambda estimate, circuits, used: log.final(estimate, point, circuits, used),
    )
    stop = chosen.stop
    return Level(
        final=final,
        parameters=tuple(point.tolist()),
        overlaps=deflated.overlaps(point, shots),
        converged=stop is not None and stop.converged,
        reason="the limit of rounds was reached" if stop is None else stop.reason,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Deflated:
    """The energy, and the circuits that tell how much of each level below a state has."""

    energy: Evaluation
    below: tuple[QuantumCircuit, ...]
    penalty: float

    @property
    def circuits(self) -> tuple[QuantumCircuit, ...]:
        """Of each point."""
        return (*self.energy.circuits, *self.below)

    def measured(
        self, points: NDArray[np.float64], shots: int, others: Sequence[SamplerPub]
    ) -> tuple[NDArray[np.float64], list[Estimate | Lost], list[Estimate], list[Measured]]:
        """The points as measured, the objective at each, what energies are known, and others' answers; one round."""
        circuits = self.circuits
        pubs = [SamplerPub.coerce((each, points, shots)) for each in circuits]
        every = self.energy.run_round([*pubs, *others])
        answers, further = every[: len(circuits)], every[len(circuits) :]
        objectives: list[Estimate | Lost] = []
        energies: list[Estimate] = []
        for row in zip(*answers, strict=True):
            known = [each for each in row if isinstance(each, Counts)]
            if len(known) < len(row):
                objectives.append(next(each for each in row if isinstance(each, Lost)))
                continue
            groups = self.energy.observable.groups
            tallies = [tally(*each) for each in zip(groups, known, strict=False)]
            energies.append(combine(self.energy.observable, tallies))
            objectives.append(self._objective(energies[-1], [share_of_zeros(each) for each in known[len(groups) :]]))
        return (answers[0].points if answers else points), objectives, energies, further

    def overlaps(self, point: NDArray[np.float64], shots: int) -> tuple[float, ...]:
        """|⟨below|ψ⟩|² at the point (n,) for each level below, NaN where it was lost; one round."""
        if not self.below:
            return ()
        answers = self.energy.run_round([SamplerPub.coerce((each, point[None, :], shots)) for each in self.below])
        return tuple(math.nan if isinstance(each, Lost) else share_of_zeros(each).value for (each,) in answers)

    def _objective(self, energy: Estimate, overlaps: Sequence[Estimate]) -> Estimate:
        return Estimate(
            value=energy.value + self.penalty * math.fsum(each.value for each in overlaps),
            variance=energy.variance + self.penalty**2 * math.fsum(each.variance for each in overlaps),
            shots=energy.shots + sum(each.shots for each in overlaps),
            is_exact=energy.is_exact,
            rounding_bound=energy.rounding_bound + self.penalty * math.fsum(each.rounding_bound for each in overlaps),
        )
