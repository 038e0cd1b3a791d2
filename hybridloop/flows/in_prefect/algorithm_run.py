"""Runs of algorithms in Prefect: a caller's process does one beside its flow run, a worker's process inside it."""

from __future__ import annotations

from typing import Any

from prefect import flow

from hybridloop.blocks import naming_block
from hybridloop.descriptions import Description
from hybridloop.flows import load_flow
from hybridloop.flows.deploying.deployments import deployment_settings, inherit_settings
from hybridloop.flows.in_prefect.beside import run_beside, show_in_flow
from hybridloop.flows.in_prefect.hooks import run_flow_options
from hybridloop.flows.in_prefect.host import PrefectHost
from hybridloop.flows.in_prefect.missed_starts import skipped_start
from hybridloop.flows.in_prefect.process_reuse import reuse_process
from hybridloop.flows.lifecycle.begin import Place, begin
from hybridloop.flows.lifecycle.host import Ended
from hybridloop.flows.lifecycle.life import live
from hybridloop.flows.lifecycle.workspace import find_workspace
from hybridloop.journal import open_journal
from hybridloop.results.live import NO_VIEW, View
from hybridloop.results.result import RunResult
from hybridloop.runs.order import RunOrder, algorithm_order
from hybridloop.runs.run import Run, is_current
from hybridloop.settings import Problem, ProblemText, RunKey, RunSettings, WorkspaceName


def algorithm_flow(algorithm: Description) -> Any:
    """Return the flow of an algorithm; its parameters and their texts are what Prefect shows of a deployment."""
    default = algorithm.settings()

    def run(problem: Problem, settings: Any = default, run_key: RunKey = None, workspace: WorkspaceName = None) -> Any:
        return _run_in_flow(algorithm.name, problem, settings, run_key, workspace)

    run.__name__ = run.__qualname__ = algorithm.name
    run.__module__ = algorithm.flow.partition(":")[0]
    run.__annotations__ |= {"settings": algorithm.settings, "return": RunResult}
    run.__doc__ = f"""{algorithm.summary}

    The run has one session at a time, which is closed however the run ends.

    Args:
        problem: {algorithm.subject}, as a built-in name or a text.
        settings: the algorithm's settings, caps and failure policy.
        run_key: the run's key; a run that has it is resumed. By default a new key is generated.
        workspace: saved block of the workspace, or its resource id. By default the workspace of the environment.
    """
    return flow(name=algorithm.name, **run_flow_options())(run)


def _run_in_flow(
    algorithm: str, problem: ProblemText, settings: RunSettings, run_key: str | None, block: str | None
) -> Any:
    """Run an algorithm as the body of its flow; `block` is a saved workspace, None: that of the environment."""
    if (skipped := skipped_start()) is not None:
        return skipped
    reuse_process()
    if defaults := deployment_settings():
        settings = inherit_settings(settings, defaults)
    order, workspace = algorithm_order(algorithm, problem, settings, run_key), find_workspace(block)
    return show_in_flow(lambda host: live_in_flow(order, workspace, host, block))


def run_order(
    order: RunOrder, workspace: Any, block: str | None = None, view: View = NO_VIEW, begun: Run | None = None
) -> RunResult:
    """Do a run beside Prefect, in the SDK's workspace, which a saved `block` may name; its flow run has the parameters.

    A run that the caller has not `begun` is begun in its flow run, which shows a refusal; so is one that another
    process has worked on since, and one whose flow run Prefect starts again. A run that is stopped or parked returns
    its result so far. Raises the errors of `live`, and RunCancelled.
    """
    ready = [] if begun is None else [begun]

    return run_beside(
        load_flow(order.algorithm),
        lambda host, *_: live_in_flow(order, workspace, host, block, view, ready),
        *(order.text, order.settings, order.run_key, block),
    )


def live_in_flow(
    order: RunOrder,
    workspace: Any,
    host: PrefectHost,
    block: str | None = None,
    view: View = NO_VIEW,
    ready: list[Run] | None = None,
) -> Ended[RunResult]:
    """Do a run inside its flow run: one that is `ready` and current, else the one that this flow run began before."""
    with naming_block(block), open_journal() as journal:
        host.order = host.labelled(order)
        run = ready.pop() if ready else None
        if run is None or not is_current(journal, run.record):
            run = begin(host.order, Place.of(workspace))
        return live(journal, run, workspace, host, view)
