"""Levels flow: energy levels of a molecule or a Pauli sum, by q-sc-EOM."""

from __future__ import annotations

from prefect import flow

from hybridloop.flows.lifecycle.hooks import run_flow_options
from hybridloop.flows.lifecycle.run import run_in_flow
from hybridloop.runs.result import RunResult
from hybridloop.settings import LevelsSettings, ProblemText, RunKey, WorkspaceName

DEFAULTS = LevelsSettings()


@flow(name="levels", flow_run_name="levels-{problem.name}", **run_flow_options())
def levels(
    problem: ProblemText, settings: LevelsSettings = DEFAULTS, run_key: RunKey = None, workspace: WorkspaceName = None
) -> RunResult:
    """Find a problem's lowest energy levels, in one session at a time, closed however the run ends.

    Args:
        problem: a molecule or a Pauli sum, as a built-in name or a text.
        settings: the algorithm's settings, caps and failure policy.
        run_key: the run's key; a run that has it is resumed. By default a new key is generated.
        workspace: saved block of the workspace, or its resource id. By default the workspace of the environment.
    """
    return run_in_flow("levels", problem, settings, run_key, workspace)
