"""SQD flow: a bound on a molecule's ground-state energy by sample-based quantum diagonalization."""

from __future__ import annotations

from prefect import flow

from hybridloop.flows.lifecycle.hooks import run_flow_options
from hybridloop.flows.lifecycle.run import run_in_flow
from hybridloop.runs.result import RunResult
from hybridloop.settings import ProblemText, RunKey, SqdSettings, WorkspaceName

DEFAULTS = SqdSettings()


@flow(name="sqd", flow_run_name="sqd-{problem.name}", **run_flow_options())
def sqd(
    problem: ProblemText, settings: SqdSettings = DEFAULTS, run_key: RunKey = None, workspace: WorkspaceName = None
) -> RunResult:
    """Find an upper bound on a molecule's ground-state energy from samples of one round, in one session at a time.

    Args:
        problem: a molecule, as a built-in name or a text.
        settings: the algorithm's settings, caps and failure policy.
        run_key: the run's key; a run that has it is resumed. By default a new key is generated.
        workspace: saved block of the workspace, or its resource id. By default the workspace of the environment.
    """
    return run_in_flow("sqd", problem, settings, run_key, workspace)
