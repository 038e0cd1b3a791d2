"""Do a run that was found in its host: Prefect, which is started if needed, or this process alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from hybridloop.api.environment import find_target_in, flow_environment, resolve_workspace
from hybridloop.errors import PrefectAway
from hybridloop.local_stack import has_own_prefect
from hybridloop.runtime.clock import beginning_now
from hybridloop.runtime.messages import show_warnings
from hybridloop.runtime.signals import exit_on_sigterm
from hybridloop.runtime.stages import announce

if TYPE_CHECKING:
    from hybridloop.flows.lifecycle.begin import Place
    from hybridloop.flows.lifecycle.host import PlainHost
    from hybridloop.results.live import LiveFeed, RoundUpdate, View
    from hybridloop.results.result import RunResult
    from hybridloop.runs.run import Run

PREFECT, PLAIN = HOSTS = ("prefect", "plain")
_log = logging.getLogger(__name__)


def do_run(
    run: Run, place: Place, workspace: str | Any | None, view: View, *, require_prefect: bool = False
) -> RunResult:
    """Prepare a run that was found, and do it in its host: Prefect, or this process alone.

    Where Prefect's server is away, this process does it alone, and the server gets its end later, unless
    `require_prefect`. Raises PrefectAway there, also for a saved workspace or a limit of sessions, which are Prefect's.
    """
    from hybridloop.flows.lifecycle.begin import prepared

    block = workspace if isinstance(workspace, str) else None
    run = prepared(run, place)
    if run.has_result and block is None:
        from hybridloop.results.result import RunResult

        result = RunResult.from_dict(run.record.result or {})
    elif run.record.settings.get("host") == PLAIN:
        result = _do_plainly(run, workspace, view)
    else:
        try:
            with flow_environment(workspace) as sdk_workspace:
                from hybridloop.flows.in_prefect.algorithm_run import run_order

                announce("beginning the run in Prefect")
                result = run_order(run.order, sdk_workspace, block, view, run)
        except PrefectAway as away:
            from hybridloop.azure.workspace import is_resource_id

            is_saved = block is not None and not is_resource_id(block)
            if require_prefect or is_saved or run.settings.session_slots is not None:
                raise
            result = _do_untold(run, workspace, view, away)
    if view.feed is not None:
        view.feed.end(result.status, result.reason)
    return result


def _do_untold(run: Run, workspace: str | Any | None, view: View, away: PrefectAway) -> RunResult:
    """Do a run whose end Prefect's server gets later: at once, if it is back by then, else by the next process."""
    from hybridloop.flows.lifecycle.host import UntoldHost, told_later_id

    show_warnings()
    _log.warning("%s: the run continues without it, and its page gets the end later", away.happened)
    try:
        return _do_plainly(run, workspace, view, UntoldHost())
    finally:
        if has_own_prefect():
            from hybridloop.flows.in_prefect.beside import confirm_end

            confirm_end(told_later_id(run.record.uid))


def _do_plainly(run: Run, workspace: str | Any | None, view: View, host: PlainHost | None = None) -> RunResult:
    from hybridloop.flows.lifecycle.begin import Place, begin
    from hybridloop.flows.lifecycle.host import PlainHost
    from hybridloop.flows.lifecycle.life import live
    from hybridloop.journal import open_journal
    from hybridloop.runs.run import is_current

    show_warnings()
    sdk_workspace = resolve_workspace(workspace)
    with exit_on_sigterm(), open_journal() as journal:
        if not is_current(journal, run.record):
            run = begin(run.order, Place.of(sdk_workspace))
        return live(journal, run, sdk_workspace, host or PlainHost(), view).value()


def place_of(workspace: str | Any | None) -> Place:
    """Return the place of a workspace, which is not opened; of a saved block only Prefect's server knows it."""
    from hybridloop.flows.lifecycle.begin import Place

    identity = None if isinstance(workspace, str) else partial(_identity, workspace)
    return Place(identity, partial(find_target_in, workspace))


def _identity(workspace: Any | None) -> dict[str, str]:
    """Identify the workspace that a run would use; starts nothing."""
    from hybridloop.azure.workspace import LocalService, connect, connect_from_environment, identity_of

    return identity_of(workspace or connect_from_environment() or connect(LocalService("http://127.0.0.1/", "none")))


def resume(
    run_key: str,
    *,
    workspace: str | Any | None = None,
    on_progress: Callable[[RoundUpdate], None] | None = None,
    require_prefect: bool = False,
    **changes: Any,
) -> RunResult:
    """Resume a run of the journal, or extend one that has ended; return its result.

    `changes` are caps and other limits, or goals that reach further: `precision`, `tolerance`, `max_rounds`,
    `extend_to`, `shots` of QAOA, `observable_precision`, and `observables` with more of them. A cap of None, or "none",
    is no cap. A run that has ended measures in a new session what it misses; its earlier result is kept, and stays the
    last one where nothing is missing. The same call again returns the stored result. Raises InputError for what does
    not reach further,
    and the errors of `vqe`.
    """
    given = {name: None if value == "none" else value for name, value in changes.items()}
    with beginning_now():
        return resume_run(run_key, given, workspace=workspace, on_progress=on_progress, require_prefect=require_prefect)


def resume_run(
    key: str,
    changes: Mapping[str, Any] | None = None,
    *,
    workspace: str | Any | None = None,
    on_progress: Callable[[RoundUpdate], None] | None = None,
    feed: LiveFeed | None = None,
    require_prefect: bool = False,
) -> RunResult:
    """Resume the run of a key or uid prefix, or extend one that has ended to what reaches further; see `vqe`."""
    from hybridloop.api.progress import show_progress
    from hybridloop.flows.lifecycle.begin import find_for_person
    from hybridloop.journal import check_key
    from hybridloop.results.live import View
    from hybridloop.runs.run import order_of_person
    from hybridloop.targets.provider_options import target_text

    check_key(key)
    place = place_of(workspace)
    found = find_for_person(lambda journal: order_of_person(journal, key, changes or {}), place)
    record, target = found.record, target_text(found.settings.target, found.settings.options)
    with show_progress(record.algorithm, record.problem, target, feed) as feed:
        return do_run(found, place, workspace, View(on_progress, feed), require_prefect=require_prefect)
