"""What a run hands back: the answer with its error, how it was come by, and a picture of it.

What a run came to, in words: the same ones on a terminal and in a notebook.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from hybridloop.algorithms.outcome import Outcome, RoundProgress, Table
from hybridloop.runs.live_text import plus_minus
from hybridloop.runtime.durations import format_duration
from hybridloop.runtime.text_table import format_cell, format_table

CHEMICAL_ACCURACY = 1.6e-3  # hartree: 1 kcal/mol
# the fields that a result takes over from the algorithm's outcome, under the same names
OF_OUTCOME = (
    *("reason", "value", "standard_error", "interval95", "is_exact", "rounding_bound", "is_precise", "parameters"),
    *("rounds", "best_bitstring", "best_value", "approximation_ratio", "table", "choices"),
)


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A session of the run: its id, its last known status at the service, and its number of jobs."""

    id: str
    status: str
    jobs: int


@dataclass(frozen=True, slots=True)
class RunEffort:
    """Jobs, shots and cost of a run so far, in all its sessions and processes; fields as in `RunResult`."""

    jobs: int
    retried: int
    pings: int
    shots: int
    cost: Mapping[str, float]
    estimated: Mapping[str, float]
    reserved: Mapping[str, float]
    sessions: Sequence[SessionSummary]
    wall_seconds: float
    resumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of a run; values in `unit`, which is empty for the objective of a binary problem.

    `status` is "converged" (the optimizer's own criterion was met) or "finished" (a stated limit was reached), and
    `reason` says which. `value` was measured anew at `parameters` (radians); `standard_error` is 0 where the target
    does not sample, and then the truth lies within `rounding_bound`; `is_precise` says whether that is as sharp as was
    asked. `exact` and `error` (value − exact) are None where the molecule is too large to be diagonalized; `reference`
    is Hartree-Fock. Of binary problems `value` is the mean of the objective, `exact` the best that an assignment can
    have, `reference` the mean over all assignments, and `best_bitstring` (rightmost character = variable 0) the best
    assignment that was seen, of `best_value`; `approximation_ratio` goes from the worst assignment, 0, to the best, 1.
    `table` has what one value does not hold: of ADAPT-VQE the operators in their order, of VQD the levels, from the
    ground state, whose energy `value` is; of a scan the points, of which `value` is the first one's; of binary problems
    the variables by name, with their value in the best assignment. `warnings` are reasons to doubt the value, `choices`
    what was chosen for the run where the settings did not say, and why. `jobs` are those of the rounds, each once;
    `retried` and `pings` come on top, and `shots` are those of `jobs`. `cost` is what the service billed, by unit (USD,
    HQC, eHQC, …), and empty where it stated nothing; `estimated` is what all these jobs were expected to cost, and
    `reserved` what is set aside for those of which no bill is known: a cap holds the sum of `reserved` and `cost`.

    A run that has not ended is "stopped", "parked" or "interrupted": it has no value yet, `parameters` are the best
    point so far, and `runs resume` goes on with it. `resumed` says that this one had been begun before.
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
    sessions: Sequence[SessionSummary]
    seed: int
    wall_seconds: float
    resumed: bool
    history: tuple[RoundProgress, ...]
    unit: str = "hartree"
    best_bitstring: str | None = None
    best_value: float | None = None
    approximation_ratio: float | None = None
    table: Table = ()
    warnings: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    estimated: Mapping[str, float] = field(default_factory=dict)
    reserved: Mapping[str, float] = field(default_factory=dict)

    def with_outcome(self, outcome: Outcome, warnings: tuple[str, ...]) -> RunResult:
        """Return the result of a run that came to this outcome."""
        answer = {name: getattr(outcome, name) for name in OF_OUTCOME}
        return replace(self, status="converged" if outcome.converged else "finished", warnings=warnings, **answer)

    @property
    def error(self) -> float | None:
        """Value minus exact."""
        return None if self.exact is None or self.value is None else self.value - self.exact

    @property
    def of_what(self) -> str:
        """Whose energy `value` is, where the run has measured those of several; empty where it is the only one."""
        if self.algorithm == "scan" and len(self.table) > 1:
            return f"{self.table[0]['point']}, the first of {len(self.table)} points"
        if self.algorithm == "vqd" and len(self.table) > 1:
            return f"the ground state, the lowest of {len(self.table)} levels"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
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
        """The result that `as_dict` gave, also after it went through JSON."""
        own = {each.name: stored[each.name] for each in fields(cls) if each.name in stored}
        interval = stored["interval95"]
        return cls(
            **{
                **own,
                "interval95": None if interval is None else (interval[0], interval[1]),
                "parameters": tuple(stored["parameters"]),
                "jobs": stored["jobs"]["evaluations"],
                "cost": dict(stored["costs"]),
                "estimated": dict(stored.get("estimated", {})),
                "reserved": dict(stored.get("reserved", {})),
                "table": tuple(stored.get("table", ())),
                "warnings": tuple(stored.get("warnings", ())),
                "choices": tuple(stored.get("choices", ())),
                "sessions": tuple(SessionSummary(**each) for each in stored["sessions"]),
                "history": tuple(
                    RoundProgress(**{**each, "point": tuple(each["point"])}) for each in stored["history"]
                ),
            }
        )

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)

    def __str__(self) -> str:
        """What the command line prints of it."""
        return as_text(self)

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        return as_html(self)

    def plot(self, path: str | None = None, *, kind: str = "convergence") -> Any:
        """A picture as a matplotlib figure; written to `path` (.svg, .png, .pdf) if one is given.

        `kind` is convergence, energy, levels (of VQD), curve (of a scan), growth (of ADAPT-VQE), or one of those that
        are drawn from what the journal has of the run: histogram and cut (of binary problems), timeline. Raises
        InputError for one of which the run has nothing.
        """
        from hybridloop.reports.plots import plot_result

        drawn = plot_result(self, kind)
        if path is not None:
            drawn.save(path)
        return drawn.figure


