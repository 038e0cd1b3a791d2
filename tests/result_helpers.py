"""Run results for tests, made without a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.results.result import RunResult, SessionSummary
from hybridloop.results.result_text import Row


def a_result() -> RunResult:
    """Return the result of a VQE that converged."""
    history = tuple(
        RoundProgress(number, phase, value, 1e-3, (0.1,), 1, 2, 2000, 2000 * number)
        for number, phase, value in ((1, "search", -1.12), (2, "search", -1.13), (3, "final", -1.136))
    )
    return RunResult(
        run_key="vqe-h2-0123",
        algorithm="vqe",
        problem="h2",
        target="rigetti.sim.qvm",
        status="converged",
        reason="there is nothing left to gain",
        outcome=Outcome(
            value=-1.136,
            standard_error=1e-3,
            interval95=(-1.138, -1.134),
            error_budget=(),
            is_precise=True,
            parameters=(0.1,),
            converged=True,
            reason="there is nothing left to gain",
            rounds=3,
            history=history,
        ),
        exact=-1.1373,
        reference=-1.117,
        jobs=6,
        retried=0,
        pings=0,
        shots=6000,
        cost={"USD": 1.5},
        sessions=(SessionSummary("an-id", "Succeeded", 6),),
        seed=7,
        resumed=False,
        wall_seconds=2.0,
        history=history,
    )


def answered(result: RunResult, **changes: Any) -> RunResult:
    """Return a result with other values of its outcome."""
    assert result.outcome is not None
    return replace(result, outcome=replace(result.outcome, **changes))


def texts(rows: Iterable[Row]) -> dict[str, str]:
    """Return the texts of rows by name."""
    return {row.name: row.text for row in rows}
