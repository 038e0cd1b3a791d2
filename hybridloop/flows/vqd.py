"""Energy levels of a molecule by variational quantum deflation, in a run that outlives its process."""

from __future__ import annotations

from prefect import flow

from hybridloop.flows.lifecycle.hooks import close_what_is_left
from hybridloop.flows.lifecycle.run import run_in_flow
from hybridloop.runs.result import RunResult
from hybridloop.settings import ProblemText, RunKey, VqdSettings, WorkspaceName

DEFAULTS = VqdSettings()


@flow(
    name="vqd",
    flow_run_name="vqd-{problem.name}",
    persist_result=False,
    on_crashed=[close_what_is_left],
    on_cancellation=[close_what_is_left],
)
def vqd(
    problem: ProblemText, settings: VqdSettings = DEFAULTS, run_key: RunKey = None, workspace: WorkspaceName = None
) -> RunResult:
    """Find a molecule's lowest energy levels in a run of one session at a time, closed however the run ends.

    Args:
        problem: a molecule, or a Pauli sum: a built-in's name, or a text.
        settings: what is done, how far it may go, and what is done when something fails.
        run_key: a name for the run, and the run of that name is gone on with; left out: one is made up.
        workspace: the workspace's saved block; left out: what the environment of whoever runs it names.
    """
    return run_in_flow("vqd", problem, settings, run_key, workspace)