# What is shown of a result's table; the rest is for programs.
COLUMNS: Mapping[str, Sequence[str]] = {
    "adapt": ("emptied", "filled", "gradient", "gradient_error", "expected_left", "energy"),
    "scan": ("point", "energy", "standard_error", "exact", "error", "rounds", "circuits", "converged"),
    "vqd": ("level", "energy", "standard_error", "exact", "overlap", "electrons", "converged"),
}
MOST_NAMES = 12  # on a line
TABLES = {"vqd": "Levels", "scan": "Points", "adapt": "Operators"}  # what the rows of each algorithm's are
_OF_ASSIGNMENTS = frozenset({"qaoa", "rqaoa"})
_CELL = "text-align:left;padding:0 1em 0 0"


def heading(result: RunResult) -> str:
    """What ran where, and how it ended."""
    return f"{result.problem} on {result.target}: {result.status} ({result.reason})"


def answer(result: RunResult) -> Iterator[tuple[str, str]]:
    """Each fact's name with the fact: what it came to, and what speaks against it."""
    if result.value is None:
        yield from _so_far(result)
    elif result.algorithm in _OF_ASSIGNMENTS:
        yield from _assignment(result)
    else:
        yield from _energy(result)
    for warning in result.warnings:
        yield "warning", warning
    for choice in result.choices:
        name, _, said = choice.partition(": ")
        yield name, said


def effort(result: RunResult) -> Iterator[tuple[str, str]]:
    """Each fact's name with the fact: what it took."""
    taken = f"{_count(result.rounds, 'round')}, {_count(result.jobs, 'job')}, {_count(result.shots, 'shot')}"
    yield "effort", f"{taken}, {format_duration(result.wall_seconds)}"
    yield "cost", _cost(result)
    for session in result.sessions:
        yield "session", f"{session.id} {session.status}"
    yield "run", f"{result.run_key}{' (resumed)' if result.resumed else ''}"


