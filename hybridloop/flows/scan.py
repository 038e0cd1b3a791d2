"""Ground-state energies along a row of molecules, in one run that outlives its process."""

from __future__ import annotations

from prefect import flow

from hybridloop.flows.lifecycle.hooks import close_what_is_left
from hybridloop.flows.lifecycle.run import run_in_flow
from hybridloop.runs.result import RunResult
from hybridloop.settings import ProblemText, RunKey, ScanSettings, WorkspaceName

DEFAULTS = ScanSettings()


@flow(
    name="scan",
    flow_run_name="scan-{problem.name}",
    persist_result=False,
    on_crashed=[close_what_is_left],
    on_cancellation=[close_what_is_left],
)
def scan(
    problem: ProblemText, settings: ScanSettings = DEFAULTS, run_key: RunKey = None, workspace: WorkspaceName = None
) -> RunResult:
    """Find each point's ground-state energy in turn, in a run of one session at a time, closed however it ends.

    Args:
        problem: a row of molecules: a built-in row's name, or a text.
        settings: what is done, how far it may go, and what is done when something fails.
        run_key: a name for the run, and the run of that name is gone on with; left out: one is made up.
        workspace: the workspace's saved block; left out: what the environment of whoever runs it names.
    """
    return run_in_flow("scan", problem, settings, run_key, workspace)
