"""Start, resume, reproduce or deploy a run, from Python and from the command line, with the services that it needs."""

from __future__ import annotations

import itertools
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridloop.api.environment import flow_environment, running_prefect, target_of_run
from hybridloop.api.optimizers import optimizer_by_name
from hybridloop.api.progress import combine_callbacks, show_progress
from hybridloop.azure.targets import Target
from hybridloop.azure.targets.provider_options import target_text
from hybridloop.budget.prices import is_free
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import NOTHING_SUBMITTED, InputError
from hybridloop.inputs.problems import pop_geometry, read_for
from hybridloop.inputs.sources import CALL, Layer, ResolvedSettings, resolve_settings
from hybridloop.inputs.validation import validate
from hybridloop.preparation import prepare
from hybridloop.runtime.stages import announce
from hybridloop.settings import ProblemText, RunSettings
from hybridloop.settings.deployment import DeploymentOptions
from hybridloop.settings.optimizer_plugins import OBJECT

if TYPE_CHECKING:
    from hybridloop.reports.reproduce import Reproduction
    from hybridloop.runs.claim import FoundRun
    from hybridloop.runs.live import LiveFeed, RoundUpdate
    from hybridloop.runs.result import RunResult

_NO_NAME = re.compile(r"[^A-Za-z0-9_.+-]+")  # characters that a deployment's name has not


def run_algorithm(algorithm: str, problem: Any, options: Mapping[str, Any]) -> RunResult:
    """Run an algorithm with the keyword arguments of its public function."""
    settings = dict(options)
    geometry = pop_geometry(algorithm, settings)
    run_key, workspace = settings.pop("run_key", None), settings.pop("workspace", None)
    pool = settings.pop("on", None)
    on_progress = combine_callbacks(settings.pop("on_progress", None), settings.pop("callback", None))
    with optimizer_by_name(settings) as named:
        resolved = resolve_settings(algorithm, Layer(CALL, named))
        text = read_for(algorithm, problem, resolved.settings, geometry)
        if pool is not None:
            if workspace is not None and not isinstance(workspace, str):
                remedy = "Give a saved block's name, or leave it to the worker."
                raise InputError("workspace", "a worker can't be given an object of this process", remedy)
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
) -> RunResult:
    """Resume the run of that key, or start a new one; see `hybridloop.vqe`. `feed` is for a live view."""
    # only Prefect's server knows the workspace of a saved block
    block = workspace if isinstance(workspace, str) else None
    settings = resolved.settings
    with show_progress(algorithm, problem.name, target_text(settings.target, settings.options), feed) as feed:
        seed = secrets.randbits(63) if settings.seed is None else settings.seed
        seeded: RunSettings = settings.model_copy(update={"seed": seed})
        groupings: tuple[str, ...] = ()
        if run_key is not None and block is None:
            found, seeded, groupings = _find_before(algorithm, problem, settings, seed, run_key, workspace)
            if found.result is not None:
                feed.end(found.result["status"], found.result["reason"])
                return _stored(found.result)
        # invalid input is refused before anything is started
        announce("reading the problem, choosing its circuit")
        target = target_of_run(workspace, settings.target, run_key)
        prepared = prepare(algorithm, problem, seeded, seeded.seed or 0, groupings=groupings, target=target)
        with flow_environment(workspace) as sdk_workspace:
            from hybridloop.flows.lifecycle.run import RunOrder, run_order

            announce("beginning the run in Prefect")
            order = RunOrder(
                algorithm,
                problem,
                settings,
                run_key,
                sdk_workspace,
                prepared=prepared,
                new_seed=seed,
                sources=resolved.sources,
                on_progress=on_progress,
                feed=feed,
            )
            result = run_order(order, block)
        feed.end(result.status, result.reason)
        return result


def _show(line: str) -> None:
    print(line, file=sys.stderr)


def run_on(
    pool: str,
    algorithm: str,
    problem: ProblemText,
    resolved: ResolvedSettings,
    *,
    run_key: str | None = None,
    workspace: str | None = None,
    show: Callable[[str], None],
) -> RunResult:
    """Hand a run over to a worker of a Prefect work pool, and follow it; see `follow`.

    Invalid input is refused before. An exception in the view, as by Ctrl-C, leaves the run alone.
    """
    from hybridloop.runs.claim import generated_key

    given, _ = _for_worker(algorithm, problem, resolved.settings, workspace, run_key)
    key = run_key or generated_key(algorithm, problem.name, secrets.token_hex(4))
    with running_prefect():
        from hybridloop.flows.in_prefect.remote_runs import follow, hand_over

        flow_run = hand_over(algorithm, problem, given, key=key, pool=pool, workspace=workspace)
        show(f"run {key} waits for a worker of {pool}; it continues without this view: hybridloop runs follow {key}")
        return _result_of(key, follow(flow_run, show))


