"""User functions as journaled flows, each with a session: a restarted one gets its measured rounds from the journal."""

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

from hybridloop.azure.targets.offered import find_offered_target, resumed_target
from hybridloop.azure.workspace import identity_of
from hybridloop.data.statuses import WITH_RESULT
from hybridloop.errors import NOTHING_SUBMITTED, CapReached, InputError, RunCancelled, RunStopped
from hybridloop.flows.in_prefect.flow_run_events import name_flow_run, shown_in_flow_run
from hybridloop.flows.lifecycle.acquire_session import acquire_session, check_available
from hybridloop.flows.lifecycle.caller_context import CallerContext, current_caller, find_workspace, tasks_untagged
from hybridloop.flows.lifecycle.hooks import run_flow_options
from hybridloop.flows.lifecycle.takeover import leave_state_after_takeover, takeover_as_error
from hybridloop.journal import Journal, NewRun, RunRecord, open_journal
from hybridloop.journal.claimed_run import new_run
from hybridloop.runs.holding import hold_run, note_resumed, withdraw_stop, write_status
from hybridloop.runs.lookup import check_choices, generated_key, run_of_key
from hybridloop.runs.statuses import status_after
from hybridloop.settings import LIMITS, RunSettings, first_difference

RUN_KEY = "run_key"
ALGORITHM = "session"  # as of a script: only its own program knows its circuits

CallerFactory = Callable[[], AbstractContextManager[CallerContext]]


class SessionFlow(Flow[Any, Any]):
    """A Prefect flow that finds or starts its workspace and Prefect server when it is called as a function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow. Raises CapReached or RunStopped if one of them ended the run before the function returned.

        Raises LeaseLost if another process took the run over.
        """
        open_caller: CallerFactory = self.fn.open_caller  # type: ignore[attr-defined]  # set by `make_session_flow`
        with open_caller() as caller, takeover_as_error():
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
        """Return a copy with other Prefect options, such as `retries=2`; see `prefect.Flow.with_options`."""
        changed = super().with_options(**options)
        changed.__class__ = SessionFlow  # Prefect returns a plain flow; this class adds no state
        return cast(SessionFlow, changed)


def make_session_flow(
    function: Callable[..., Any], settings: RunSettings, open_caller: CallerFactory, workspace_name: str | None = None
) -> SessionFlow:
    """Make the flow of a function whose first parameter is an open session; see `hybridloop.session_flow`.

    A worker's runs use the workspace of the saved block of that name; None: the environment's.
    """
    name = function.__name__.replace("_", "-")
    signature = inspect.signature(function, eval_str=True)
    _check(function, signature)

    @functools.wraps(function)
    def body(*args: Any, **kwargs: Any) -> Any:
        run_key = kwargs.pop(RUN_KEY, None)
        bound = signature.bind(None, *args, **kwargs)
        bound.apply_defaults()
        _, *names = signature.parameters
        request = {
            "settings": settings.model_dump(mode="json"),
            "parameters": _to_plain({name: bound.arguments[name] for name in names}),
        }

        def measure(session: Any) -> Any:
            return function(session, *args, **kwargs)

        return _run_in_flow(name, measure, settings, request, run_key, workspace_name)

    del body.__wrapped__  # Prefect would look through it at the function's own signature
    body.__signature__ = _without_session(signature)  # type: ignore[attr-defined]
    body.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
    body.open_caller = open_caller  # type: ignore[attr-defined]
    return SessionFlow(body, name=name, **run_flow_options())


def _check(function: Callable[..., Any], signature: inspect.Signature) -> None:
    """Raise InputError for a function that can't be a session flow."""
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        remedy = "Write it with def; call it from async code by asyncio.to_thread."
        raise InputError("session_flow", f"{function.__name__} is not a plain function", remedy)
    kinds = [parameter.kind for parameter in signature.parameters.values()]
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


def _to_plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = to_jsonable_python(parameters)
    except PydanticSerializationError as error:
        raise InputError("parameters", f"they are not plain values: {error}", "Give numbers, text, lists.") from error
    return plain


