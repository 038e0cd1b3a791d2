"""Result of a run: its outcome, effort and history, as text, HTML, JSON and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from pydantic import TypeAdapter

from hybridloop.algorithms.error_budget import ErrorSource
from hybridloop.algorithms.outcome import Fact, Kind, Outcome, RoundProgress, Table
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY, PER_HARTREE, energy_name
from hybridloop.data.statuses import STATUSES
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError
from hybridloop.results.statuses import status_of
from hybridloop.runtime.leaves import leaf

if TYPE_CHECKING:
    from hybridloop.results import result_text
    from hybridloop.results import summary as summaries
else:
    result_text = leaf("hybridloop.results.result_text")
    summaries = leaf("hybridloop.results.summary")

SIGMAS = 3.0  # standard errors: a smaller difference counts as noise
MIN_CORRELATION = 1e-6  # hartree: a fraction of less means nothing
STATED = {"stated": True}  # metadata of a field that does not follow from counts, settings and prices
# the outcome's fields in JSON, where the status stands for these two
OF_OUTCOME = tuple(each.name for each in fields(Outcome) if each.name not in ("converged", "is_requested"))

Value = TypeVar("Value")


class _OfOutcome(Generic[Value]):
    """Attribute of a result that is its outcome's; a default where there is no outcome yet."""

    def __init__(self, default: Value) -> None:
        self._default = default

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, result: None, owner: type) -> Self: ...
    @overload
    def __get__(self, result: RunResult, owner: type) -> Value: ...
    def __get__(self, result: RunResult | None, owner: type) -> Value | Self:
        if result is None:
            return self
        value: Value = self._default if result.outcome is None else getattr(result.outcome, self._name)
        return value


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A session of the run: its id, its last known status (`Closed` if jobs ran then), and its number of jobs."""

    id: str
    status: str
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of a run; values in `unit`, which is empty for the objective of a binary problem.

    `status` is "converged" (a search met its stated rule, and all `facts` that it rests on were shown), "measured"
    (nothing was sought beyond the measurement: fixed angles, or a search of `max_rounds` rounds as requested) or
    "finished" (convergence was sought and not shown), and `reason` says why.

    `outcome` is the algorithm's, and its fields are attributes of the result too: `value`, `standard_error`, `table`
    and all others. `exact` and `error` (value − exact) are None where the molecule is too large to be diagonalized;
    `reference` is the Hartree-Fock energy. With `is_active_space` they are those of a part of the molecule. For a
    binary problem `exact` is the optimum, `reference` the mean over random feasible assignments, None where it
    takes too much work.

    `jobs` counts each job of a round once, without `retried` ones and `pings`; `shots` are those of `jobs`, and
    `lost_shots` of theirs gave no counts, as each lost a qubit or failed. `cost` is what the service billed, by unit
    (USD, HQC, eHQC, …); it is empty where the service stated nothing. `estimated` is the expected cost of all jobs.
    `reserved` is set aside for jobs without a bill: a cap holds `reserved` + `cost`.

    `is_local` is true on the local service, which states the costs of its targets and bills nothing.

    `provider_options` are those of the target's provider, as in the jobs' inputParams.

    `problem_title` says what the problem is: a built-in one's title, or how its text was read.

    `variables` are the caller's objects by the names of a binary problem's variables, where the run began here.

    A run that has not ended is "stopped", "parked" or "interrupted". It has no outcome yet, `parameters` are the best
    point so far, and `runs resume` resumes it. Where a cap ended a run, `larger_cap` is the option by which that
    command lets it go on. `revision` counts the results of a run that was extended, from 1. `resumed` is true
    if an earlier process started the run.
    """

    run_key: str
    algorithm: str
    problem: str
    target: str
    status: str = "running"
    reason: str = ""
    outcome: Outcome | None = None
    exact: float | None
    reference: float | None
    is_active_space: bool = False
    jobs: int
    retried: int
    pings: int
    shots: int
    lost_shots: int = 0
    cost: Mapping[str, float]
    sessions: tuple[SessionSummary, ...]
    seed: int
    wall_seconds: float = field(metadata=STATED)
    resumed: bool = field(metadata=STATED)
    history: tuple[RoundProgress, ...]
    unit: str = "hartree"
    problem_title: str = ""
    larger_cap: str = ""
    revision: int = 1
    estimated: Mapping[str, float] = field(default_factory=dict)
    reserved: Mapping[str, float] = field(default_factory=dict)
    provider_options: Mapping[str, Any] = field(default_factory=dict)
    is_local: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    value = _OfOutcome[float | None](None)
    standard_error = _OfOutcome[float | None](None)
    interval95 = _OfOutcome[tuple[float, float] | None](None)
    error_budget = _OfOutcome[tuple[ErrorSource, ...]](())
    is_exact = _OfOutcome(default=False)
    rounding_bound = _OfOutcome(0.0)
    unseen_bound = _OfOutcome(0.0)
    is_precise = _OfOutcome(default=False)
    best_bitstring = _OfOutcome[str | None](None)
    best_value = _OfOutcome[float | None](None)
    best_share = _OfOutcome[float | None](None)
    best_share_interval95 = _OfOutcome[tuple[float, float] | None](None)
    approximation_ratio = _OfOutcome[float | None](None)
    search_value = _OfOutcome[float | None](None)
    search_error = _OfOutcome[float | None](None)
    cvar = _OfOutcome[Mapping[str, float]]({})
    optimum = _OfOutcome[tuple[float, float] | None](None)
    spin_squared = _OfOutcome[float | None](None)
    spin_squared_error = _OfOutcome[float | None](None)
    electrons = _OfOutcome[float | None](None)
    electrons_error = _OfOutcome[float | None](None)
    table = _OfOutcome[Table](())
    solution = _OfOutcome[Mapping[str, str]]({})
    observables = _OfOutcome[Table](())
    constraints = _OfOutcome[Table](())
    feasible_share = _OfOutcome[float | None](None)
    curve = _OfOutcome[Mapping[str, Any]]({})
    warnings = _OfOutcome[tuple[str, ...]](())
    choices = _OfOutcome[tuple[str, ...]](())
    facts = _OfOutcome[tuple[Fact, ...]](())
    is_upper_bound = _OfOutcome(default=False)

    @property
    def parameters(self) -> tuple[float, ...]:
        """Angles in radians that `value` was measured at; of a run in progress the best so far."""
        if self.outcome is not None:
            return self.outcome.parameters
        return self.history[-1].point if self.history else ()

    @property
    def rounds(self) -> int:
        """Number of rounds, those without an estimate included once the run has ended."""
        return len(self.history) if self.outcome is None else self.outcome.rounds

    def with_outcome(self, outcome: Outcome) -> RunResult:
        """Return the result with the outcome of the algorithm, of which only the plain values are kept."""
        values = {each.name: getattr(outcome, each.name) for each in fields(Outcome)}
        values["error_budget"] = tuple(replace(source, unit=self.unit) for source in outcome.error_budget)
        if outcome.facts and self.exact is not None and not outcome.is_upper_bound:  # whose facts say that
            values["facts"] = (*outcome.facts, self._equals_exact(outcome, self.exact))
        status, history = status_of(outcome), outcome.history
        ended = replace(self, status=status, reason=outcome.reason, larger_cap=outcome.larger_cap)
        return replace(ended, history=history, outcome=Outcome(**values))

    @property
    def exit_code(self) -> int:
        """Exit code of a command with this result: 0, 3 (stopped or parked) or 4 (finished)."""
        return STATUSES[self.status].exit_code

    @property
    def error(self) -> float | None:
        """The value minus the exact value."""
        return None if self.exact is None or self.value is None else self.value - self.exact

    @property
    def error_bar(self) -> float:
        """The standard error of `value`, or the rounding bound of one that was not sampled; 0 without a value."""
        return self.rounding_bound if self.is_exact else self.standard_error or 0.0

    @property
    def correlation_recovered(self) -> float | None:
        """Fraction of the correlation energy in `value`: 0 at Hartree-Fock, 1 at the exact energy; None if unknown."""
        if self.unit != "hartree" or self.error is None or self.exact is None or self.reference is None:
            return None
        correlation = self.exact - self.reference
        return None if abs(correlation) < MIN_CORRELATION else 1 + self.error / correlation

    def value_in(self, unit: str) -> float:
        """Return the energy in Ha, mHa, uHa, eV, meV, kJ/mol or kcal/mol.

        Raises InputError for another unit, for a value that is no energy in hartree, and for a run without a value.
        """
        if unit not in PER_HARTREE:
            raise InputError("unit", f"{unit!r} is no unit of energy", f"Give one of {', '.join(PER_HARTREE)}.")
        if self.unit != "hartree" or self.value is None:
            raise InputError("unit", "the run has no energy in hartree", "Use its value.")
        return self.value * PER_HARTREE[unit]

    @property
    def of_what(self) -> str:
        """The level or point that `value` belongs to; empty where there is only one."""
        if len(self.table) < 2:
            return ""
        return ALGORITHMS[self.algorithm].value_of.format(rows=len(self.table), **self.table[0])

    @property
    def assignment(self) -> Mapping[Any, int]:
        """The best assignment of a binary problem, by the caller's nodes or variables; empty without one.

        Values are 0 or 1, of spins −1 or 1. A result that was read from the journal or a file has the names.
        """
        rows = [(str(row["variable"]), row["value"]) for row in self.table if row.keys() == {"variable", "value"}]
        return {self.variables.get(name, name): value for name, value in rows}

    @property
    def value_name(self) -> str:
        """Name of the value: energy, or objective."""
        return ALGORITHMS[self.algorithm].value

    @property
    def exact_name(self) -> str:
        """Name of `exact`, for texts."""
        return energy_name("exact", is_active_space=self.is_active_space)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the outcome's fields beside the others."""
        unit, amount = next(iter(self.cost.items())) if len(self.cost) == 1 else (None, None)
        total = self.jobs + self.pings + self.retried
        jobs = {"total": total, "evaluations": self.jobs, "pings": self.pings, "retried": self.retried}
        values = asdict(replace(self, variables={}))
        del values["variables"]
        outcome = values.pop("outcome") or {}
        return {
            **{name: outcome.get(name, getattr(self, name)) for name in OF_OUTCOME},
            **values,
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
        if stored["value"] is not None:
            outcome, status = {name: stored[name] for name in OF_OUTCOME}, stored["status"]
            ending = {"converged": status == "converged", "is_requested": status == "measured"}
            values["outcome"] = outcome | ending
        return _adapter().validate_python(values)

    def to_json(self) -> str:
        """Return one JSON document."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)

    def __str__(self) -> str:
        """Return the text that the command line prints."""
        return self.text()

    def text(self, unit: str | None = None, width: int = 80) -> str:
        """Return the text that the command line prints, with the energy in another unit too. Raises InputError.

        It has eight lines at most, more where they have fewer columns than 80; `details` has all that is known.
        """
        return "\n".join(summaries.summary(self, unit, width))

    def details(self, unit: str | None = None) -> str:
        """Return all facts of the result and its table as text, with the energy in another unit too.

        Raises InputError for another unit than those of `value_in`.
        """
        return "\n".join(result_text.lines(self, unit))

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows."""
        return summaries.as_html(self)

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
        `angles` are the numbers of one or two angles, along which a landscape is drawn; left out: those of the first
        layer. Raises InputError for a plot that the run has no data for.
        """
        plots = import_module("hybridloop.reports.plots")  # a room above, loaded when something is drawn
        if kind is None and path in plots.all_kinds():
            path, kind = None, path
        picture = plots.plot_result(self, kind, axis, angles)
        if path is not None:
            picture.save(path)
        return picture.figure

    def samples(self, which: str = "final") -> Any:
        """Return the measured assignments of a QAOA run, as a sequence with `to_dimod` and `to_pandas`.

        They are those of the final measurement, or of all rounds with "search"; each has its `assignment`, `count`,
        `objective`, whether it is `feasible`, and its `penalty`. They come from the journal. Raises InputError for a
        run that is not in it, and for one of another algorithm.
        """
        samples = import_module("hybridloop.reports.samples")  # a room above, as that of plots
        journal, stored = import_module("hybridloop.journal"), import_module("hybridloop.runs.stored_run")
        with journal.open_journal() as opened:
            return samples.samples_of(stored.load_run(opened, self.run_key), which, self.variables)

    def _equals_exact(self, outcome: Outcome, exact: float) -> Fact:
        left, off = outcome.residue or 0.0, outcome.value - exact
        is_molecule = self.unit == "hartree"
        noise = max(SIGMAS * outcome.standard_error, outcome.rounding_bound)
        noise += min(left, CHEMICAL_ACCURACY) if is_molecule else left
        off_text, noise_text = f"{off:+.6g}", f"{noise:.6g}"
        if is_molecule:
            off_text, noise_text = f"{1e3 * off:+.3f} mHa", f"{1e3 * noise:.3f} mHa"
        difference = f"{off_text} from the {self.exact_name}, {noise_text} are"
        return Fact("equals_exact", abs(off) <= noise, f"{difference} within its errors", Kind.ESTIMATED)


def stated_fields() -> tuple[str, ...]:
    """Return the fields of a result that its counts, settings and prices do not show."""
    return tuple(each.name for kind in (RunResult, Outcome) for each in fields(kind) if "stated" in each.metadata)


@cache
def _adapter() -> TypeAdapter[RunResult]:
    return TypeAdapter(RunResult)
