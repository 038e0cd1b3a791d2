"""The ground-state energy of a molecule by ADAPT-VQE, in a run that outlives its process."""

from __future__ import annotations

from prefect import flow

from hybridloop.flows.lifecycle.hooks import close_what_is_left
from hybridloop.flows.lifecycle.run import run_in_flow
from hybridloop.runs.result import RunResult
from hybridloop.settings import AdaptSettings, ProblemText, RunKey, WorkspaceName

DEFAULTS = AdaptSettings()


@flow(
    name="adapt",
    flow_run_name="adapt-{problem.name}",
    persist_result=False,
    on_crashed=[close_what_is_left],
    on_cancellation=[close_what_is_left],
)
def adapt(
    problem: ProblemText, settings: AdaptSettings = DEFAULTS, run_key: RunKey = None, workspace: WorkspaceName = None
) -> RunResult:
    """Grow a circuit for a molecule's ground state in a run of one session at a time, closed however the run ends.

    Args:
        problem: a molecule: a built-in's name, or a text.
        settings: what is done, how far it may go, and what is done when something fails.
        run_key: a name for the run, and the run of that name is gone on with; left out: one is made up.
        workspace: the workspace's saved block; left out: what the environment of whoever runs it names.
    """
    return run_in_flow("adapt", problem, settings, run_key, workspace)
