"""Result of a run: its value with error, effort and history, as text, HTML, JSON and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from hybridloop.algorithms.error_budget import ErrorSource
from hybridloop.algorithms.outcome import Fact, Outcome, RoundProgress, Table
from hybridloop.algorithms.problems.energy_units import PER_HARTREE
from hybridloop.algorithms.problems.exact_energy_names import name_of_exact_energy
from hybridloop.data.statuses import STATUSES
from hybridloop.errors import InputError
from hybridloop.runs.result_text import answer, as_html, effort, heading, table
from hybridloop.runs.statuses import status_of
from hybridloop.runtime.text_table import format_table

SIGMAS = 3.0  # standard errors: a smaller difference counts as noise
MIN_CORRELATION = 1e-6  # hartree: a fraction of less means nothing
# fields of the result that are copied from the algorithm's outcome
OF_OUTCOME = (
    *("reason", "value", "standard_error", "interval95", "is_exact", "rounding_bound", "is_precise", "parameters"),
    *("rounds", "best_bitstring", "best_value", "approximation_ratio", "table", "solution", "choices"),
    *("facts", "is_upper_bound", "spin_squared", "spin_squared_error", "electrons", "electrons_error"),
)


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A session of the run: its id, its last known status at the service, and its number of jobs."""

    id: str
    status: str
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of a run; values in `unit`, which is empty for the objective of a binary problem.

    `status` is "converged" (a search met its stated rule, and all `facts` that it rests on were shown), "measured"
    (nothing was sought beyond the measurement: fixed angles, or a search of `max_rounds` rounds as requested) or
    "finished" (convergence was sought and not shown), and `reason` says why. `value` was measured again at `parameters`
    (radians). `standard_error` is 0 where the target does not sample, and then the true value lies within
    `rounding_bound`. `error_budget` names each source of the value's error (shot noise, search residue, rounding,
    extrapolation), and `interval95` holds them all. `is_precise` is true if the requested precision was reached.
    `exact` and `error` (value − exact) are None where the molecule is too large to be diagonalized; `reference` is the
    Hartree-Fock energy.

    For a binary problem `value` is the mean of the objective, `exact` its optimum, `reference` its mean over all
    assignments, `best_bitstring` (rightmost character = variable 0) the best assignment that was sampled, and
    `best_value` the objective of that. `solution` is that assignment in the problem's terms, as lines of text by name
    (partition, cut; chosen, nodes; hold; variables; spins; parts, sums; objective).
    `approximation_ratio` is 0 for the worst assignment and 1 for the best.

    For a molecule, `spin_squared` is ⟨S²⟩ and `electrons` ⟨N⟩ of the final state with their errors, which are 0 where
    the circuit conserves them; None where they are unknown.

    `table` has one row for each operator of ADAPT-VQE in order, each level from the lowest up (whose energy
    is `value`), each point of a scan (`value` is that of the first), or each variable of a binary problem in the best
    assignment. `warnings` are reasons to doubt the value. `choices` are the choices that the settings left open, with
    their reasons. `facts` are what was shown of the value.

    With `is_upper_bound` the value is the energy of a state in a subspace, without noise: the exact energy (the lowest
    of any spin) is not above it, there is no interval, and the error budget says how much is expected below.

    `jobs` counts each job of a round once, without `retried` ones and `pings`; `shots` are those of `jobs`. `cost` is
    what the service billed, by unit (USD, HQC, eHQC, …); it is empty where the service stated nothing. `estimated` is
    the expected cost of all jobs. `reserved` is set aside for jobs without a bill: a cap holds `reserved` + `cost`.

    `provider_options` are those of the target's provider, as in the jobs' inputParams.

    `problem_title` says what the problem is: a built-in one's title, or that it came from a file or object.

    A run that has not ended is "stopped", "parked" or "interrupted". It has no value yet, `parameters` are the best
    point so far, and `runs resume` resumes it. `resumed` is true if an earlier process started the run.
    """

    run_key: str
    algorithm: str
    problem: str
    target: str
    status: str = "running"
    reason: str = ""
    value: float | None = None
    standard_error: float | None = None
    interval95: tuple[float, float] | None = None
    error_budget: tuple[ErrorSource, ...] = ()
    is_exact: bool = False
    rounding_bound: float = 0.0
    is_precise: bool = False
    exact: float | None
    reference: float
    parameters: tuple[float, ...]
    rounds: int
    jobs: int
    retried: int
    pings: int
    shots: int
    cost: Mapping[str, float]
    sessions: tuple[SessionSummary, ...]
    seed: int
    wall_seconds: float
    resumed: bool
    history: tuple[RoundProgress, ...]
    unit: str = "hartree"
    problem_title: str = ""
    best_bitstring: str | None = None
    best_value: float | None = None
    approximation_ratio: float | None = None
    spin_squared: float | None = None
    spin_squared_error: float | None = None
    electrons: float | None = None
    electrons_error: float | None = None
    table: Table = ()
    solution: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    is_upper_bound: bool = False
    estimated: Mapping[str, float] = field(default_factory=dict)
    reserved: Mapping[str, float] = field(default_factory=dict)
    provider_options: Mapping[str, Any] = field(default_factory=dict)

    def with_outcome(self, outcome: Outcome, warnings: tuple[str, ...]) -> RunResult:
        """Return the result with the outcome of the algorithm."""
        answer = {name: getattr(outcome, name) for name in OF_OUTCOME}
        if outcome.facts and self.exact is not None and not outcome.is_upper_bound:  # whose facts say that
            answer["facts"] = (*outcome.facts, _equals_exact(outcome, self.exact))
        budget = tuple(replace(source, unit=self.unit) for source in outcome.error_budget)
        return replace(self, status=status_of(outcome), warnings=warnings, error_budget=budget, **answer)

    @property
    def exit_code(self) -> int:
        """Exit code of a command with this result: 0, 3 (stopped or parked) or 4 (finished)."""
        return STATUSES[self.status].exit_code

    @property
    def error(self) -> float | None:
        """The value minus the exact value."""
        return None if self.exact is None or self.value is None else self.value - self.exact

    @property
    def correlation_recovered(self) -> float | None:
        """Fraction of the correlation energy in `value`: 0 at Hartree-Fock, 1 at the exact energy; None if unknown."""
        if self.unit != "hartree" or self.error is None or self.exact is None:
            return None
        correlation = self.exact - self.reference
        return None if abs(correlation) < MIN_CORRELATION else 1 + self.error / correlation

    def value_in(self, unit: str) -> float:
        """Return the energy in Ha, mHa, uHa, eV, meV, kJ/mol or kcal/mol.

        Raises InputError for another unit, for a value that is no energy in hartree, and for a run without a value.
        """
        if unit not in PER_HARTREE:
            raise InputError("unit", f"{unit!r} is no unit of energy", f"Give one of {', '.join(PER_HARTREE)}.", "")
        if self.unit != "hartree" or self.value is None:
            raise InputError("unit", "the run has no energy in hartree", "Use its value.", "")
        return self.value * PER_HARTREE[unit]

    @property
    def of_what(self) -> str:
        """The level or point that `value` belongs to; empty where there is only one."""
        if self.algorithm == "scan" and len(self.table) > 1:
            return f"{self.table[0]['point']}, the first of {len(self.table)} points"
        if self.algorithm in ("vqd", "levels") and len(self.table) > 1:
            return f"the ground state, the lowest of {len(self.table)} levels"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        unit, amount = next(iter(self.cost.items())) if len(self.cost) == 1 else (None, None)
        total = self.jobs + self.pings + self.retried
        jobs = {"total": total, "evaluations": self.jobs, "pings": self.pings, "retried": self.retried}
        return {
            **asdict(self),
            "error": self.error,
            "correlation_recovered": self.correlation_recovered,
            "jobs": jobs,
            "cost": {"amount": amount, "unit": unit},
            "costs": dict(self.cost),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> RunResult:
        """Return the result of `as_dict`, also after it was stored as JSON."""
        values = {**stored, "jobs": stored["jobs"]["evaluations"], "cost": stored["costs"]}
        return _adapter().validate_python(values)

    def to_json(self) -> str:
        """Return one JSON document."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)

    def __str__(self) -> str:
        """Return the text that the command line prints."""
        return self.text()

    def text(self, unit: str | None = None) -> str:
        """Return the text that the command line prints, with energies in another unit too. Raises InputError."""
        facts = [f"  {name:<10} {text}" for name, text in (*answer(self, unit), *effort(self))]
        rows = table(self)
        lines = [f"  {line}" for line in format_table(tuple(rows[0]), rows)] if rows else []
        return "\n".join((heading(self), *facts, *lines))

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows."""
        return as_html(self)

    def plot(
        self,
        path: str | None = None,
        *,
        kind: str | None = None,
        axis: str = "",
        angles: Sequence[int] | None = None,
    ) -> Any:
        """Return a plot as a matplotlib figure, and write it to `path` (.svg, .png, .pdf) if one is given.

        `kind` is convergence, energy, levels, curve (of a scan), growth (of ADAPT-VQE), histogram or cut (of binary
        problems), timeline, or landscape; the last four are drawn from the journal. Left out, it is the kind that shows
        the answer. A kind may stand in the place of `path`: `plot("landscape")`. `axis` is the label of a curve's axis.
        `angles` are the numbers of one or two angles, along which a landscape is drawn; left out: the two along which
        the energy varies most. Raises InputError for a plot that the run has no data for.
        """
        from hybridloop.reports.plots import ALL_KINDS, plot_result

        if kind is None and path in ALL_KINDS:
            path, kind = None, path
        picture = plot_result(self, kind, axis, angles)
        if path is not None:
            picture.save(path)
        return picture.figure


def _equals_exact(outcome: Outcome, exact: float) -> Fact:
    noise = max(SIGMAS * outcome.standard_error, outcome.rounding_bound) + (outcome.residue or 0.0)
    off = 1e3 * (outcome.value - exact)
    difference = f"{off:+.3f} mHa from the {name_of_exact_energy(outcome.choices)}, {1e3 * noise:.3f} mHa are"
    difference = f"{difference} within its error budget"
    return Fact("equals_exact", abs(outcome.value - exact) <= noise, difference)


@cache
def _adapter() -> TypeAdapter[RunResult]:
    return TypeAdapter(RunResult)
