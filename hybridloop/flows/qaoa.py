"""QAOA and recursive QAOA flows: a good assignment of a binary problem."""

from __future__ import annotations

from prefect import flow

from hybridloop.flows.lifecycle.hooks import run_flow_options
from hybridloop.flows.lifecycle.run import run_in_flow
from hybridloop.runs.result import RunResult
from hybridloop.settings import ProblemText, QaoaSettings, RqaoaSettings, RunKey, WorkspaceName

DEFAULTS = QaoaSettings()
RECURSIVE_DEFAULTS = RqaoaSettings()


@flow(name="qaoa", flow_run_name="qaoa-{problem.name}", **run_flow_options())
def qaoa(
    problem: ProblemText, settings: QaoaSettings = DEFAULTS, run_key: RunKey = None, workspace: WorkspaceName = None
) -> RunResult:
    """Find a good assignment by QAOA, in one session at a time, closed however the run ends.

    Args:
        problem: a graph or another binary problem, as a built-in name or a text.
        settings: the algorithm's settings, caps and failure policy.
        run_key: the run's key; a run that has it is resumed. By default a new key is generated.
        workspace: saved block of the workspace, or its resource id. By default the workspace of the environment.
    """
    return run_in_flow("qaoa", problem, settings, run_key, workspace)


@flow(name="rqaoa", flow_run_name="rqaoa-{problem.name}", **run_flow_options())
def rqaoa(
    problem: ProblemText,
    settings: RqaoaSettings = RECURSIVE_DEFAULTS,
    run_key: RunKey = None,
    workspace: WorkspaceName = None,
) -> RunResult:
    """Find a good assignment by recursive QAOA, in one session at a time, closed however the run ends.

    Args:
        problem: a graph or another binary problem, as a built-in name or a text.
        settings: the algorithm's settings, caps and failure policy.
        run_key: the run's key; a run that has it is resumed. By default a new key is generated.
        workspace: saved block of the workspace, or its resource id. By default the workspace of the environment.
    """
    return run_in_flow("rqaoa", problem, settings, run_key, workspace)
