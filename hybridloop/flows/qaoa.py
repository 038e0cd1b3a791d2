"""The best assignment of a binary problem by QAOA or recursive QAOA, in a run that outlives its process."""

from __future__ import annotations

from prefect import flow

from hybridloop.flows.lifecycle.hooks import close_what_is_left
from hybridloop.flows.lifecycle.run import run_in_flow
from hybridloop.runs.result import RunResult
from hybridloop.settings import ProblemText, QaoaSettings, RqaoaSettings, RunKey, WorkspaceName

DEFAULTS = QaoaSettings()
RECURSIVE_DEFAULTS = RqaoaSettings()


@flow(
    name="qaoa",
    flow_run_name="qaoa-{problem.name}",
    persist_result=False,
    on_crashed=[close_what_is_left],
    on_cancellation=[close_what_is_left],
)
def qaoa(
    problem: ProblemText, settings: QaoaSettings = DEFAULTS, run_key: RunKey = None, workspace: WorkspaceName = None
) -> RunResult:
    """Find a good assignment, and what the circuit gives on average, in a run of one session at a time.

    Args:
        problem: a graph or another binary problem: a built-in's name, or a text.
        settings: what is done, how far it may go, and what is done when something fails.
        run_key: a name for the run, and the run of that name is gone on with; left out: one is made up.
        workspace: the workspace's saved block; left out: what the environment of whoever runs it names.
    """
    return run_in_flow("qaoa", problem, settings, run_key, workspace)


@flow(
    name="rqaoa",
    flow_run_name="rqaoa-{problem.name}",
    persist_result=False,
    on_crashed=[close_what_is_left],
    on_cancellation=[close_what_is_left],
)
def rqaoa(
    problem: ProblemText,
    settings: RqaoaSettings = RECURSIVE_DEFAULTS,
    run_key: RunKey = None,
    workspace: WorkspaceName = None,
) -> RunResult:
    """Find a good assignment by fixing one variable a round, in a run of one session at a time.

    Args:
        problem: a graph or another binary problem: a built-in's name, or a text.
        settings: what is done, how far it may go, and what is done when something fails.
        run_key: a name for the run, and the run of that name is gone on with; left out: one is made up.
        workspace: the workspace's saved block; left out: what the environment of whoever runs it names.
    """
    return run_in_flow("rqaoa", problem, settings, run_key, workspace)
