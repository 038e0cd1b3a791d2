"""A user's own loop as a flow that owns a session and is journaled: nothing is measured twice, whatever dies."""

from __future__ import annotations

import functools
import inspect
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, cast

from prefect import Flow
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed
from pydantic_core import PydanticSerializationError, to_jsonable_python

from hybridloop.azure.targets import Target
from hybridloop.azure.workspace import identity_of
from hybridloop.errors import CapReached, InputError, RunCancelled, RunStopped
from hybridloop.flows.lifecycle.acquire_session import acquire_session, check_available
from hybridloop.flows.lifecycle.caller_context import CallerContext, current_caller, find_workspace, tasks_untagged
from hybridloop.flows.lifecycle.hooks import close_what_is_left
from hybridloop.journal import Journal, NewRun, RunRecord, open_journal
from hybridloop.journal.claimed_run import ClaimedRun, new_run
from hybridloop.runs.holding import hold_run, note_resumed, withdraw_stop, write_status
from hybridloop.runs.lookup import run_of_key
from hybridloop.runs.statuses import FINISHED, status_after
from hybridloop.settings import LIMITS, RunSettings, first_difference
from hybridloop.settings.renamed import with_current_names
from hybridloop.tasks.session_setup import resolve_target

RUN_KEY = "run_key"
ALGORITHM = "session"  # as of a script: only its own program knows what it asks for
_UID_DIGITS = 8

Around = Callable[[], AbstractContextManager[CallerContext]]


class SessionFlow(Flow[Any, Any]):
    """Prefect's own flow, which finds or starts what it needs when it is called as a function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow. Raises what ended the run before the function did: CapReached, RunStopped and its kin."""
        around: Around = self.fn.around  # type: ignore[attr-defined]  # `own_flow` has set it
        with around() as caller:
            try:
                returned = super().__call__(*args, **kwargs)
            except Exception as error:
                if isinstance(caller.end, RunCancelled):
                    raise caller.end from error
                raise
            if isinstance(caller.end, CapReached | RunStopped):
                raise caller.end
            return returned

    def with_options(self, **options: Any) -> SessionFlow:
        """The same flow with other options of Prefect's, such as `retries=2`; see `prefect.Flow.with_options`."""
        changed = super().with_options(**options)
        changed.__class__ = SessionFlow  # Prefect makes a plain flow of it; what is added here has no state
        return cast(SessionFlow, changed)


def own_flow(
    function: Callable[..., Any], settings: RunSettings, around: Around, workspace_name: str | None = None
) -> SessionFlow:
    """The flow of a function that takes an open session first; see `hybridloop.session_flow`.

    A worker's runs go to the workspace of the saved block of that name; None: what its environment names.
    """
    name = function.__name__.replace("_", "-")
    by_place = inspect.signature(function, eval_str=True)
    _check(function, by_place)

    @functools.wraps(function)
    def body(*args: Any, **kwargs: Any) -> Any:
        run_key = kwargs.pop(RUN_KEY, None)
        told = by_place.bind(None, *args, **kwargs)
        told.apply_defaults()
        _, *names = by_place.parameters
        parameters = _plain({each: told.arguments[each] for each in names})

        def act(session: Any) -> Any:
            return function(session, *args, **kwargs)

        return _in_flow(name, act, settings, parameters, run_key, workspace_name)

    del body.__wrapped__  # Prefect would look through it at the function's own signature
    body.__signature__ = _without_session(by_place)  # type: ignore[attr-defined]
    body.__annotations__ = {each.name: each.annotation for each in by_place.parameters.values()}
    body.around = around  # type: ignore[attr-defined]
    hooks: list[Any] = [close_what_is_left]
    return SessionFlow(body, name=name, persist_result=False, on_crashed=hooks, on_cancellation=hooks)


def _check(function: Callable[..., Any], signature: inspect.Signature) -> None:
    """Raise InputError for a function that can't be run so."""
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        remedy = "Write it with def; call it from async code by asyncio.to_thread."
        raise InputError("session_flow", f"{function.__name__} is no plain function", remedy)
    kinds = [each.kind for each in signature.parameters.values()]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if not kinds or kinds[0] is not named[0] or any(kind not in named for kind in kinds):
        problem = f"{function.__name__} has no parameter for the session, or parameters without a name"
        raise InputError("session_flow", problem, "Give it a first parameter for the session, no * and no **.")
    if RUN_KEY in signature.parameters:
        raise InputError("session_flow", f"{RUN_KEY} is a parameter of the flow itself", "Give yours another name.")


