"""What a run hands back: the answer with its error, how it was come by, and a picture of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from hybridloop.algorithms.outcome import Progress, Table

CHEMICAL_ACCURACY = 1.6e-3  # hartree: 1 kcal/mol


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session of the run: its id, its last known status at the service, its number of jobs."""

    id: str
    status: str
    jobs: int


@dataclass(frozen=True, slots=True)
class Account:
    """What a run took so far, in all its sessions and processes; see `RunResult`."""

    run_key: str
    target: str
    seed: int
    jobs: int
    retried: int
    pings: int
    shots: int
    cost: Mapping[str, float]
    sessions: Sequence[SessionRecord]
    wall_seconds: float
    resumed: bool
    estimated: Mapping[str, float]
    reserved: Mapping[str, float]


@dataclass(frozen=True, slots=True)
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
    status: str
    reason: str
    value: float | None
    standard_error: float | None
    interval95: tuple[float, float] | None
    is_exact: bool
    rounding_bound: float
    is_precise: bool
    exact: float | None
    reference: float
    parameters: tuple[float, ...]
    rounds: int
    jobs: int
    retried: int
    pings: int
    shots: int
    cost: Mapping[str, float]
    sessions: Sequence[SessionRecord]
    seed: int
    wall_seconds: float
    resumed: bool
    history: tuple[Progress, ...]
    unit: str = "hartree"
    best_bitstring: str | None = None
    best_value: float | None = None
    approximation_ratio: float | None = None
    table: Table = ()
    warnings: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    estimated: Mapping[str, float] = field(default_factory=dict)
    reserved: Mapping[str, float] = field(default_factory=dict)

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
                "sessions": tuple(SessionRecord(**each) for each in stored["sessions"]),
                "history": tuple(Progress(**{**each, "point": tuple(each["point"])}) for each in stored["history"]),
            }
        )

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)

    def __str__(self) -> str:
        """What the command line prints of it."""
        from hybridloop.flows.result_text import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        from hybridloop.flows.result_text import as_html

        return as_html(self)

    def plot(self, path: str | None = None, *, kind: str = "convergence") -> Any:
        """A picture as a matplotlib figure; written to `path` (.svg, .png, .pdf) if one is given.

        `kind` is convergence, energy, levels (of VQD), curve (of a scan), growth (of ADAPT-VQE), or one of those that
        are drawn from what the journal has of the run: histogram and cut (of binary problems), timeline. Raises
        InputError for one of which the run has nothing.
        """
        from hybridloop.flows.picturing import picture_of

        drawn = picture_of(self, kind)
        if path is not None:
            drawn.save(path)
        return drawn.figure
