"""Scan flow: ground-state energies of several molecules by VQE, in one run."""

from __future__ import annotations

from prefect import flow

from hybridloop.flows.lifecycle.hooks import run_flow_options
from hybridloop.flows.lifecycle.run import run_in_flow
from hybridloop.runs.result import RunResult
from hybridloop.settings import ProblemText, RunKey, ScanSettings, WorkspaceName

DEFAULTS = ScanSettings()


@flow(name="scan", flow_run_name="scan-{problem.name}", **run_flow_options())
def scan(
    problem: ProblemText, settings: ScanSettings = DEFAULTS, run_key: RunKey = None, workspace: WorkspaceName = None
) -> RunResult:
    """Find the ground-state energies of a scan's points, in one session at a time, closed however the run ends.

    Args:
        problem: the scan's molecules, as JSON text.
        settings: the algorithm's settings, caps and failure policy.
        run_key: the run's key; a run that has it is resumed. By default a new key is generated.
        workspace: saved block of the workspace, or its resource id. By default the workspace of the environment.
    """
    return run_in_flow("scan", problem, settings, run_key, workspace)
