"""A session to oneself, for a script or a flow that says itself what it measures."""

from __future__ import annotations

import functools
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from hybridloop.api.environment import prefect, workspace_called
from hybridloop.azure.targets import find_target
from hybridloop.budget.caps import Caps
from hybridloop.runtime.signals import exit_on_sigterm
from hybridloop.settings import RunSettings
from hybridloop.settings.validation import validate
from hybridloop.tasks.failure_policy import FailurePolicy

if TYPE_CHECKING:
    from hybridloop.flows.lifecycle.caller_context import CallerContext
    from hybridloop.journal.claimed_run import ClaimedRun
    from hybridloop.runtime.clock import Clock
    from hybridloop.tasks.session import OpenSession

R = TypeVar("R")

_FAILURE = FailurePolicy()
_NO_CAPS = Caps()


@contextmanager
def open_session(
    target: str = "rigetti.sim.qvm",
    *,
    run_key: str | None = None,
    seed: int | None = None,
    workspace: str | Any | None = None,
    name: str = "hybridloop",
    policy: FailurePolicy = _FAILURE,
    keep_alive: str = "auto",
    caps: Caps = _NO_CAPS,
    debias: bool = True,
    clock: Clock | None = None,
) -> Iterator[OpenSession]:
    """Hold one session open; it is closed however the block ends, SIGTERM included.

    With a `run_key` the run is kept in the journal: a script that is started again with it gets the rounds that were
    measured before from there, without a request, and goes on. It must ask the same again, round by round
    (ReplayDiverged). `seed` fixes what the local service samples (None: drawn). Without a workspace it is the
    environment's, else a local service. `debias=False` has one of IonQ's machines mitigate no errors. `clock` is the
    time that its waits go by (`hybridloop.testing.virtual_clock.ServiceClock` for a virtual one).
    """
    find_target(target)
    validate(RunSettings, {"keep_alive": keep_alive, "seed": seed})
    at = workspace_called(workspace)
    from hybridloop.tasks import session
    from hybridloop.tasks.keepalive.rules import KeepAliveMode
    from hybridloop.tasks.keepalive.session_keep_alive import KeepAliveSettings

    with exit_on_sigterm(), ExitStack() as held:
        told = {} if debias else {"debias": debias}
        run = None if run_key is None else held.enter_context(_run_of_script(run_key, target, seed, at, told))
        opened = session.open_session(
            at,
            target,
            run=run,
            seed=seed,
            name=name,
            policy=policy,
            keeping=KeepAliveSettings(KeepAliveMode(keep_alive)),
            caps=caps,
            debias=debias,
            clock=clock,
        )
        yield held.enter_context(opened)


@contextmanager
def _run_of_script(
    run_key: str, target: str, seed: int | None, workspace: Any, told: Mapping[str, Any]
) -> Iterator[ClaimedRun]:
    from hybridloop.azure.workspace import identity_of
    from hybridloop.journal import open_journal
    from hybridloop.journal.claimed_run import new_run
    from hybridloop.runs.holding import hold_script_run
    from hybridloop.runs.lookup import run_of_key

    with open_journal() as journal:
        if seed is None:
            record = run_of_key(journal, run_key)
            seed = secrets.randbits(63) if record is None else record.seed
        begun = new_run(
            str(uuid.uuid4()),
            key=run_key,
            algorithm="session",
            problem="",
            target=find_target(target).name,
            seed=seed,
            settings={"settings": dict(told), "workspace": identity_of(workspace)},
        )
        with hold_script_run(journal, begun) as run:
            yield run


@overload
def session_flow(function: Callable[..., R], /) -> Callable[..., R]: ...


@overload
def session_flow(
    *, workspace: str | Any | None = None, **settings: Any
) -> Callable[[Callable[..., R]], Callable[..., R]]: ...


def session_flow(
    function: Callable[..., Any] | None = None, /, *, workspace: str | Any | None = None, **settings: Any
) -> Callable[..., Any]:
    """Make a function, whose first parameter is an open session, a Prefect flow that owns one and is journaled.

    The flow takes the function's other parameters, plain values, and `run_key`. What the session measured is written
    down; called again with the same key (or started again by Prefect: a retry, AwaitingRetry of its deployment) the
    function runs anew, and is handed the recorded rounds without a request until the first that is missing. So it must
    ask for the same rounds in the same order, given the same parameters and counts: what draws numbers is seeded, and
    time, files and other people's services are asked outside, or by tasks before. ReplayDiverged says what differs.

    The settings are the fields of `hybridloop.settings.RunSettings`, such as `target`, `seed`, `max_cost`,
    `resume_automatically`. Raises InputError for what can't be used, when it is decorated or called; CapReached,
    RunParked and StopRequested where the run ended early.
    """
    if function is None:
        return functools.partial(_as_session_flow, workspace=workspace, settings=settings)
    return _as_session_flow(function, workspace=workspace, settings=settings)


def _as_session_flow(
    function: Callable[..., Any], *, workspace: str | Any | None, settings: Mapping[str, Any]
) -> Callable[..., Any]:
    valid = validate(RunSettings, settings)
    find_target(valid.target)
    from hybridloop.flows.session_flow import own_flow

    name = workspace if isinstance(workspace, str) else None
    return own_flow(function, valid, lambda: _called(workspace), name)


@contextmanager
def _called(workspace: str | Any | None) -> Iterator[CallerContext]:
    at = workspace_called(workspace)
    with prefect():
        from hybridloop.flows.lifecycle.caller_context import CallerContext, caller_context

        with caller_context(CallerContext(at)) as caller:
            yield caller
