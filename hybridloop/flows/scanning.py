"""From several problems to a scan: one VQE after the other in one run, each starting where the last one helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hybridloop.algorithms.doubts import below_exact
from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.evaluation import evaluation
from hybridloop.algorithms.gauge import gauge_between
from hybridloop.algorithms.outcome import Outcome, Progress
from hybridloop.algorithms.rounds import CountedRounds, Lost, RunRound
from hybridloop.algorithms.uccsd import symmetric_excitations
from hybridloop.errors import InputError
from hybridloop.flows.problems import PreparedVqe, prepare_vqe, restarted
from hybridloop.flows.settings import AnsatzName, ProblemText, ScanSettings, StartName
from hybridloop.flows.starting import Start
from hybridloop.flows.terms import points_of_scan

SIGMAS = 2.0  # standard errors by which carried angles must be below Hartree-Fock


@dataclass(frozen=True, slots=True)
class PreparedScan:
    """All that a scan needs but a session. `value` and what it is held against are the first point's."""

    names: tuple[str, ...]
    points: tuple[PreparedVqe, ...]
    settings: ScanSettings
    seed: int

    @property
    def unit(self) -> str:
        """That of all points."""
        return self.points[0].unit

    @property
    def sense(self) -> int:
        """Rounds are of different points."""
        return 0

    @property
    def num_qubits(self) -> int:
        """Qubits of the widest circuit."""
        return max(each.num_qubits for each in self.points)

    @property
    def exact(self) -> float | None:
        """The exact ground-state energy of the first point."""
        return self.points[0].exact

    @property
    def reference(self) -> float:
        """The Hartree-Fock energy of the first point."""
        return self.points[0].reference

    def measured(self, run_round: RunRound, on_progress: Callable[[Progress], None], /) -> Outcome:
        """Find the energies in order; the optimizers serve once."""
        log, rounds = _Log(on_progress), 0
        outcomes: list[Outcome] = []
        rows: list[dict[str, Any]] = []
        warnings: list[str] = []
        for place, (name, point) in enumerate(zip(self.names, self.points, strict=True)):
            counted = CountedRounds(run_round)
            begun, said = point, point.start.why
            if place and self.settings.initial_point is StartName.AUTO:
                begun, said = self._carried(outcomes[-1], self.points[place - 1], point, counted)
            found, exact = begun.measured(counted, log.of_next_run()), begun.exact
            outcomes.append(found)
            rows.append(_row(name, begun, found, exact, counted, said))
            warnings += [f"{name}: {each}" for each in found.warnings]
            below = below_exact(found.value, found.standard_error, found.rounding_bound, exact)
            if place and below is not None and self.unit == "hartree":  # of the first, whoever has the result says so
                warnings.append(f"{name}: {below}")
            rounds += counted.rounds
        first = outcomes[0]
        doubtful = [
            f"{name}: {each.reason}" for name, each in zip(self.names, outcomes, strict=True) if not each.converged
        ]
        return replace(
            first,
            converged=not doubtful,
            final=replace(first.final, is_precise=all(each.is_precise for each in outcomes)),
            reason="; ".join(doubtful) or f"all {len(rows)} searches met their own criterion",
            rounds=rounds,
            history=tuple(log.history),
            table=tuple(rows),
            warnings=tuple(warnings),
            choices=(),  # each point's are in its row
        )

    def _carried(
        self, last: Outcome, before: PreparedVqe, point: PreparedVqe, run_round: RunRound
    ) -> tuple[PreparedVqe, str | None]:
        """The point's run from the last one's angles where they are known to help, else from its own start; and why."""
        if self.settings.ansatz is not AnsatzName.UCCSD or point.ansatz.num_parameters == 1 or point.ansatz.is_near:
            return point, point.start.why
        assert isinstance(before.problem, ElectronicProblem)
        assert isinstance(point.problem, ElectronicProblem)
        excitations = symmetric_excitations(point.problem)
        own = point.start.why
        if symmetric_excitations(before.problem) != excitations:
            return point, f"{own}; the last point's angles are of other excitations"
        gauge = gauge_between(before.problem.molecule, point.problem.molecule, excitations)
        if gauge.signs is None:
            return point, f"{own}; the last point's angles mean nothing here: {gauge.why}"
        angles = np.array(last.parameters) * np.array(gauge.signs)
        ansatz = replace(point.ansatz, initial_point=angles, is_near=True)
        _, (estimate,) = evaluation(point.energy.observable, ansatz, run_round).energies(
            angles[None, :], self.settings.shots
        )
        if isinstance(estimate, Lost):
            return point, f"{own}; the last point's angles could not be measured here ({estimate.reason})"
        found = f"measured {estimate.value:.6f} ± {estimate.standard_error:.6f}, Hartree-Fock is {point.reference:.6f}"
        if estimate.value + SIGMAS * estimate.standard_error >= point.reference:
            return point, f"{own}; the last point's angles are no better: {found}"
        why = f"the last point's angles, as {gauge.why}, and {found}"
        return restarted(point, Start(ansatz, why), self.seed), why


def prepare_scan(problem: ProblemText, settings: ScanSettings, seed: int) -> PreparedScan:
    """Read all points. Raises InputError, with the point's name, for what can't be used; sends nothing."""
    parts = points_of_scan(problem)
    points = tuple(prepare_vqe(each, settings, seed) for each in parts)
    if len({each.unit for each in points}) > 1:
        raise InputError("problem", "some points are molecules and some Pauli sums", "Scan them apart.")
    return PreparedScan(tuple(each.name for each in parts), points, settings, seed)


def _row(
    name: str, begun: PreparedVqe, found: Outcome, exact: float | None, took: CountedRounds, start: str | None
) -> dict[str, Any]:
    return {
        "point": name,
        "energy": found.value,
        "standard_error": found.standard_error,
        "exact": exact,
        "error": None if exact is None else found.value - exact,
        "reference": begun.reference,
        "rounds": took.rounds,
        "circuits": took.circuits,
        "shots": took.shots,
        "converged": found.converged,
        "start": start,
        "reason": found.reason,
        "choices": list(found.choices),
        "parameters": list(found.parameters),
    }


@dataclass(slots=True)
class _Log:
    """The rounds of all points, numbered through."""

    on_progress: Callable[[Progress], None]
    history: list[Progress] = field(default_factory=list)

    def of_next_run(self) -> Callable[[Progress], None]:
        """What one point's run reports to."""
        rounds = len(self.history)
        shots = self.history[-1].total_shots if self.history else 0

        def report(progress: Progress) -> None:
            numbered = replace(progress, round=rounds + progress.round, total_shots=shots + progress.total_shots)
            self.history.append(numbered)
            self.on_progress(numbered)

        return report
