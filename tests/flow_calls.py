"""Runs in a given workspace: flows with the work beside Prefect, as the public functions do, or on the plain host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hybridloop.api.algorithms import run
from hybridloop.api.hosts import PLAIN
from hybridloop.azure.workspace import identity_of
from hybridloop.flows.housekeeping import do_housekeeping, housekeeping
from hybridloop.flows.in_prefect.algorithm_run import live_in_flow
from hybridloop.flows.in_prefect.beside import run_beside, with_body
from hybridloop.flows.in_prefect.host import PrefectHost
from hybridloop.flows.lifecycle.host import Ended
from hybridloop.flows.sweep import run_sweep, sweep
from hybridloop.flows.sweep_execution.scheduler import OnPoint
from hybridloop.inputs.sources import ResolvedSettings
from hybridloop.journal import open_journal
from hybridloop.results.live import LiveFeed, RoundUpdate, View
from hybridloop.results.result import RunResult
from hybridloop.runs.order import algorithm_order
from hybridloop.settings import ProblemText, RunSettings
from tests.runs.holding_helpers import hold

OnRound = Callable[[RoundUpdate], None]


def call_flow(
    flow: Any,
    workspace: Any,
    *args: Any,
    on_progress: OnRound | None = None,
    on_point: OnPoint | None = None,
    **kwargs: Any,
) -> Any:
    """Call a flow with these arguments; its work is in the SDK's `workspace`."""
    return run_beside(flow, _work(flow, workspace, on_progress, on_point), *args, **kwargs)


def run_plainly(
    algorithm: str,
    workspace: Any,
    problem: ProblemText,
    settings: RunSettings,
    run_key: str | None = None,
    on_progress: OnRound | None = None,
    feed: LiveFeed | None = None,
) -> RunResult:
    """Run an algorithm on the plain host, in the SDK's `workspace`; the fixture `own_journal` gives it a journal."""
    return run(
        algorithm,
        problem,
        ResolvedSettings(settings, {}),
        run_key=run_key,
        workspace=workspace,
        view=View(on_progress, feed),
        more={"host": PLAIN},
    )


def begin_plainly(algorithm: str, workspace: Any, problem: ProblemText, settings: RunSettings, run_key: str) -> None:
    """Begin a run on the plain host without a job; a command that names its key resumes it there."""
    more = {"sources": {}, "host": PLAIN}
    order = algorithm_order(algorithm, problem, settings, run_key, workspace=identity_of(workspace), more=more)
    with open_journal() as journal, hold(journal, order):
        pass


def flow_in(flow: Any, workspace: Any, on_progress: OnRound | None = None) -> Any:
    """Return a copy of a flow of an algorithm for Prefect's engine, with its work in the SDK's `workspace`."""
    work = _work(flow, workspace, on_progress, None)

    def body(problem: Any, settings: Any, run_key: str | None, workspace: str | None) -> Any:
        host = PrefectHost()
        return host.end(work(host, problem, settings, run_key, workspace))

    return with_body(flow, body)


def _work(
    flow: Any, workspace: Any, on_progress: OnRound | None, on_point: OnPoint | None
) -> Callable[..., Ended[Any]]:
    def work(
        host: PrefectHost, first: Any, second: Any = None, run_key: str | None = None, block: str | None = None
    ) -> Ended[Any]:
        if flow.name == sweep.name:
            return run_sweep(first, workspace, second, on_point)
        if flow.name == housekeeping.name:
            return Ended(do_housekeeping(first, second, workspace))
        order = algorithm_order(flow.name, first, second, run_key)
        return live_in_flow(order, workspace, host, block, View(on_progress))

    return work
