"""Energy levels of a molecule by variational quantum deflation, in a run that outlives its process."""

from __future__ import annotations

from prefect import flow

from hybridloop.flows.closing import close_what_is_left
from hybridloop.flows.results import RunResult
from hybridloop.flows.running import run_in_flow
from hybridloop.flows.settings import ProblemText, VqdSettings

DEFAULTS = VqdSettings()


@flow(
    name="vqd",
    flow_run_name="vqd-{problem.name}",
    persist_result=False,
    on_crashed=[close_what_is_left],
    on_cancellation=[close_what_is_left],
)
def vqd(problem: ProblemText, settings: VqdSettings = DEFAULTS, run_key: str | None = None) -> RunResult:
    """Find a molecule's lowest energy levels in a run of one session at a time, closed however the run ends."""
    return run_in_flow("vqd", problem, settings, run_key)
