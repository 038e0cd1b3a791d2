"""A session to oneself, for a script or a flow that says itself what it measures."""

from __future__ import annotations

import functools
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from hybridloop.environment import prefect, workspace_called
from hybridloop.flows.settings import RunSettings
from hybridloop.sessions.budget import Caps
from hybridloop.sessions.policy import FailurePolicy
from hybridloop.sessions.signals import sigterm_unwinds
from hybridloop.sessions.targets import find_target
from hybridloop.user_input import checked

if TYPE_CHECKING:
    from hybridloop.flows.context import Call
    from hybridloop.sessions.clock import Clock
    from hybridloop.sessions.run import ClaimedRun
    from hybridloop.sessions.session import OpenSession

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
    time that its waits go by (`hybridloop.sessions.service_clock.ServiceClock` for a virtual one).
    """
    find_target(target)
    checked(RunSettings, {"keep_alive": keep_alive, "seed": seed})
    at = workspace_called(workspace)
    from hybridloop.sessions import session
    from hybridloop.sessions.idle import KeepAliveMode
    from hybridloop.sessions.keeping import Keeping

    with sigterm_unwinds(), ExitStack() as held:
        told = {} if debias else {"debias": debias}
        run = None if run_key is None else held.enter_context(_run_of_script(run_key, target, seed, at, told))
        opened = session.open_session(
            at,
            target,
            run=run,
            seed=seed,
            name=name,
            policy=policy,
            keeping=Keeping(KeepAliveMode(keep_alive)),
            caps=caps,
            debias=debias,
            clock=clock,
        )
        yield held.enter_context(opened)


@contextmanager
def _run_of_script(
    run_key: str, target: str, seed: int | None, workspace: Any, told: Mapping[str, Any]
) -> Iterator[ClaimedRun]:
    from hybridloop.flows.runs import run_of_key, run_of_script
    from hybridloop.sessions.journal import open_journal
    from hybridloop.sessions.run import new_run
    from hybridloop.sessions.workspace import identity_of

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
        with run_of_script(journal, begun) as run:
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

    The settings are the fields of `hybridloop.flows.settings.RunSettings`, such as `target`, `seed`, `max_cost`,
    `unattended`. Raises InputError for what can't be used, when it is decorated or called; CapReached, RunParked and
    StopRequested where the run ended early.
    """
    if function is None:
        return functools.partial(_as_session_flow, workspace=workspace, settings=settings)
    return _as_session_flow(function, workspace=workspace, settings=settings)


def _as_session_flow(
    function: Callable[..., Any], *, workspace: str | Any | None, settings: Mapping[str, Any]
) -> Callable[..., Any]:
    valid = checked(RunSettings, settings)
    find_target(valid.target)
    from hybridloop.flows.own import own_flow

    name = workspace if isinstance(workspace, str) else None
    return own_flow(function, valid, lambda: _called(workspace), name)


@contextmanager
def _called(workspace: str | Any | None) -> Iterator[Call]:
    at = workspace_called(workspace)
    with prefect():
        from hybridloop.flows.context import called_with

        with called_with(at, None) as call:
            yield call
