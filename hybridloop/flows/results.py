"""What a run hands back: the answer with its error, how it was come by, and a picture of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hybridloop.algorithms.vqe import Progress


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session of the run: its id, its last known status at the service, its number of jobs."""

    id: str
    status: str
    jobs: int


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a VQE run; energies in hartree.

    `status` is "converged" (the optimizer's own criterion was met) or "finished" (a stated limit was reached), and
    `reason` says which. `value` was measured anew at `parameters` (radians); `standard_error` is 0 where the target
    does not sample, and then the truth lies within `rounding_bound`; `is_precise` says whether that is as sharp as was
    asked. `exact` and `error` (value − exact) are None where the molecule is too large to be diagonalized; `reference`
    is Hartree-Fock. `jobs` and `shots` are what was submitted; `cost` is what the service billed, by unit (USD, HQC,
    eHQC, …), and empty where it stated nothing.
    """

    run_key: str
    algorithm: str
    problem: str
    target: str
    status: str
    reason: str
    value: float
    standard_error: float
    interval95: tuple[float, float]
    is_exact: bool
    rounding_bound: float
    is_precise: bool
    exact: float | None
    reference: float
    parameters: tuple[float, ...]
    rounds: int
    jobs: int
    shots: int
    cost: Mapping[str, float]
    sessions: Sequence[SessionRecord]
    seed: int
    wall_seconds: float
    history: tuple[Progress, ...]

    @property
    def error(self) -> float | None:
        """Value minus exact."""
        return None if self.exact is None else self.value - self.exact

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        unit, amount = next(iter(self.cost.items())) if len(self.cost) == 1 else (None, None)
        jobs = {"total": self.jobs, "evaluations": self.jobs, "pings": 0, "retried": 0}
        return {
            **asdict(self),
            "error": self.error,
            "jobs": jobs,
            "cost": {"amount": amount, "unit": unit},
            "costs": dict(self.cost),
            "resumed": False,
        }

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)

    def plot(self, path: str | None = None) -> Any:
        """The convergence as a matplotlib figure; written to `path` (.svg, .png, .pdf) if one is given."""
        from hybridloop.flows.pictures import convergence

        figure = convergence(self)
        if path is not None:
            figure.savefig(path)
        return figure