def _for_worker(
    algorithm: str, problem: ProblemText, settings: RunSettings, workspace: str | None, run_key: str | None
) -> tuple[dict[str, Any], Target]:
    """Check a run that a worker will execute; return its settings as they travel, and its target. Raises InputError.

    What is not set is `resume_automatically: interrupted`, so that a run outlives its worker.
    """
    from hybridloop.journal import check_key

    announce("checking the run")
    if run_key is not None:
        check_key(run_key)
    if str(getattr(settings, "optimizer", "")).startswith(OBJECT):
        remedy = "Name one (`hybridloop optimizers`), or register yours as an entry point where the worker runs."
        raise InputError("optimizer", "a worker can't be given an object of this process", remedy)
    target = target_of_run(workspace, settings.target, run_key)
    prepare(algorithm, problem, settings, settings.seed or 0, target=target)
    return {"resume_automatically": "interrupted", **settings.model_dump(mode="json", exclude_unset=True)}, target


def follow_run(key: str, show: Callable[[str], None]) -> RunResult:
    """Show the log of a run on a worker until the run has ended, and return its result.

    The run is looked up on the Prefect server. Raises InputError if that has none of this key, or if its input was
    refused, and RunNotFinished if it ended without a result.
    """
    with running_prefect():
        from hybridloop.flows.in_prefect.remote_runs import flow_run_of, follow

        return _result_of(key, follow(flow_run_of(key), show))


def stop_on_worker(key: str) -> None:
    """Ask a run that another machine executes to stop. Raises InputError if Prefect's server has none of this key."""
    with running_prefect():
        from hybridloop.flows.in_prefect.remote_runs import flow_run_of, request_stop
        from hybridloop.flows.lifecycle.prefect_watch import STOP_TAG

        request_stop(flow_run_of(key), STOP_TAG)


def cancel(key: str) -> None:
    """Cancel the flow run of a run in Prefect. Raises InputError if Prefect's server has none of this key."""
    with running_prefect():
        from hybridloop.flows.in_prefect import remote_runs

        remote_runs.cancel(remote_runs.flow_run_of(key))


def show_log(key: str, show: Callable[[str], None]) -> None:
    """Show the log of a run that Prefect's server has. Raises InputError if it has none of this key."""
    with running_prefect():
        from hybridloop.flows.in_prefect import remote_runs

        remote_runs.show_log(remote_runs.flow_run_of(key), show)


def _result_of(key: str, followed: RunResult | None) -> RunResult:
    """Return the result that Prefect's server has, else that of the journal. Raises InputError if neither has one."""
    if followed is not None:
        return followed
    from hybridloop.journal import open_journal

    with open_journal() as journal:
        record = journal.run_by_key(key)
    if record is None or record.result is None:
        what = f"neither the Prefect server nor the journal here has a result of {key!r}"
        raise InputError("run", what, f"Where its journal is: hybridloop runs show {key}")
    return _stored(record.result)


def resume(
    key: str,
    limits: Mapping[str, Any] | None = None,
    *,
    workspace: str | Any | None = None,
    on_progress: Callable[[RoundUpdate], None] | None = None,
    feed: LiveFeed | None = None,
) -> RunResult:
    """Resume the run of a key or uid prefix, with other limits if given; see `vqe`."""
    from hybridloop.journal import open_journal
    from hybridloop.runs.recorded import problem_of, settings_of

    with open_journal() as journal:
        record = journal.run(key)
        if record.algorithm not in ALGORITHMS:
            raise InputError(
                "run",
                f"run {record.key!r} belongs to a script, and only the script knows its circuits",
                f"Start the script again with run_key={record.key!r}: measured rounds come from the journal.",
                NOTHING_SUBMITTED,
            )
        recorded = settings_of(journal, record).model_dump(mode="json")
    # on top of the run's own settings: the user's defaults may have changed by now
    settings = validate(ALGORITHMS[record.algorithm].settings, {**recorded, **(limits or {})})
    return run(
        record.algorithm,
        problem_of(record),
        ResolvedSettings(settings, {}),
        run_key=record.key,
        workspace=workspace,
        on_progress=on_progress,
        feed=feed,
    )


