"""Runs on a worker: hand one over, deploy one, follow, stop or cancel it, by way of the Prefect server."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hybridloop.api.environment import running_prefect, target_of_run
from hybridloop.data.objects import OBJECT
from hybridloop.errors import NOTHING_SUBMITTED, InputError
from hybridloop.inputs.sources import ResolvedSettings
from hybridloop.preparation import prepare
from hybridloop.runtime.stages import announce
from hybridloop.settings import ProblemText, RunSettings
from hybridloop.settings.deployment import DeploymentOptions, check_pool
from hybridloop.targets import Target
from hybridloop.targets.prices import is_free

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult

_NO_NAME = re.compile(r"[^A-Za-z0-9_.+-]+")  # characters that a deployment's name has not


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
    from hybridloop.runs.order import generated_key

    check_pool(pool, "on")
    given, _ = _for_worker(algorithm, problem, resolved.settings, workspace, run_key)
    key = run_key or generated_key(algorithm, problem.name, secrets.token_hex(4))
    with running_prefect(f"If the run was handed over, it continues (hybridloop runs follow {key})."):
        from hybridloop.flows.deploying.deploy import ensure_housekeeping
        from hybridloop.flows.in_prefect.remote_runs import follow, hand_over

        flow_run = hand_over(algorithm, problem, given, key=key, pool=pool, workspace=workspace)
        show(f"run {key} waits for a worker of {pool}; it continues without this view: hybridloop runs follow {key}")
        for done in ensure_housekeeping(pool):
            show(done)
        return _result_of(key, follow(flow_run, show))


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
    with running_prefect(f"{NOTHING_SUBMITTED} The same command completes the deployment."):
        from hybridloop.flows.deploying.deploy import deploy_run

        return [*deploy_run(algorithm, problem, given, replace(options, name=name)), *uncapped]


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
    with running_prefect("The run continues without this view."):
        from hybridloop.flows.in_prefect.remote_runs import flow_run_of, follow

        return _result_of(key, follow(flow_run_of(key), show))


def cancel_waiting(key: str, last: str | None = None) -> bool:
    """Cancel what would start a run on a worker; return False where none of its flow runs waits for one.

    `last` is the id of the flow run that worked on the run last, if any did.
    """
    with running_prefect():
        from hybridloop.flows.in_prefect import remote_runs

        return remote_runs.cancel_waiting(key, last)


def stop_on_worker(key: str) -> None:
    """Ask a run that another machine executes to stop. Raises InputError if Prefect's server has none of this key."""
    with running_prefect():
        from hybridloop.flows.in_prefect.remote_runs import flow_run_of, request_stop
        from hybridloop.flows.in_prefect.watch import STOP_TAG

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

        remote_runs.show_log(key, show)


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
    from hybridloop.results.result import RunResult

    return RunResult.from_dict(record.result)


def set_notifications(notify: str) -> list[str]:
    """Let a notification block, or the webhook of a URL, get the messages of runs; return what was done."""
    with running_prefect():
        from hybridloop.flows.deploying.deploy import notify_by

        return list(notify_by(notify))


def send_test_notification() -> None:
    """Let the Prefect server send a test message. Raises InputError where no notification is set up."""
    with running_prefect():
        from hybridloop.flows.deploying.deploy import send_test_notification

        send_test_notification()
