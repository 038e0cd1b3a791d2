"""The ground-state energy of a molecule by ADAPT-VQE, in a run that outlives its process."""

from __future__ import annotations

from prefect import flow

from hybridloop.flows.closing import close_what_is_left
from hybridloop.flows.results import RunResult
from hybridloop.flows.running import run_in_flow
from hybridloop.flows.settings import AdaptSettings, ProblemText

DEFAULTS = AdaptSettings()


@flow(
    name="adapt",
    flow_run_name="adapt-{problem.name}",
    persist_result=False,
    on_crashed=[close_what_is_left],
    on_cancellation=[close_what_is_left],
)
def adapt(problem: ProblemText, settings: AdaptSettings = DEFAULTS, run_key: str | None = None) -> RunResult:
    """Grow a circuit for a molecule's ground state in a run of one session at a time, closed however the run ends."""
    return run_in_flow("adapt", problem, settings, run_key)