def _run_in_flow(
    name: str,
    measure: Callable[[Any], Any],
    settings: RunSettings,
    request: dict[str, Any],
    run_key: str | None,
    workspace_name: str | None,
) -> Any:
    workspace, cancelled = find_workspace(workspace_name), threading.Event()
    request["workspace"] = identity_of(workspace)
    with tasks_untagged(), open_journal() as journal:
        recorded = _find_record(journal, name, request, run_key)
        find = find_offered_target if recorded is None else resumed_target
        target = settings.session_options.fit(find(settings.target, workspace))
        # a finished run replays from the journal and does not need the target
        is_finished = recorded is not None and recorded.status in WITH_RESULT
        is_available = is_finished or check_available(workspace, target, 0, settings.failure)
        if recorded is None:
            record = journal.add_run(_new_run(name, target.name, settings.seed, request, run_key))
        else:
            record = recorded
            withdraw_stop(journal, record)
        settings = settings.model_copy(update={"seed": record.seed})
        name_flow_run(record)
        try:
            with (
                shown_in_flow_run(record),
                hold_run(journal, record) as run,
                leave_state_after_takeover(run),
            ):
                if recorded is not None:
                    note_resumed(run, flow_run.id)
                try:
                    with acquire_session(
                        workspace, target, settings, run, cancelled, is_available=is_available
                    ) as session:
                        returned = measure(session)
                except RunStopped as error:
                    if cancelled.is_set():
                        raise RunCancelled(error.in_flight) from error
                    raise
                write_status(run, "measured", "the function returned")
                return returned
        except (CapReached, RunStopped) as error:
            if status_after(error) == "interrupted" and not isinstance(error, RunCancelled):
                raise
            # not a failed state, so that Prefect's retries do not start the run again
            current_caller().end = error
            if isinstance(error, RunCancelled):
                return Cancelled(message=str(error))
            return Completed(name=status_after(error).capitalize(), message=str(error))


def _find_record(journal: Journal, name: str, request: Mapping[str, Any], run_key: str | None) -> RunRecord | None:
    """Return the run of the key, else the one of this flow run. Raises InputError if it was started differently."""
    if run_key is not None:
        record = run_of_key(journal, run_key)
    else:
        record = None if flow_run.id is None else journal.run_by_flow_run(flow_run.id)
    if record is not None:
        _check_same(record, name, request)
        if record.status not in WITH_RESULT:
            check_choices(record)
    return record


def _new_run(name: str, target: str, seed: int | None, request: Mapping[str, Any], run_key: str | None) -> NewRun:
    uid = str(uuid.uuid4())
    return new_run(
        uid,
        key=run_key or generated_key(name, uid),
        algorithm=ALGORITHM,
        problem=name,
        target=target,
        seed=secrets.randbits(63) if seed is None else seed,
        settings=request,
        flow_run_id=flow_run.id,
    )


def _check_same(record: RunRecord, name: str, request: Mapping[str, Any]) -> None:
    """Raise InputError if the run has another flow, workspace, parameter or setting; limits may differ."""
    if (record.algorithm, record.problem) != (ALGORITHM, name):
        raise _other(record, "flow")
    for part in ("parameters", "settings", "workspace"):
        now, before = (dict(values.get(part, {})) for values in (request, record.settings))
        if part == "settings":
            for limit in (*LIMITS, "seed"):
                now.pop(limit, None)
                before.pop(limit, None)
        if (field := first_difference(before, now)) is not None:
            raise _other(record, "workspace" if part == "workspace" else field)
    seed = request["settings"]["seed"]
    if seed is not None and seed != record.seed:
        raise _other(record, "seed")


def _other(record: RunRecord, field: str) -> InputError:
    problem = f"run {record.key!r} was started with another one"
    remedy = "Call it with what the run was started with, or give another run key."
    return InputError(field, problem, remedy, NOTHING_SUBMITTED)