def reproduce(
    of: str | Path,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[RoundUpdate], None] | None = None,
    feed: LiveFeed | None = None,
) -> Reproduction:
    """Run a finished run of the journal or of a bundle again, with its settings and seed, and compare the results.

    `of` is a key or a bundle's path. The new run's key is `run_key`, by default KEY-again. An unfinished run of that
    key is resumed. Raises InputError for a run without a result, and the errors of `vqe`.
    """
    from hybridloop.data.statuses import WITH_RESULT
    from hybridloop.journal import open_journal
    from hybridloop.reports.bundle.archive import open_run, reading
    from hybridloop.reports.reproduce import Reproduction, check_repeatable, compare_runs
    from hybridloop.runs.stored_run import load_run

    with open_run(str(of)) as before:
        with reading(str(of)):
            check_repeatable(before)
            compare_runs(before, before)  # fails here if it would fail after the new run
            record, problem = before.record, before.problem
            settings = before.settings.model_copy(update={"seed": record.seed})
        key = run_key or _key_of_repetition(record.key)
        ended = run(
            record.algorithm,
            problem,
            ResolvedSettings(settings, {}),
            run_key=key,
            workspace=workspace,
            on_progress=on_progress,
            feed=feed,
        )
        if ended.status not in WITH_RESULT:
            return Reproduction(record.key, key, ended.status, (), {})
        with open_journal() as journal:
            return compare_runs(before, load_run(journal, key))


def result(run_key: str) -> RunResult:
    """Return the stored result of a run of the journal, by its key or the beginning of its uid.

    Raises InputError if the journal has no such run, or if the run has no result.
    """
    from hybridloop.journal import check_key, open_journal

    check_key(run_key)
    with open_journal() as journal:
        record = journal.run(run_key)
    if record.result is None:
        problem = f"run {record.key!r} has no result: it is {record.status}"
        raise InputError("run", problem, f"If it has ended early, resume it: hybridloop runs resume {record.key}")
    return _stored(record.result)


def _find_before(
    algorithm: str, problem: ProblemText, settings: RunSettings, seed: int, run_key: str, workspace: Any | None
) -> tuple[FoundRun, RunSettings, tuple[str, ...]]:
    """Find the run of a key before anything is started; return it with its settings and groupings.

    Raises InputError if its settings differ, and RunBusy if another process holds it, before much is imported.
    """
    from hybridloop.journal import open_journal
    from hybridloop.runs.claim import algorithm_request, find_run, withdraw_stop
    from hybridloop.runs.recorded import recorded_groupings

    identity = _identity(workspace)
    with open_journal() as journal:
        found = find_run(journal, algorithm_request(algorithm, problem, settings, identity, run_key, new_seed=seed))
        if found.record is not None and found.result is None:
            withdraw_stop(journal, found.record)
        return found, found.settings_of(journal, settings), recorded_groupings(found.run)


def _stored(result: Mapping[str, Any]) -> RunResult:
    from hybridloop.runs.result import RunResult

    return RunResult.from_dict(result)


def _identity(workspace: Any | None) -> dict[str, str]:
    """Identify the workspace that a run would use; starts nothing."""
    from hybridloop.azure.workspace import LocalService, connect, connect_from_environment, identity_of

    return identity_of(workspace or connect_from_environment() or connect(LocalService("http://127.0.0.1/", "none")))


def _key_of_repetition(key: str) -> str:
    """Return the first of KEY-again, KEY-again-2, … that is free or an unfinished repetition."""
    from hybridloop.data.statuses import WITH_RESULT
    from hybridloop.journal import open_journal
    from hybridloop.runs.claim import run_of_key

    with open_journal() as journal:
        for number in itertools.count(1):
            name = f"{key[:80]}-again{'' if number == 1 else f'-{number}'}"
            record = run_of_key(journal, name)
            if record is None or record.status not in WITH_RESULT:
                return name
    raise AssertionError("unreachable")


def deploy(algorithm: str, problem: ProblemText, resolved: ResolvedSettings, options: DeploymentOptions) -> list[str]:
    """Create or update a deployment of a run, with its work pool, schedule and notifications; return what was done.

    Raises InputError for what a run would refuse, before anything is created.
    """
    given, target = _for_worker(algorithm, problem, resolved.settings, options.workspace, None)
    has_cap = resolved.settings.max_cost or is_free(target)
    uncapped = [] if has_cap else [f"no cap bounds what a run costs on {target.name}: --max-cost would"]
    name = _NO_NAME.sub("-", options.name).strip("-")
    if not name:
        raise InputError("name", f"{options.name!r} is no name of a deployment", "Give letters and digits.")
    with running_prefect():
        from hybridloop.flows.lifecycle.deploying import deploy_run

        return [*deploy_run(algorithm, problem, given, replace(options, name=name)), *uncapped]


def set_notifications(notify: str) -> list[str]:
    """Let a notification block, or the webhook of a URL, get the messages of runs; return what was done."""
    with running_prefect():
        from hybridloop.flows.lifecycle.deploying import notify_by

        return list(notify_by(notify))


def send_test_notification() -> None:
    """Let the Prefect server send a test message. Raises InputError where no notification is set up."""
    with running_prefect():
        from hybridloop.flows.lifecycle.deploying import send_test_notification

        send_test_notification()
