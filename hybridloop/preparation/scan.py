"""Prepare a scan: VQE runs in sequence, each started from the angles of the point before where they help."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hybridloop.algorithms.circuits.initial_point import match_orbitals
from hybridloop.algorithms.circuits.uccsd import mirrored_angles, symmetry_allowed_excitations
from hybridloop.algorithms.coordinates import coordinate_columns
from hybridloop.algorithms.curve_fit import as_plain, fit_curve
from hybridloop.algorithms.estimation.estimates import evaluation
from hybridloop.algorithms.geometries import Geometry, reduced_mass
from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.problems.natural_orbitals import common_size, space_doubt
from hybridloop.algorithms.rounds import FailedPoint, RoundCounter, RunRound
from hybridloop.descriptions.scan import ScanSettings
from hybridloop.errors import InputError
from hybridloop.preparation.checks import points_of_scan
from hybridloop.preparation.prepared import CIRCUIT, SEARCH, START, OnRound, PlanFacts, PreparedAlgorithm, ProblemFacts
from hybridloop.preparation.problem import EnergyProblem, parse_problem, with_asked_spin
from hybridloop.preparation.vqe import PreparedGroundState, PreparedVqe, prepare_vqe
from hybridloop.settings import NOTHING, AnsatzName, ProblemText, Recorded, StartName
from hybridloop.settings.parsing import AUTO_SPACE
from hybridloop.targets import Target

SIGMAS = 2.0  # standard errors by which the energy at carried angles must be below Hartree-Fock


@dataclass(frozen=True, slots=True)
class PreparedScan(PreparedAlgorithm):
    """A scan that lacks only a session. Its value and its facts are those of the first point."""

    facts: ProblemFacts
    names: tuple[str, ...]
    points: tuple[PreparedGroundState, ...]
    settings: ScanSettings

    @property
    def groupings(self) -> tuple[str, ...]:
        """The grouping that was chosen for each point, if the settings leave it open."""
        return tuple(grouping for point in self.points for grouping in point.groupings)

    @property
    def choices(self) -> Mapping[str, str]:
        """The origin of the angles at each point, if they differ; each row has the other choices of its point."""
        origins = [point.choices[SEARCH] for point in self.points]
        counts = [f"{origins.count(each)} of {len(origins)} points: {each}" for each in dict.fromkeys(origins)]
        return {SEARCH: origins[0] if len(counts) == 1 else "; ".join(counts)}

    def plan_facts(self, *, samples: bool) -> PlanFacts:
        """Return the sums over the points."""
        facts = [point.plan_facts(samples=samples) for point in self.points]
        return PlanFacts(
            search=sum(each.search for each in facts),
            final=sum(each.final for each in facts),
            other=sum(each.other or 0 for each in facts),
            final_shots=sum(each.final_shots for each in facts),
        )

    def measure(self, run_round: RunRound, on_progress: OnRound, /) -> Outcome:
        """Find the energies in order; the optimizers serve one run."""
        log = _ScanLog(on_progress)
        outcomes: list[Outcome] = []
        rows: list[dict[str, Any]] = []
        warnings: list[str] = []
        open_ends: list[str] = []
        coordinates = coordinate_columns([_geometry_of(point.problem) for point in self.points])
        for i, (name, point) in enumerate(zip(self.names, self.points, strict=True)):
            # start from the angles of the point before, if they help
            counter = RoundCounter(run_round)
            if i and self.settings.initial_point is StartName.AUTO:
                point = self._carry_angles(outcomes[-1], self.points[i - 1], point, counter)
            # measure, and keep the row and the warnings of the point
            outcome = point.measure(counter, log.next_point())
            if i:  # the first point's is that of the result
                outcome = outcome.doubted(point.facts.doubt(outcome))
            outcomes.append(outcome)
            rows.append(_row(name, outcome, point, counter) | coordinates[i])
            open_ends += [] if outcome.converged else [f"{name}: {outcome.reason}"]
            doubts = [*filter(None, [space_doubt(point.facts.orbitals)]), *outcome.warnings]
            warnings += [f"{name}: {doubt}" for doubt in doubts]
        return replace(
            outcomes[0],
            converged=not open_ends,
            is_requested=all(outcome.converged or outcome.is_requested for outcome in outcomes),
            is_precise=all(outcome.is_precise for outcome in outcomes),
            reason="; ".join(open_ends) or f"all {len(rows)} searches met their own criterion",
            rounds=sum(row["rounds"] for row in rows),
            history=tuple(log.history),
            table=tuple(rows),
            observables=tuple(
                {"point": name, **row}
                for name, outcome in zip(self.names, outcomes, strict=True)
                for row in outcome.observables
            ),
            curve=_curve(rows, [_geometry_of(point.problem) for point in self.points]),
            warnings=tuple(warnings),
        )

    def _carry_angles(
        self, last: Outcome, before: PreparedGroundState, point: PreparedGroundState, run_round: RunRound
    ) -> PreparedGroundState:
        """Return the point's run from the last angles if a measurement shows that they help, else with why not."""
        if not isinstance(point, PreparedVqe) or point.ansatz.name != AnsatzName.UCCSD:
            return point
        if point.ansatz.num_parameters == 1 or point.ansatz.is_near:
            return point
        measured = point
        # the angles have a meaning here if excitations and orbitals match
        assert isinstance(before.problem, ElectronicProblem)
        assert isinstance(point.problem, ElectronicProblem)
        excitations = symmetry_allowed_excitations(point.problem)

        def not_carried(why: str) -> PreparedVqe:
            return replace(measured, choices={**measured.choices, START: f"{measured.choices.get(START)}; {why}"})

        if symmetry_allowed_excitations(before.problem) != excitations:
            return not_carried("the last point's angles are of other excitations")
        match = match_orbitals(before.problem.molecule, point.problem.molecule, excitations)
        if match.signs is None:
            return not_carried(f"the last point's angles mean nothing here: {match.reason}")
        # measure the energy there against Hartree-Fock
        shared = np.unique(mirrored_angles(point.problem, excitations), return_index=True)[1]
        angles = np.array(last.parameters) * np.array(match.signs)[shared]
        ansatz = replace(point.ansatz, initial_point=angles, is_near=True)
        _, (estimate,) = evaluation(point.energy.observable, ansatz, run_round).energies(
            angles[None, :], point.sampling.shots
        )
        if isinstance(estimate, FailedPoint):
            return not_carried(f"the last point's angles could not be measured here ({estimate.reason})")
        reference = point.problem.molecule.hartree_fock_energy
        energies = f"measured {estimate.value:.6f} ± {estimate.standard_error:.6f}, Hartree-Fock is {reference:.6f}"
        if estimate.value + SIGMAS * estimate.standard_error >= reference:
            return not_carried(f"the last point's angles are no better: {energies}")
        reason = f"the last point's angles, as {match.reason}, and {energies}"
        return point.started_at(ansatz, reason)


