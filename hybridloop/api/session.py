"""Public functions that hold a session for a script or for a user's own flow, and that list sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from hybridloop import local_stack as stack
from hybridloop.api.environment import flow_environment, labels_of_run, resolve_workspace, target_of_run
from hybridloop.api.session_block import SessionBlock
from hybridloop.data.synonyms import suggestion
from hybridloop.descriptions.options import SessionKeywords, SettingOptions
from hybridloop.errors import InputError
from hybridloop.inputs.validation import validate
from hybridloop.runtime.clock import RealClock, steady_s
from hybridloop.runtime.signals import exit_on_sigterm
from hybridloop.settings import RunSettings
from hybridloop.targets import DEFAULT_TARGET, find_target, may_be_offered

if TYPE_CHECKING:
    from hybridloop.journal import RunRecord
    from hybridloop.runtime.clock import Clock
    from hybridloop.tasks.service_sessions import ServiceSession
    from hybridloop.tasks.session import OpenSession

R = TypeVar("R")


def open_session(
    target: str | None = None,
    *,
    run_key: str | None = None,
    session_id: str | None = None,
    seed: int | None = None,
    workspace: str | Any | None = None,
    name: str = "hybridloop",
    clock: Clock | None = None,
    **options: Unpack[SessionKeywords],
) -> SessionBlock:
    """Hold one session open for a `with` block; it is closed however the block ends, SIGTERM included.

    Over several cells of a notebook: `session = hybridloop.open_session(…).open()`, and at the end `session.close()`.
    What is still open when the program ends is closed then, with a warning.

    The run is stored in the journal. A script that is started again with the run's key, `run_key` (None: drawn), gets
    its measured rounds from there, without a request. It must ask for the same rounds in the same order
    (ReplayDiverged). `seed` fixes the samples of the local service (None: drawn). Without a workspace, that of the
    environment is used, else a local service. `target` is by default rigetti.sim.qvm.

    `session_id` joins a session that is open at the service, such as that of a script that was killed: the script's run
    with a key is resumed, and a session of any other program takes further jobs. The block closes it, too.

    The options are the fields of `hybridloop.RunSettings` that concern a session: caps on what the run may spend in
    all, such as `max_cost="30USD"` and `deadline="8h"`, `failure=hybridloop.FailurePolicy(…)`, `keep_alive`, `debias`,
    `batching`, `provider_options={"tket-opt-level": 1}` and so on. `clock` is the time source of all waits
    (`hybridloop.emulator.client_clock.ServiceClock` for a virtual one). Raises InputError for unknown options and
    targets at once, for others before a session is opened.
    """
    if target is not None and not may_be_offered(target):
        find_target(target)
    settings = _session_settings(options, seed)
    return SessionBlock(_opened(target, run_key, session_id, seed, workspace, name, clock, settings))


@contextmanager
def _opened(
    target: str | None,
    run_key: str | None,
    session_id: str | None,
    seed: int | None,
    workspace: str | Any | None,
    name: str,
    clock: Clock | None,
    settings: RunSettings,
) -> Iterator[OpenSession]:
    """Hold the session of `open_session` for a block."""
    begun_s = steady_s() if clock is None else None
    sdk_workspace = resolve_workspace(workspace)
    from hybridloop.api.joining import find_joined, join_session
    from hybridloop.azure.workspace import identity_of
    from hybridloop.runs.script import script_run
    from hybridloop.tasks.session import open_run_session as open_in_workspace

    now = (clock or RealClock()).now()
    joined = None if session_id is None else find_joined(sdk_workspace, session_id, target, run_key, seed, now=now)
    if joined is not None:
        target, run_key, seed = joined.session.target, joined.run_key, joined.seed
    if run_key is None and "cancel_in_flight" not in settings.model_fields_set:  # nobody asks for their results
        settings = settings.model_copy(update={"cancel_in_flight": True})
    session_options = settings.session_options
    found = session_options.fit(target_of_run(sdk_workspace, target or DEFAULT_TARGET, run_key))
    with exit_on_sigterm(), ExitStack() as held:
        stated, identity = settings.model_copy(update={"seed": seed}), identity_of(sdk_workspace)
        run = held.enter_context(script_run(run_key, found, stated, identity, labels=labels_of_run(), shown=_shown))
        if joined is not None:
            join_session(run, joined.session)
        block = open_in_workspace(
            sdk_workspace, found, session_options, run=run, name=name, clock=clock, begun_s=begun_s
        )
        session = held.enter_context(block)
        if joined is not None:
            session.sessions.active_at = joined.active_at
            session.open()
        yield session


def sessions(
    limit: int = 20,
    *,
    status: str | Sequence[str] = (),
    target: str | Sequence[str] = (),
    since: date | str | None = None,
    until: date | str | None = None,
    workspace: str | Any | None = None,
) -> list[ServiceSession]:
    """Return the newest sessions of the workspace, of any program, each with `id`, `status`, `details` and `jobs()`.

    Of those, the ones of a `status` (or several) such as "TimedOut", on a `target`, and created in the days of UTC from
    `since` to `until`, such as "2026-11-28". Raises InputError for an unknown status, and for what is no day.
    """
    from hybridloop.tasks.service_sessions import list_sessions

    statuses, targets = ([each] if isinstance(each, str) else each for each in (status, target))
    return list_sessions(resolve_workspace(workspace), limit, statuses, targets, since, until)


def sdk_workspace(workspace: str | Any | None = None) -> Any:
    """Return the `azure.quantum.Workspace` of the SDK that runs use, for code that takes one, such as a provider.

    Without a workspace, that of the environment is used, else the local service's, which is started if needed. A text
    is the name of a saved block, or a resource id. Raises InputError for a workspace that can't be opened.
    """
    return resolve_workspace(workspace)


def session(session_id: str, *, workspace: str | Any | None = None) -> ServiceSession:
    """Return a session of the workspace by its id, open or ended, with `status`, `details`, `jobs()` and `close()`.

    To submit more jobs to an open one: `open_session(session_id=…)`. Raises InputError if there is none of that id.
    """
    from hybridloop.tasks.service_sessions import find_session

    return find_session(resolve_workspace(workspace), session_id)


def _session_settings(options: Mapping[str, Any], seed: int | None) -> RunSettings:
    """Return settings with these options of a session. Raises InputError for others."""
    known = SessionKeywords.__annotations__
    for name in options:
        if name not in known and name not in RunSettings.model_fields:
            remedy = suggestion(name, (*known, "target", "name")) or f"There are: {', '.join(known)}."
            raise InputError(name, "open_session has no such option", remedy)
        if name in RunSettings.model_fields and name not in known:
            raise InputError(name, "open_session has no such option", "It is for algorithms and for session_flow.")
    return validate(RunSettings, {**options, "seed": seed})


def _shown(run: RunRecord) -> AbstractContextManager[None]:
    """Show the run's rounds and events in the Prefect flow around, if there is one."""
    if not stack.is_in_flow_run():
        return nullcontext()
    from hybridloop.flows.in_prefect.flow_run_events import shown_in_flow_run, tag_flow_run

    tag_flow_run()  # automations tell of our flow runs
    return shown_in_flow_run(run)


