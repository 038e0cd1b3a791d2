"""From a binary problem as it travels to what QAOA works on; what can't be used is refused here, before a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hybridloop.algorithms.lost import LostPoints, Penalize
from hybridloop.algorithms.optimizer import Optimizer
from hybridloop.algorithms.outcome import Outcome, Progress, Table
from hybridloop.algorithms.qaoa import qaoa
from hybridloop.algorithms.qaoa_circuit import Mixer, QaoaCircuit, qaoa_circuit
from hybridloop.algorithms.qaoa_refine import QuadraticRefinement
from hybridloop.algorithms.qaoa_search import Search
from hybridloop.algorithms.qubo import BinaryProblem
from hybridloop.algorithms.qubo_formats import GraphProblem, read_binary_problem
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.rqaoa import rqaoa
from hybridloop.data import load
from hybridloop.flows.problems import lost_points
from hybridloop.flows.settings import MixerName, ObjectiveName, ProblemText, QaoaSettings, RqaoaSettings, RunSettings
from hybridloop.flows.terms import check_problem, check_terms, measuring_target
from hybridloop.sessions.targets import check_circuit_fits


@dataclass(frozen=True, slots=True)
class _Binary:
    """What all runs of a binary problem have in common."""

    problem: BinaryProblem
    measure: Callable[[RunRound, Callable[[Progress], None]], Outcome]
    sense: int
    unit: str = ""

    @property
    def num_qubits(self) -> int:
        """One for each variable."""
        return self.problem.num_variables

    @property
    def exact(self) -> float | None:
        """The best that an assignment can have; None where there are too many to go through."""
        return None if self.problem.extremes is None else self.problem.extremes[0]

    @property
    def reference(self) -> float:
        """The mean of the objective over all assignments."""
        return self.problem.objective.offset

    def measured(self, run_round: RunRound, on_progress: Callable[[Progress], None], /) -> Outcome:
        """Find an assignment; an optimizer serves once."""
        found = self.measure(run_round, on_progress)
        return replace(found, table=_by_name(self.problem, found.best_bitstring))


def prepare_qaoa(problem: ProblemText, settings: QaoaSettings, seed: int) -> _Binary:
    """Read the problem and build its circuit. Raises InputError for what can't be used; sends nothing."""
    binary = _checked(problem, settings, settings.objective)
    ansatz = qaoa_circuit(binary, _angles(), layers=settings.layers, mixer=_mixer(settings.mixer, binary), seed=seed)
    search = Search(_optimizer(settings.refine), settings.extend_to, settings.cvar)
    on_lost = _as_minimized(lost_points(settings.failure), binary)
    search.check(ansatz, on_lost)

    def measure(run_round: RunRound, on_progress: Callable[[Progress], None]) -> Outcome:
        return qaoa(ansatz, run_round, shots=settings.shots, search=search, on_lost=on_lost, on_progress=on_progress)

    return _Binary(binary, measure, sense=-round(binary.sign))


def prepare_rqaoa(problem: ProblemText, settings: RqaoaSettings, seed: int) -> _Binary:
    """Read the problem. Raises InputError for what can't be used; sends nothing. The seed is the service's alone."""
    binary, angles = _checked(problem, settings, settings.objective), _angles()
    qaoa_circuit(binary, angles, layers=settings.layers)  # what the first round would refuse, now

    def measure(run_round: RunRound, on_progress: Callable[[Progress], None]) -> Outcome:
        return rqaoa(
            binary,
            angles,
            run_round,
            layers=settings.layers,
            shots=settings.shots,
            stop_at=settings.stop_at,
            on_progress=on_progress,
        )

    return _Binary(binary, measure, sense=0)  # each round's problem is smaller than the last one's


def read_binary(problem: ProblemText, objective: ObjectiveName) -> BinaryProblem:
    """The binary problem of a built-in name, or of a text."""
    asked = GraphProblem(objective)
    check_problem(problem, of_energies=False)
    if problem.text is not None:
        return read_binary_problem(problem.text, problem.name, asked)
    return read_binary_problem(load("binary_problems")[problem.name.lower()]["text"], problem.name, asked)


def _checked(problem: ProblemText, settings: RunSettings, objective: ObjectiveName) -> BinaryProblem:
    target = measuring_target(settings.target)
    binary = read_binary(problem, objective)
    check_circuit_fits(target, binary.num_variables)
    check_terms(settings, target)
    return binary


def _angles() -> Mapping[str, Any]:
    table: Mapping[str, Any] = load("qaoa_angles")["3-regular"]
    return table


def _mixer(name: MixerName, problem: BinaryProblem) -> Mixer:
    if name is not MixerName.AUTO:
        return Mixer(name)
    is_budget = problem.constraint is not None and problem.constraint.ones is not None and problem.num_variables > 1
    return Mixer.XY if is_budget else Mixer.STANDARD


def _by_name(problem: BinaryProblem, bitstring: str | None) -> Table:
    if bitstring is None:
        return ()
    named = zip(problem.labels, reversed(bitstring), strict=True)
    return tuple({"variable": label, "value": int(bit)} for label, bit in named)


def _as_minimized(on_lost: LostPoints, problem: BinaryProblem) -> LostPoints:
    """A penalty in the objective's sense, as the search counts, which minimizes."""
    return Penalize(problem.sign * on_lost.value) if isinstance(on_lost, Penalize) else on_lost


def _optimizer(steps: int) -> Callable[[QaoaCircuit], Optimizer] | None:
    if not steps:
        return None
    return lambda ansatz: QuadraticRefinement(ansatz.initial_point, ansatz.scales, steps=steps)
