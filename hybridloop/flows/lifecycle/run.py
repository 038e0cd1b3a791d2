"""The life of an algorithm's run: it is begun, held in its flow run, measured in a session, and ended.

A caller's process does that beside Prefect (`run_order`), a worker's process inside its flow run.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from hybridloop.azure.workspace import describe
from hybridloop.blocks import naming_block
from hybridloop.descriptions import Description
from hybridloop.flows import load_flow
from hybridloop.flows.deploying.deployments import deployment_settings, inherit_settings
from hybridloop.flows.in_prefect.beside import Ended, run_beside, show_in_flow
from hybridloop.flows.lifecycle.acquire_session import acquire_session, check_available
from hybridloop.flows.lifecycle.begin import BegunRun, EndedRun, Place, RunOrder, begin, is_current
from hybridloop.flows.lifecycle.classical_part import is_classical_alone
from hybridloop.flows.lifecycle.completion import completed
from hybridloop.flows.lifecycle.hold import hold
from hybridloop.flows.lifecycle.hooks import run_flow_options
from hybridloop.flows.lifecycle.process_reuse import reuse_process
from hybridloop.flows.lifecycle.under_way import RunUnderWay
from hybridloop.flows.lifecycle.workspace import find_workspace
from hybridloop.journal import open_journal
from hybridloop.runs.live import NO_VIEW, View
from hybridloop.runs.result import RunResult
from hybridloop.settings import Problem, ProblemText, RunKey, RunSettings, WorkspaceName
from hybridloop.tasks.prefect_tasks import tasks_untagged


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
    reuse_process()
    if defaults := deployment_settings():
        settings = inherit_settings(settings, defaults)
    order, workspace = RunOrder(algorithm, problem, settings, run_key), find_workspace(block)

    def work() -> Ended[RunResult]:
        with naming_block(block):
            return execute(begin_in_flow(order, workspace), workspace)

    return show_in_flow(work)


def begin_in_flow(order: RunOrder, workspace: Any) -> BegunRun | EndedRun:
    """Begin a run inside its flow run: the run that this flow run began before it died is resumed."""
    return begin(order, Place.of(workspace), flow_run_id=flow_run.id)


def run_order(
    order: RunOrder, workspace: Any, block: str | None = None, view: View = NO_VIEW, begun: BegunRun | None = None
) -> RunResult:
    """Do a run beside Prefect, in the SDK's workspace, which a saved `block` may name; its flow run has the parameters.

    A run that the caller has not `begun` is begun in its flow run, which shows a refusal; so is one that another
    process has worked on since, and one whose flow run Prefect starts again. A run that is stopped or parked returns
    its result so far. Raises the errors of `execute`, and RunCancelled.
    """
    ready = [] if begun is None else [begun]

    def work(*_parameters: Any) -> Ended[RunResult]:
        with naming_block(block):
            if ready and is_current(ready[0].found):
                return execute(ready.pop(), workspace, view)
            ready.clear()
            return execute(begin_in_flow(order, workspace), workspace, view)

    return run_beside(load_flow(order.algorithm), work, order.problem, order.settings, order.run_key, block)


def execute(begun: BegunRun | EndedRun, workspace: Any, view: View = NO_VIEW) -> Ended[RunResult]:
    """Do a run inside a flow run: hold it, measure it, and end it; a stored result is shown.

    Raises InputError before a session is opened, RunBusy if another process holds the run, and ServiceError for errors
    of the service.
    """
    get_run_logger().info("%s", describe(workspace))
    found = Place.of(workspace).locate(begun.found)
    if isinstance(begun, EndedRun):
        return Ended(partial(completed, begun.result), begun.result)
    target, settings = begun.prepared.target, begun.settings
    with tasks_untagged(), open_journal() as journal:
        is_replay = is_classical_alone(journal, found.record)
        num_qubits = begun.prepared.algorithm.facts.num_qubits
        is_available = is_replay or check_available(workspace, target, num_qubits, settings.failure)
        with hold(journal, found, workspace, target, settings) as held:
            session = acquire_session(held, is_available=is_available, is_replay=is_replay)
            return RunUnderWay(begun, held, view).measure(session)
