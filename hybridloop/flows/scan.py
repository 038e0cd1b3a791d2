"""Ground-state energies along a row of molecules, in one run that outlives its process."""

from __future__ import annotations

from prefect import flow

from hybridloop.flows.closing import close_what_is_left
from hybridloop.flows.results import RunResult
from hybridloop.flows.running import run_in_flow
from hybridloop.flows.settings import ProblemText, ScanSettings

DEFAULTS = ScanSettings()


@flow(
    name="scan",
    flow_run_name="scan-{problem.name}",
    persist_result=False,
    on_crashed=[close_what_is_left],
    on_cancellation=[close_what_is_left],
)
def scan(problem: ProblemText, settings: ScanSettings = DEFAULTS, run_key: str | None = None) -> RunResult:
    """Find each point's ground-state energy in turn, in a run of one session at a time, closed however it ends."""
    return run_in_flow("scan", problem, settings, run_key)