def table(result: RunResult) -> list[dict[str, object]]:
    """What a run has beside its value: a row for each operator, level or point, by the columns that are shown."""
    columns = COLUMNS.get(result.algorithm, ())
    return [{name: _in_words(row[name]) for name in columns} for row in result.table] if columns else []


def as_text(result: RunResult) -> str:
    """The result as lines of text, with its table, if it has one."""
    facts = [f"  {name:<10} {said}" for name, said in (*answer(result), *effort(result))]
    found = table(result)
    lines = [f"  {line}" for line in format_table(tuple(found[0]), found)] if found else []
    return "\n".join((heading(result), *facts, *lines))


def as_html(result: RunResult) -> str:
    """The result as a piece of a page; all that comes from outside is escaped."""
    facts = [*answer(result), *effort(result)]
    lines = "".join(
        f'<tr><th scope="row" style="{_CELL};font-weight:normal;opacity:.7">{html.escape(name)}</th>'
        f'<td style="{_CELL}">{html.escape(said)}</td></tr>'
        for name, said in facts
    )
    caption = f'<caption style="{_CELL};font-weight:bold">{html.escape(heading(result))}</caption>'
    return f"<div><table>{caption}{lines}</table>{_table_as_html(result)}</div>"


def _table_as_html(result: RunResult) -> str:
    if not (found := table(result)):
        return ""
    head = "".join(f'<th scope="col" style="{_CELL}">{html.escape(name)}</th>' for name in found[0])
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{_CELL}">{html.escape(format_cell(each))}</td>' for each in row.values())
        + "</tr>"
        for row in found
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _energy(result: RunResult) -> Iterator[tuple[str, str]]:
    error = "unknown: the problem is too large to be diagonalized"
    if result.error is not None:
        amount = f"{result.error * 1e3:+.3f} mHa" if result.unit == "hartree" else f"{result.error:+.6f}"
        error = f"{amount} against the exact energy"
    sharpness = (
        f"± {result.rounding_bound:.6f} (rounding; the target does not sample)"
        if result.is_exact
        else f"± {result.standard_error:.6f} (standard error)"
    )
    short = "" if result.is_precise else ", which is wider than was asked"
    yield "energy", f"{result.value:.6f}{result.unit and f' {result.unit}'} {sharpness}{short}"
    yield "error", error
    if result.of_what:
        yield "of", result.of_what


def _assignment(result: RunResult) -> Iterator[tuple[str, str]]:
    assert result.value is not None
    best = "none that was seen meets the constraint"
    if result.best_bitstring is not None:
        best = f"{result.best_value:g} at {result.best_bitstring} (rightmost: variable 0)"
    known = "unknown: too many assignments to go through"
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
    """The variables that are 1 in the best assignment, where they have names of their own."""
    if all(row["variable"] == str(place) for place, row in enumerate(result.table)):
        return ""
    names = [row["variable"] for row in result.table if row["value"]]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) or "none") + more


def _so_far(result: RunResult) -> Iterator[tuple[str, str]]:
    said = "no round is complete"
    if result.history:
        last = result.history[-1]
        said = f"{last.value:.6f} {plus_minus(last.standard_error)} {result.unit}".rstrip()
    yield "so far", said
    yield "go on", f"hybridloop runs resume {result.run_key}"


def _in_words(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}{'' if number == 1 else 's'}"


def _cost(result: RunResult) -> str:
    """What the service billed; it states amounts by unit, or none."""
    unstated = "not stated by the service" if result.jobs or result.pings else "nothing was sent"
    billed = ", ".join(f"{amount:,.2f} {unit}" for unit, amount in result.cost.items()) or unstated
    return billed + "".join(f"; {amount:,.2f} {unit} reserved" for unit, amount in result.reserved.items())
