"""Start or resume a run, from Python and from the command line, with the services that it needs."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hybridloop.api.environment import find_target_in, labels_of_run
from hybridloop.api.hosts import HOSTS, PLAIN, PREFECT, do_run, place_of
from hybridloop.api.optimizers import optimizer_by_name
from hybridloop.api.progress import combine_callbacks, show_progress
from hybridloop.errors import InputError
from hybridloop.inputs.problem_objects import variables_of
from hybridloop.inputs.problems import pop_reading, read_for
from hybridloop.inputs.sources import CALL, Layer, ResolvedSettings, resolve_settings
from hybridloop.preparation import check_request
from hybridloop.results.live import NO_VIEW, View
from hybridloop.runtime.clock import beginning_now
from hybridloop.runtime.workspace_variables import workspace_variable
from hybridloop.settings import ProblemText
from hybridloop.targets import recorded_target
from hybridloop.targets.provider_options import target_text

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult

_log = logging.getLogger(__name__)


def run_algorithm(algorithm: str, problem: Any, options: Mapping[str, Any]) -> RunResult:
    """Run an algorithm with the keyword arguments of its public function."""
    with beginning_now():
        return _run_algorithm(algorithm, problem, options)


def _run_algorithm(algorithm: str, problem: Any, options: Mapping[str, Any]) -> RunResult:
    settings = dict(options)
    reading = pop_reading(algorithm, settings)
    run_key, workspace = settings.pop("run_key", None), settings.pop("workspace", None)
    pool, host = settings.pop("on", None), settings.pop("host", PREFECT)
    if host not in HOSTS or (pool is not None and host == PLAIN):
        remedy = f"Give {' or '.join(map(repr, HOSTS))}; `on` needs Prefect."
        raise InputError("host", f"{host!r} is no host of this run", remedy)
    require_prefect = settings.pop("require_prefect", False)
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
        more = {} if host == PREFECT else {"host": host}
        result = run(
            algorithm,
            text,
            resolved,
            run_key=run_key,
            workspace=workspace,
            view=View(on_progress),
            more=more,
            require_prefect=require_prefect,
        )
        names = [str(row["variable"]) for row in result.table if "variable" in row]
        return replace(result, variables=variables_of(problem, names)) if names else result


def run(
    algorithm: str,
    problem: ProblemText,
    resolved: ResolvedSettings,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    view: View = NO_VIEW,
    more: Mapping[str, Any] = {},
    require_prefect: bool = False,
) -> RunResult:
    """Resume the run of that key, or start a new one; see `hybridloop.vqe`.

    `more` is written to the record of a new one, with the host if that is not Prefect.
    """
    settings = resolved.settings
    if workspace is None and workspace_variable(os.environ) is None and recorded_target(settings.target).is_machine:
        _log.warning(
            "%s is simulated by the local service: no workspace is named, and nothing is billed", settings.target
        )
    with show_progress(algorithm, problem.name, target_text(settings.target, settings.options), view.feed) as feed:
        if run_key is None:  # before the numerics are imported
            check_request(algorithm, problem, settings, find_target_in(workspace, settings.target))
        from hybridloop.flows.lifecycle.begin import find_for_person
        from hybridloop.runs.order import algorithm_order

        more = {"sources": dict(resolved.sources), **labels_of_run(), **more}
        order = algorithm_order(algorithm, problem, settings, run_key, more=more)
        place = place_of(workspace)
        found, view = find_for_person(order, place), replace(view, feed=feed)
        return do_run(found, place, workspace, view, require_prefect=require_prefect)


def _show(line: str) -> None:
    print(line, file=sys.stderr)