def prepare_scan(
    problem: ProblemText,
    settings: ScanSettings,
    seed: int,
    target: Target,
    recorded: Recorded = NOTHING,
) -> PreparedScan:
    """Build the VQE of every point. Raises InputError."""
    parts = points_of_scan(problem)
    settings = _with_common_space(parts, settings)
    points = _points(parts, settings, seed, target, recorded)
    if len({point.facts.unit for point in points}) > 1:
        raise InputError("problem", "some points are molecules and some Pauli sums", "Scan them in separate runs.")
    num_qubits = max(point.facts.num_qubits for point in points)
    orbitals = _in_common([point.facts.orbitals for point in points])
    # rounds are of different points
    facts = replace(points[0].facts, sense=0, num_qubits=num_qubits, title="", orbitals=orbitals)
    return PreparedScan(facts, tuple(part.name for part in parts), points, settings)


def _points(
    parts: Sequence[ProblemText], settings: ScanSettings, seed: int, target: Target, recorded: Recorded
) -> tuple[PreparedGroundState, ...]:
    """Return the VQE of every point, with one kind of circuit along the curve.

    Where they differ it is UCCSD if that is chosen at a point, else the grown circuit, which has pairs too.
    """
    afresh = replace(recorded, groupings=())
    points = [prepare_vqe(part, settings, seed, target, afresh) for part in parts]
    kinds = [point.ansatz.name for point in points if isinstance(point, PreparedVqe)]
    if len({*kinds}) > 1 and {*kinds} & {AnsatzName.PUCCD, AnsatzName.GROWN}:
        common = AnsatzName.UCCSD if AnsatzName.UCCSD in kinds else AnsatzName.GROWN
        try:
            points = _with_one_kind(parts, points, common, settings, seed, target)
        except InputError:  # at a point nothing is grown, as Hartree-Fock is as near
            points = _with_one_kind(parts, points, AnsatzName.UCCSD, settings, seed, target)
    for number, part in enumerate(parts):
        of_point = recorded.of_point(number)
        if of_point.groupings and of_point.groupings != points[number].groupings:
            points[number] = prepare_vqe(part, settings, seed, target, of_point)
    return tuple(points)


