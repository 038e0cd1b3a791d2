"""The binary problem of a run: read from its text, with the facts that its plan and its result show."""

from __future__ import annotations

from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.choices import GraphObjective
from hybridloop.data import built_in_problem
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.descriptions.rqaoa import RqaoaSettings
from hybridloop.inputs.formats.binary import read_binary_problem
from hybridloop.preparation.prepared import ProblemFacts
from hybridloop.settings import ProblemText
from hybridloop.targets import Target


def read_binary(problem: ProblemText, objective: GraphObjective) -> BinaryProblem:
    """Return the binary problem of a built-in name or a text. Raises ProblemError."""
    text = problem.text
    if text is None:
        entry = built_in_problem("binary_problems", problem.name)
        assert entry is not None  # a run checks the name
        text = entry["text"]
    return read_binary_problem(text, problem.name, objective, problem.format)


def facts_of_binary(problem: BinaryProblem, sense: int) -> ProblemFacts:
    """Return the facts of a problem, with a mean of random assignments. Raises InputError if none is feasible."""
    problem.check_feasible()
    title = problem.title or f"{problem.kind} of {problem.num_variables} variables"
    if problem.unused:
        title += f"; not used: {', '.join(problem.unused)}"

    def exact() -> float | None:
        return problem.optimum.found if problem.optimum.is_exact else None

    return ProblemFacts("", problem.num_qubits, sense, problem.random_mean, exact, title=title)


def shots_of(settings: QaoaSettings | RqaoaSettings, target: Target, least: int) -> int:
    """Return the shots of a circuit: the default, or of an exact distribution the most of a job, unless given."""
    return settings.shots or (settings.default_shots if target.samples else least)