@overload
def session_flow(function: Callable[..., R], /) -> Callable[..., R]: ...


@overload
def session_flow(
    target: str | None = None, /, *, workspace: str | Any | None = None, **settings: Unpack[SettingOptions]
) -> Callable[[Callable[..., R]], Callable[..., R]]: ...


def session_flow(
    function: Callable[..., Any] | str | None = None,
    /,
    *,
    workspace: str | Any | None = None,
    **settings: Unpack[SettingOptions],
) -> Callable[..., Any]:
    """Make a Prefect flow of a function whose first parameter is an open session; the flow is journaled.

    The flow takes the function's other parameters, plain values, and `run_key`. Its measured rounds are stored. If it
    is called again with the same key, or restarted by Prefect (a retry, or AwaitingRetry of its deployment), the
    function runs again, and gets the stored rounds without a request until the first missing one. So it must ask for
    the same rounds in the same order, given the same parameters and counts: seed random numbers, and read time, files
    and other services outside of it, or in tasks before. ReplayDiverged states the difference.

    The target may come first, as in `@session_flow("rigetti.sim.qvm")`. The settings are the fields of
    `hybridloop.settings.RunSettings`, such as `target`, `seed`, `max_cost`, `resume_automatically`. Raises InputError
    for invalid input, when it is decorated or called; CapReached, RunParked and StopRequested if the run ended early.
    """
    if isinstance(function, str):
        if "target" in settings:
            raise InputError("target", "it is given twice", "Give it once.")
        settings["target"], function = function, None
    valid = validate(RunSettings, settings)
    if not may_be_offered(valid.target):
        find_target(valid.target)
    from hybridloop.flows.session_flow import make_session_flow

    block = workspace if isinstance(workspace, str) else None

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return make_session_flow(function, valid, lambda: flow_environment(workspace), block)

    return decorate if function is None else decorate(function)
