"""Prepare a scan: one VQE after the other in one run, each started from the last one's angles where they help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hybridloop.algorithms.circuits.uccsd import symmetry_allowed_excitations
from hybridloop.algorithms.diagnostics import below_exact_warning
from hybridloop.algorithms.estimation.evaluation import evaluation
from hybridloop.algorithms.orbital_matching import match_orbitals
from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import FailedPoint, RoundCounter, RunRound
from hybridloop.azure.targets import Target
from hybridloop.errors import InputError
from hybridloop.preparation.checks import points_of_scan
from hybridloop.preparation.initial_point import Start
from hybridloop.preparation.prepared import ProblemFacts
from hybridloop.preparation.vqe import PreparedVqe, prepare_vqe, with_start
from hybridloop.settings import AnsatzName, ProblemText, ScanSettings, StartName

SIGMAS = 2.0  # standard errors by which carried angles must be below Hartree-Fock


@dataclass(frozen=True, slots=True)
class PreparedScan:
    """A scan that lacks only a session. Its value, and the facts that it is compared with, are the first point's."""

    facts: ProblemFacts
    names: tuple[str, ...]
    points: tuple[PreparedVqe, ...]
    settings: ScanSettings
    seed: int

    def measure(self, run_round: RunRound, on_progress: Callable[[RoundProgress], None], /) -> Outcome:
        """Find the energies in order; the optimizers serve one run."""
        log, rounds = _Log(on_progress), 0
        outcomes: list[Outcome] = []
        rows: list[dict[str, Any]] = []
        warnings: list[str] = []
        for place, (name, point) in enumerate(zip(self.names, self.points, strict=True)):
            counted = RoundCounter(run_round)
            begun, said = point, point.start.why
            if place and self.settings.initial_point is StartName.AUTO:
                begun, said = self._carried(outcomes[-1], self.points[place - 1], point, counted)
            found, exact = begun.measure(counted, log.of_next_run()), begun.facts.exact()
            outcomes.append(found)
            rows.append(_row(name, begun, found, exact, counted, said))
            warnings += [f"{name}: {each}" for each in found.warnings]
            below = below_exact_warning(found.value, found.standard_error, found.rounding_bound, exact)
            if place and below is not None and self.facts.unit == "hartree":  # the result warns of the first
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
        excitations = symmetry_allowed_excitations(point.problem)
        own = point.start.why
        if symmetry_allowed_excitations(before.problem) != excitations:
            return point, f"{own}; the last point's angles are of other excitations"
        gauge = match_orbitals(before.problem.molecule, point.problem.molecule, excitations)
        if gauge.signs is None:
            return point, f"{own}; the last point's angles mean nothing here: {gauge.reason}"
        angles = np.array(last.parameters) * np.array(gauge.signs)
        ansatz = replace(point.ansatz, initial_point=angles, is_near=True)
        _, (estimate,) = evaluation(point.energy.observable, ansatz, run_round).energies(
            angles[None, :], self.settings.shots
        )
        if isinstance(estimate, FailedPoint):
            return point, f"{own}; the last point's angles could not be measured here ({estimate.reason})"
        reference = point.facts.reference
        found = f"measured {estimate.value:.6f} ± {estimate.standard_error:.6f}, Hartree-Fock is {reference:.6f}"
        if estimate.value + SIGMAS * estimate.standard_error >= reference:
            return point, f"{own}; the last point's angles are no better: {found}"
        why = f"the last point's angles, as {gauge.reason}, and {found}"
        return with_start(point, Start(ansatz, why), self.seed), why


def prepare_scan(problem: ProblemText, settings: ScanSettings, seed: int, target: Target) -> PreparedScan:
    """Build the VQE of every point. Raises InputError with the point's name; sends nothing."""
    parts = points_of_scan(problem)
    points = tuple(prepare_vqe(part, settings, seed, target) for part in parts)
    if len({point.facts.unit for point in points}) > 1:
        raise InputError("problem", "some points are molecules and some Pauli sums", "Scan them apart.")
    widest = max(point.facts.num_qubits for point in points)
    facts = replace(points[0].facts, sense=0, num_qubits=widest)  # rounds are of different points
    return PreparedScan(facts, tuple(part.name for part in parts), points, settings, seed)


def _row(
    name: str, begun: PreparedVqe, found: Outcome, exact: float | None, took: RoundCounter, start: str | None
) -> dict[str, Any]:
    return {
        "point": name,
        "energy": found.value,
        "standard_error": found.standard_error,
        "exact": exact,
        "error": None if exact is None else found.value - exact,
        "reference": begun.facts.reference,
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

    on_progress: Callable[[RoundProgress], None]
    history: list[RoundProgress] = field(default_factory=list)

    def of_next_run(self) -> Callable[[RoundProgress], None]:
        """What one point's run reports to."""
        rounds = len(self.history)
        shots = self.history[-1].total_shots if self.history else 0

        def report(progress: RoundProgress) -> None:
            numbered = replace(progress, round=rounds + progress.round, total_shots=shots + progress.total_shots)
            self.history.append(numbered)
            self.on_progress(numbered)

        return report
