"""Result of a run: its value with error, effort and history, as text, HTML, JSON and a picture."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from hybridloop.algorithms.error_budget import ErrorSource
from hybridloop.algorithms.outcome import Fact, Outcome, RoundProgress, Table
from hybridloop.data.statuses import STATUSES
from hybridloop.runs.live_text import plus_minus
from hybridloop.runs.statuses import status_of
from hybridloop.runtime.durations import format_duration
from hybridloop.runtime.text_table import format_cell, format_table

SIGMAS = 3.0  # standard errors: a smaller difference counts as noise
CHEMICAL_ACCURACY = 1.6e-3  # hartree: 1 kcal/mol
# fields of the result that are copied from the algorithm's outcome
OF_OUTCOME = (
    *("reason", "value", "standard_error", "interval95", "is_exact", "rounding_bound", "is_precise", "parameters"),
    *("rounds", "best_bitstring", "best_value", "approximation_ratio", "table", "choices", "facts"),
    *("spin_squared", "spin_squared_error", "electrons", "electrons_error"),
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

    `status` is "converged" (a search met its stated rule, and none of the other `facts` was found wrong), "measured"
    (nothing was sought beyond the measurement: fixed angles, or a search of `max_rounds` rounds as requested) or
    "finished" (convergence was sought and not shown), and `reason` says why. `value` was measured again at `parameters`
    (radians). `standard_error` is 0 where the target does not sample, and then the true value lies within
    `rounding_bound`. `error_budget` names each source of the value's error (shot noise, search residue, rounding,
    extrapolation), and `interval95` holds them all; it is empty for a run of an earlier version, whose interval has
    shot noise or rounding alone. `is_precise` is true if the requested precision was reached. `exact` and `error`
    (value − exact) are None where the molecule is too large to be diagonalized; `reference` is the Hartree-Fock energy.

    For a binary problem `value` is the mean of the objective, `exact` its optimum, `reference` its mean over all
    assignments, `best_bitstring` (rightmost character = variable 0) the best assignment that was sampled, and
    `best_value` the objective of that. `approximation_ratio` is 0 for the worst assignment and 1 for the best.

    For a molecule, `spin_squared` is ⟨S²⟩ and `electrons` ⟨N⟩ of the final state with their errors, which are 0 where
    the circuit conserves them; None where they are unknown.

    `table` has one row for each operator of ADAPT-VQE in order, each level from the lowest up (whose energy
    is `value`), each point of a scan (`value` is that of the first), or each variable of a binary problem in the best
    assignment. `warnings` are reasons to doubt the value. `choices` are the choices that the settings left open, with
    their reasons. `facts` are what was shown of the value.

    `jobs` counts each job of a round once, without `retried` ones and `pings`; `shots` are those of `jobs`. `cost` is
    what the service billed, by unit (USD, HQC, eHQC, …); it is empty where the service stated nothing. `estimated` is
    the expected cost of all jobs. `reserved` is set aside for jobs without a bill: a cap holds `reserved` + `cost`.

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
    best_bitstring: str | None = None
    best_value: float | None = None
    approximation_ratio: float | None = None
    spin_squared: float | None = None
    spin_squared_error: float | None = None
    electrons: float | None = None
    electrons_error: float | None = None
    table: Table = ()
    warnings: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    estimated: Mapping[str, float] = field(default_factory=dict)
    reserved: Mapping[str, float] = field(default_factory=dict)

    def with_outcome(self, outcome: Outcome, warnings: tuple[str, ...]) -> RunResult:
        """Return the result with the outcome of the algorithm."""
        answer = {name: getattr(outcome, name) for name in OF_OUTCOME}
        if outcome.facts and self.exact is not None:
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
        facts = [f"  {name:<10} {text}" for name, text in (*answer(self), *effort(self))]
        rows = table(self)
        lines = [f"  {line}" for line in format_table(tuple(rows[0]), rows)] if rows else []
        return "\n".join((heading(self), *facts, *lines))

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows."""
        return as_html(self)

    def plot(self, path: str | None = None, *, kind: str = "convergence") -> Any:
        """Return a plot as a matplotlib figure, and write it to `path` (.svg, .png, .pdf) if one is given.

        `kind` is convergence, energy, levels, curve (of a scan), growth (of ADAPT-VQE), histogram or cut (of
        binary problems), or timeline; the last three are drawn from the journal. Raises InputError for a plot that the
        run has no data for.
        """
        from hybridloop.reports.plots import plot_result

        picture = plot_result(self, kind)
        if path is not None:
            picture.save(path)
        return picture.figure


