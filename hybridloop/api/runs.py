"""Start or resume a run, from Python and from the command line, with the services that it needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from hybridloop.api.environment import find_target_in, flow_environment
from hybridloop.api.optimizers import optimizer_by_name
from hybridloop.api.progress import combine_callbacks, show_progress
from hybridloop.azure.targets.provider_options import target_text
from hybridloop.errors import InputError
from hybridloop.inputs.problems import pop_reading, read_for
from hybridloop.inputs.sources import CALL, Layer, ResolvedSettings, resolve_settings
from hybridloop.preparation import check_request
from hybridloop.runtime.stages import announce
from hybridloop.settings import ProblemText

if TYPE_CHECKING:
    from hybridloop.runs.live import LiveFeed, RoundUpdate
    from hybridloop.runs.result import RunResult


def run_algorithm(algorithm: str, problem: Any, options: Mapping[str, Any]) -> RunResult:
    """Run an algorithm with the keyword arguments of its public function."""
    settings = dict(options)
    reading = pop_reading(algorithm, settings)
    run_key, workspace = settings.pop("run_key", None), settings.pop("workspace", None)
    pool = settings.pop("on", None)
    on_progress = combine_callbacks(settings.pop("on_progress", None), settings.pop("callback", None))
    with optimizer_by_name(settings) as named:
        resolved = resolve_settings(algorithm, Layer(CALL, named))
        text = read_for(algorithm, problem, resolved.settings, reading)
        if pool is not None:
            if workspace is not None and not isinstance(workspace, str):
                remedy = "Give a saved block's name, or leave it to the worker."
                raise InputError("workspace", "a worker can't be given an object of this process", remedy)
            from hybridloop.api.worker import run_on

            return run_on(pool, algorithm, text, resolved, run_key=run_key, workspace=workspace, show=_show)
        return run(algorithm, text, resolved, run_key=run_key, workspace=workspace, on_progress=on_progress)


def run(
    algorithm: str,
    problem: ProblemText,
    resolved: ResolvedSettings,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[RoundUpdate], None] | None = None,
    feed: LiveFeed | None = None,
    is_resume: bool = False,
) -> RunResult:
    """Resume the run of that key, or start a new one; see `hybridloop.vqe`. `feed` is for a live view."""
    block = workspace if isinstance(workspace, str) else None
    settings = resolved.settings
    with show_progress(algorithm, problem.name, target_text(settings.target, settings.options), feed) as feed:
        if run_key is None:  # before the numerics are imported
            check_request(algorithm, problem, settings, find_target_in(workspace, settings.target))
        from hybridloop.flows.lifecycle.begin import EndedRun, Place, RunOrder, begin

        order = RunOrder(algorithm, problem, settings, run_key, resolved.sources, is_resume)
        identity = None if block is not None else partial(_identity, workspace)
        begun = begin(order, Place(identity, partial(find_target_in, workspace)), by_person=True)
        if isinstance(begun, EndedRun) and block is None:
            result = begun.result
        else:
            with flow_environment(workspace) as sdk_workspace:
                from hybridloop.flows.lifecycle.run import run_order
                from hybridloop.runs.live import View

                announce("beginning the run in Prefect")
                ready = None if isinstance(begun, EndedRun) else begun
                result = run_order(order, sdk_workspace, block, View(on_progress, feed), ready)
        feed.end(result.status, result.reason)
        return result


def _show(line: str) -> None:
    print(line, file=sys.stderr)


def _identity(workspace: Any | None) -> dict[str, str]:
    """Identify the workspace that a run would use; starts nothing."""
    from hybridloop.azure.workspace import LocalService, connect, connect_from_environment, identity_of

    return identity_of(workspace or connect_from_environment() or connect(LocalService("http://127.0.0.1/", "none")))
