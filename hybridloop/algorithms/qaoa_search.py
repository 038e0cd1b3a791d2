"""Better angles and more layers than QAOA starts with, each step taken only where it is shown to win."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.estimation import Estimate, combine, shot_energies, tally
from hybridloop.algorithms.lost import LostPoints, as_told, check_lost_points
from hybridloop.algorithms.measurement import Observable, observable
from hybridloop.algorithms.optimizer import Optimizer, Reading, Stop
from hybridloop.algorithms.outcome import RoundLog
from hybridloop.algorithms.qaoa_circuit import QaoaCircuit
from hybridloop.algorithms.qaoa_refine import shortfall
from hybridloop.algorithms.rounds import Counts, Lost, RunRound
from hybridloop.errors import InputError

FIXED = Stop(converged=True, reason="the fixed angles were measured; no search was asked for")


@dataclass(frozen=True, slots=True)
class Search:
    """What is tried beyond the first point.

    `optimizer` gives the search over the angles that each number of layers starts anew; None: angles stay as they are.
    `extend_to` is the number of layers that may be reached, one at a time; None: those of the first circuit.
    `cvar` is the share of the best shots that all of it goes by, 1 for the mean.
    """

    optimizer: Callable[[QaoaCircuit], Optimizer] | None = None
    extend_to: int | None = None
    cvar: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.cvar <= 1:
            raise InputError("cvar", f"{self.cvar} is no share of the shots", "Give a number above 0 and at most 1.")

    def check(self, ansatz: QaoaCircuit, on_lost: LostPoints) -> None:
        """Raise InputError for what can't be done with this circuit."""
        if self.optimizer is not None:
            check_lost_points(on_lost, self.optimizer(ansatz))
        if self.extend_to is not None and self.extend_to <= ansatz.layers:
            problem = f"{self.extend_to} layers are no more than the {ansatz.layers} to start with"
            raise InputError("extend_to", problem, "Give more, or start with fewer.")

    @property
    def is_none(self) -> bool:
        """Whether the first point is all that is measured."""
        return self.optimizer is None and self.extend_to is None


@dataclass(frozen=True, slots=True, eq=False)
class Searching:
    """A search under way: what every round of it is measured with."""

    search: Search
    run_round: RunRound
    shots: int
    on_lost: LostPoints
    log: RoundLog

    def found(self, ansatz: QaoaCircuit) -> tuple[QaoaCircuit, Stop]:
        """The circuit, started at the point to measure, and why there is no further step."""
        if self.search.is_none:
            return ansatz, FIXED
        ansatz, stop = self._refined(ansatz)
        while self.search.extend_to is not None and ansatz.layers < self.search.extend_to:
            longer, why = self._extended(ansatz)
            if why is not None:
                return longer, why
            ansatz, stop = self._refined(longer)
        return ansatz, stop if self.search.extend_to is None else _of(ansatz, stop)

    def _refined(self, ansatz: QaoaCircuit) -> tuple[QaoaCircuit, Stop]:
        """The circuit at the point that the optimizer hands back, and why it stopped."""
        if self.search.optimizer is None:
            return ansatz, Stop(converged=False, reason="as many as were allowed, and each showed a gain")
        optimizer = self.search.optimizer(ansatz)
        measured = observable(ansatz.cost.operator())
        circuit = measured.groups[0].measured(ansatz.circuit)
        while len(points := optimizer.ask()):
            (answer,) = self.run_round([SamplerPub.coerce((circuit, points, self.shots))])
            optimizer.tell(answer.points, as_told([self._estimate(measured, each) for each in answer], self.on_lost))
            self.log.add("search", optimizer.current, len(points), len(points), len(points) * self.shots)
        assert optimizer.stop is not None  # it asks for nothing more
        best = optimizer.best
        return ansatz if best is None else ansatz.started_at(best.point), optimizer.stop

    def _extended(self, ansatz: QaoaCircuit) -> tuple[QaoaCircuit, Stop | None]:
        """The circuit with as many layers more as win, and why there are no more of them; None: a limit.

        One round has all numbers of layers. Where angles are searched, it has one layer more, because the start of
        those after it is not known before.
        """
        assert self.search.extend_to is not None
        highest = self.search.extend_to if self.search.optimizer is None else ansatz.layers + 1
        rungs = [ansatz]
        while rungs[-1].layers < highest:
            rungs.append(rungs[-1].deepened())
        measured = observable(ansatz.cost.operator())
        pubs = [
            SamplerPub.coerce((measured.groups[0].measured(each.circuit), each.initial_point[None, :], self.shots))
            for each in rungs
        ]
        answers = self.run_round(pubs)
        rungs = [each.started_at(answer.points[0]) for each, answer in zip(rungs, answers, strict=True)]
        told = as_told([self._estimate(measured, answer[0]) for answer in answers], self.on_lost)
        reached, why = _climbed(told)
        estimate = told[reached]
        found = Reading.of(estimate, rungs[reached].initial_point) if isinstance(estimate, Estimate) else None
        self.log.add("search", found, len(rungs), len(rungs), len(rungs) * self.shots)
        if why is None:
            return rungs[reached], None
        return rungs[reached], _of(rungs[reached], Stop(converged=True, reason=why))

    def _estimate(self, measured: Observable, counts: Counts | Lost) -> Estimate | Lost:
        return counts if isinstance(counts, Lost) else tail_estimate(measured, counts, self.search.cvar)


def tail_estimate(measured: Observable, counts: Counts, share: float) -> Estimate:
    """The mean over the lowest `share` of the shots.

    As the mean of ψ = q + min(E − q, 0) / share over all shots, q being the share's quantile (R. T. Rockafellar and
    S. Uryasev, J. Risk 2 (2000) 21); ψ is also its influence function, so that its variance gives the error.
    """
    (group,) = measured.groups
    whole = tally(group, counts)
    if share == 1:
        return combine(measured, [whole])
    energies = shot_energies(group, counts)
    order = np.argsort(energies, kind="stable")
    reached = np.cumsum(counts.counts[order]) >= share * counts.shots * (1 - 1e-12)
    quantile = float(energies[order][int(np.argmax(reached))])
    psi = quantile + np.minimum(energies - quantile, 0.0) / share
    mean = float(counts.counts @ psi) / counts.shots
    squares = float(counts.counts @ (psi - mean) ** 2)
    bound = whole.rounding_bound / share
    return combine(measured, [replace(whole, mean=mean, squares=squares, rounding_bound=bound)])


def _of(ansatz: QaoaCircuit, stop: Stop) -> Stop:
    """The same, with the number of layers that it is about."""
    return Stop(stop.converged, f"{ansatz.layers} layer{'s' * (ansatz.layers > 1)}: {stop.reason}")


def _climbed(told: Sequence[Estimate | Lost]) -> tuple[int, str | None]:
    """How many steps win, each over the one before, and why the next does not; None where all do."""
    for reached, (start, found) in enumerate(itertools.pairwise(told)):
        for each in (start, found):
            if isinstance(each, Lost):
                return reached, f"a measurement that one more was to be held against was lost ({each.reason})"
        assert isinstance(start, Estimate)
        assert isinstance(found, Estimate)
        if (missing := shortfall(start, found)) is not None:
            return reached, f"one more does not show a gain: {missing}"
    return len(told) - 1, None