# columns of a result's table in text; the others are for programs
COLUMNS: Mapping[str, Sequence[str]] = {
    "adapt": ("emptied", "filled", "gradient", "gradient_error", "expected_left", "energy"),
    "scan": ("point", "energy", "standard_error", "exact", "error", "rounds", "circuits", "converged"),
    "vqd": ("level", "energy", "standard_error", "exact", "overlap", "electrons", "converged"),
    "levels": (
        *("level", "energy", "standard_error", "exact", "noise_bias"),
        *("excitation", "multiplicity", "electrons", "symmetry"),
    ),
}
FACT_LABELS = {"locally_optimal": "optimal", "no_operator_outside": "complete"}  # the error is a line of its own
SHOWN = {True: "shown", False: "not shown", None: "not examined"}
MOST_NAMES = 12  # on a line
TABLES = {"vqd": "Levels", "levels": "Levels", "scan": "Points", "adapt": "Operators"}  # titles of the tables
_OF_ASSIGNMENTS = frozenset({"qaoa", "rqaoa"})
_CELL = "text-align:left;padding:0 1em 0 0"


def _equals_exact(outcome: Outcome, exact: float) -> Fact:
    noise = max(SIGMAS * outcome.standard_error, outcome.rounding_bound) + (outcome.residue or 0.0)
    off = 1e3 * (outcome.value - exact)
    difference = f"{off:+.3f} mHa from the exact energy, {1e3 * noise:.3f} mHa are within its error budget"
    return Fact("equals_exact", abs(outcome.value - exact) <= noise, difference)


@cache
def _adapter() -> TypeAdapter[RunResult]:
    return TypeAdapter(RunResult)


def heading(result: RunResult) -> str:
    """Return the problem, the target, and the status with its reason."""
    return f"{result.problem} on {result.target}: {result.status} ({result.reason})"


def answer(result: RunResult) -> Iterator[tuple[str, str]]:
    """Yield the facts of the value by name, with warnings and choices."""
    if result.value is None:
        yield from _so_far(result)
    elif result.algorithm in _OF_ASSIGNMENTS:
        yield from _assignment(result)
    else:
        yield from _energy(result)
    for warning in result.warnings:
        yield "warning", warning
    for choice in result.choices:
        name, _, text = choice.partition(": ")
        yield name, text


def effort(result: RunResult) -> Iterator[tuple[str, str]]:
    """Yield the facts of the effort by name."""
    taken = f"{_count(result.rounds, 'round')}, {_count(result.jobs, 'job')}, {_count(result.shots, 'shot')}"
    yield "effort", f"{taken}, {format_duration(result.wall_seconds)}"
    yield "cost", _cost(result)
    for session in result.sessions:
        yield "session", f"{session.id} {session.status}"
    yield "run", f"{result.run_key}{' (resumed)' if result.resumed else ''}"


def table(result: RunResult) -> list[dict[str, object]]:
    """Return the rows of the result's table with the columns that are shown; empty for most algorithms."""
    columns = COLUMNS.get(result.algorithm, ())
    return [{name: _cell(row[name]) for name in columns} for row in result.table] if columns else []


def as_html(result: RunResult) -> str:
    """Return the result as HTML, in which all of its text is escaped."""
    facts = "".join(
        f'<tr><th scope="row" style="{_CELL};font-weight:normal;opacity:.7">{html.escape(name)}</th>'
        f'<td style="{_CELL}">{html.escape(text)}</td></tr>'
        for name, text in (*answer(result), *effort(result))
    )
    caption = f'<caption style="{_CELL};font-weight:bold">{html.escape(heading(result))}</caption>'
    return f"<div><table>{caption}{facts}</table>{_table_as_html(table(result))}</div>"