def _with_one_kind(
    parts: Sequence[ProblemText],
    points: Sequence[PreparedGroundState],
    kind: AnsatzName,
    settings: ScanSettings,
    seed: int,
    target: Target,
) -> list[PreparedGroundState]:
    """Return the points with one kind of circuit; those of Pauli sums stay as they are. Raises InputError."""
    settings = settings.model_copy(update={"ansatz": kind})
    count = sum(point.ansatz.name == kind for point in points)
    chosen = f"{kind.value} at all points, as it is chosen at {count} of {len(points)}"
    reason = chosen if count else f"{kind.value} at all points, as no other kind fits all"
    found = list[PreparedGroundState]()
    for part, point in zip(parts, points, strict=True):
        is_circuit = isinstance(point, PreparedVqe) and isinstance(point.problem, ElectronicProblem)
        if is_circuit and point.ansatz.name != kind:
            whole = prepare_vqe(part, settings, seed, target)
            assert isinstance(whole, PreparedVqe)  # a circuit is named
            point = replace(whole, choices={**whole.choices, CIRCUIT: reason})
        found.append(point)
    return found


def _with_common_space(parts: Sequence[ProblemText], settings: ScanSettings) -> ScanSettings:
    """Return settings with one active space for all points in place of auto: in spaces of their own, a curve jumps."""
    if settings.active_space != AUTO_SPACE:
        return settings
    parsed = [parse_problem(part) for part in parts]
    molecules = [with_asked_spin(part, settings.multiplicity) for part in parsed if isinstance(part, Molecule)]
    if len(molecules) < len(parsed):
        return settings  # refused for the Pauli sum
    electrons, orbitals = common_size(molecules)
    return settings.model_copy(update={"active_space": f"{AUTO_SPACE}:{electrons},{orbitals}"})


def _in_common(spaces: Sequence[str]) -> str:
    """Return what was said of the active space of each point, or the parts that hold for all; rows have the others."""
    parts = [each.split("; ") for each in spaces]
    if all(each == parts[0] for each in parts):
        return spaces[0]
    sizes = {size.partition(", which")[0] for size, *_ in parts}
    size = sizes.pop() if len(sizes) == 1 else "active space: another one at each point"
    shared = [part for part in parts[0][1:] if all(part in each for each in parts)]
    return "; ".join([size, "what else holds at each point is in the choices of its row in the JSON", *shared])


def _geometry_of(problem: EnergyProblem) -> Geometry | None:
    return problem.molecule.geometry if isinstance(problem, ElectronicProblem) else None


def _curve(rows: Sequence[Mapping[str, Any]], geometries: Sequence[Geometry | None]) -> dict[str, Any]:
    """Return the fit of the energies over a distance that varies; empty if none does."""
    if not rows or not str(rows[0].get("coordinate_label", "")).endswith("distance (Å)"):
        return {}
    (first, *_) = [geometry for geometry in geometries if geometry is not None]
    mass = reduced_mass([symbol for symbol, _ in first.atoms])
    names = ("coordinate", "energy", "standard_error", "rounding_bound")
    distances, energies, errors, bounds = ([row[name] for row in rows] for name in names)
    return as_plain(fit_curve(distances, energies, errors, bounds, mass))


def _row(name: str, outcome: Outcome, point: PreparedGroundState, counter: RoundCounter) -> dict[str, Any]:
    facts, exact = point.facts, point.facts.exact()
    choices = [f"{name}: {reason}" for name, reason in point.choices.items() if name != SEARCH]
    return {
        "point": name,
        "energy": outcome.value,
        "standard_error": outcome.standard_error,
        "rounding_bound": outcome.rounding_bound,
        "interval95": list(outcome.interval95 or ()),
        "exact": exact,
        "error": None if exact is None else outcome.value - exact,
        "reference": facts.reference,
        "rounds": counter.rounds,
        "circuits": counter.circuits,
        "shots": counter.shots,
        "spin_squared": outcome.spin_squared,
        "spin_squared_error": outcome.spin_squared_error,
        "converged": outcome.converged,
        "start": point.choices.get(START),
        "reason": outcome.reason,
        "choices": [*choices, *filter(None, [facts.orbitals])],
        "note": "; ".join(filter(None, [facts.note(), space_doubt(facts.orbitals)])) or None,
        "parameters": list(outcome.parameters),
    }


@dataclass(slots=True)
class _ScanLog:
    """History of the rounds of all points, numbered in sequence."""

    on_progress: Callable[[RoundProgress], None]
    history: list[RoundProgress] = field(default_factory=list)

    def next_point(self) -> Callable[[RoundProgress], None]:
        """Return the callback for the rounds of the next point."""
        rounds = len(self.history)
        shots = self.history[-1].total_shots if self.history else 0

        def report(progress: RoundProgress) -> None:
            numbered = replace(progress, round=rounds + progress.round, total_shots=shots + progress.total_shots)
            self.history.append(numbered)
            self.on_progress(numbered)

        return report