def _without_session(signature: inspect.Signature) -> inspect.Signature:
    _, *others = signature.parameters.values()
    key = inspect.Parameter(RUN_KEY, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=str | None)
    return signature.replace(parameters=[*others, key])


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = to_jsonable_python(dict(parameters))
    except PydanticSerializationError as error:
        raise InputError("parameters", f"they are no plain values: {error}", "Give numbers, text, lists.") from error
    return plain


def _in_flow(
    name: str,
    act: Callable[[Any], Any],
    settings: RunSettings,
    parameters: Mapping[str, Any],
    run_key: str | None,
    workspace_name: str | None,
) -> Any:
    workspace, cancelled = find_workspace(workspace_name), threading.Event()
    target = resolve_target(settings.target, settings.caps, debias=settings.debias)
    with tasks_untagged(), open_journal() as journal:
        asked: dict[str, Any] = {
            "settings": settings.model_dump(mode="json"),
            "workspace": identity_of(workspace),
            "parameters": dict(parameters),
        }
        found = _found(journal, name, asked, run_key)
        is_whole = found is not None and found.status in FINISHED  # in the journal: nothing is asked of the target
        is_available = is_whole or check_available(workspace, target, 0, settings.failure)
        if found is None:
            record = journal.add_run(_new(name, target.name, settings.seed, asked, run_key))
        else:
            record = found
            withdraw_stop(journal, record)
        settings = settings.model_copy(update={"seed": record.seed})
        try:
            with hold_run(journal, record) as run:
                if found is not None:
                    note_resumed(run, flow_run.id)
                return _measure(run, act, target, settings, workspace, cancelled, is_available=is_available)
        except (CapReached, RunStopped) as error:
            if status_after(error) == "interrupted" and not isinstance(error, RunCancelled):
                raise
            return _ended(error)


def _measure(
    run: ClaimedRun,
    act: Callable[[Any], Any],
    target: Target,
    settings: RunSettings,
    workspace: Any,
    cancelled: threading.Event,
    *,
    is_available: bool,
) -> Any:
    try:
        with acquire_session(workspace, target, settings, run, cancelled, is_available=is_available) as session:
            returned = act(session)
    except RunStopped as error:
        if cancelled.is_set():
            raise RunCancelled(error.in_flight) from error
        raise
    write_status(run, "finished", "the function came to its end")
    return returned


def _ended(why: CapReached | RunStopped) -> Any:
    """The state of a flow run that ended early: no failure, so that no retry starts it again by itself."""
    current_caller().end = why
    if isinstance(why, RunCancelled):
        return Cancelled(message=str(why))
    return Completed(name=status_after(why).capitalize(), message=str(why))


def _found(journal: Journal, name: str, asked: Mapping[str, Any], run_key: str | None) -> RunRecord | None:
    """The run of the key, else the one that this flow run began. Raises InputError where that was begun otherwise."""
    began = None if flow_run.id is None else journal.run_by_flow_run(flow_run.id)
    record = began if run_key is None else run_of_key(journal, run_key)
    if record is not None:
        _check_same(record, name, asked)
    return record


def _new(name: str, target: str, seed: int | None, asked: Mapping[str, Any], run_key: str | None) -> NewRun:
    uid = str(uuid.uuid4())
    return new_run(
        uid,
        key=run_key or f"{name}-{uid[:_UID_DIGITS]}",
        algorithm=ALGORITHM,
        problem=name,
        target=target,
        seed=secrets.randbits(63) if seed is None else seed,
        settings=asked,
        flow_run_id=flow_run.id,
    )


def _check_same(record: RunRecord, name: str, asked: Mapping[str, Any]) -> None:
    """Raise InputError where the run was begun by another flow, with other parameters or settings but for limits."""
    if (record.algorithm, record.problem) != (ALGORITHM, name):
        raise _other(record, "flow")
    for part in ("parameters", "settings", "workspace"):
        now, before = (with_current_names(each.get(part, {})) for each in (asked, record.settings))
        if part == "settings":
            for left_out in (*LIMITS, "seed"):
                now.pop(left_out, None)
                before.pop(left_out, None)
        if (field := first_difference(before, now)) is not None:
            raise _other(record, "workspace" if part == "workspace" else field)
    seed = asked["settings"]["seed"]
    if seed is not None and seed != record.seed:
        raise _other(record, "seed")


def _other(record: RunRecord, field: str) -> InputError:
    problem = f"run {record.key!r} was started with another one"
    return InputError(field, problem, "Call it with what the run was started with, or give another run key.")