def _table_as_html(rows: Sequence[Mapping[str, object]]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col" style="{_CELL}">{html.escape(name)}</th>' for name in rows[0])
    lines = (
        "".join(f'<td style="{_CELL}">{html.escape(format_cell(cell))}</td>' for cell in row.values()) for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _energy(result: RunResult) -> Iterator[tuple[str, str]]:
    error = "unknown: the problem is too large to diagonalize"
    if result.error is not None:
        amount = f"{result.error * 1e3:+.3f} mHa" if result.unit == "hartree" else f"{result.error:+.6f}"
        error = f"{amount} against the exact energy"
    sharpness = (
        f"± {result.rounding_bound:.6f} (rounding; the target does not sample)"
        if result.is_exact
        else f"± {result.standard_error:.6f} (standard error)"
    )
    short = "" if result.is_precise else ", wider than the requested precision"
    yield "energy", f"{result.value:.6f}{result.unit and f' {result.unit}'} {sharpness}{short}"
    yield "error", error
    if result.error_budget:
        yield "budget", ", ".join(f"{source.source} {amount_text(source)}" for source in result.error_budget)
    if result.spin_squared is not None:
        squared = f"⟨S²⟩ {_conserved(result.spin_squared, result.spin_squared_error)}"
        yield "spin", f"{squared}, electrons {_conserved(result.electrons, result.electrons_error)}"
    if result.of_what:
        yield "of", result.of_what
    for fact in result.facts:
        if fact.name in FACT_LABELS:
            yield FACT_LABELS[fact.name], f"{SHOWN[fact.shown]}: {fact.reason}"


def amount_text(source: ErrorSource) -> str:
    """Return an error source's amount with its unit, and its side if it has one; "none" or "unknown" without one."""
    if not source.amount:
        return source.meaning.split(":")[0] if ":" in source.meaning else "none"
    amount = f"{1e3 * source.amount:.2g} mHa" if source.unit == "hartree" else f"{source.amount:.2g}"
    return f"{amount} below" if source.is_one_sided else amount


def _conserved(value: float | None, error: float | None) -> str:
    return f"{value:g} (conserved by the circuit)" if not error else f"{value:.3f} ± {error:.3f}"


def _assignment(result: RunResult) -> Iterator[tuple[str, str]]:
    assert result.value is not None
    best = "no sampled assignment meets the constraint"
    if result.best_bitstring is not None:
        best = f"{result.best_value:g} at {result.best_bitstring} (rightmost: variable 0)"
    known = "unknown: too many assignments to enumerate"
    if result.exact is not None:
        known = f"{result.exact:g}"
    ratio = "" if result.approximation_ratio is None else f", approximation ratio {result.approximation_ratio:.4f}"
    yield "best seen", best
    if names := ones(result):
        yield "with 1", names
    yield "optimum", known
    if result.algorithm == "rqaoa":  # no estimate
        yield "recursion", f"came to {result.value:g}{ratio}"
    else:
        error = plus_minus(result.standard_error or 0.0, result.rounding_bound)
        yield "objective", f"{result.value:.6f} {error} on average{ratio}"


def ones(result: RunResult) -> str:
    """Return the named variables that are 1 in the best assignment; empty if the variables have no names."""
    if all(row["variable"] == str(i) for i, row in enumerate(result.table)):
        return ""
    names = [row["variable"] for row in result.table if row["value"]]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) or "none") + more


def _so_far(result: RunResult) -> Iterator[tuple[str, str]]:
    text = "no round is complete"
    if result.history:
        last = result.history[-1]
        text = f"{last.value:.6f} {plus_minus(last.standard_error)} {result.unit}".rstrip()
    yield "so far", text
    yield "resume", f"hybridloop runs resume {result.run_key}"


def _cell(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}{'' if number == 1 else 's'}"


def _cost(result: RunResult) -> str:
    """Return the billed and reserved amounts by unit; the service may state none."""
    unstated = "not stated by the service" if result.jobs or result.pings else "nothing was submitted"
    billed = ", ".join(f"{amount:,.2f} {unit}" for unit, amount in result.cost.items()) or unstated
    return billed + "".join(f"; {amount:,.2f} {unit} reserved" for unit, amount in result.reserved.items())
