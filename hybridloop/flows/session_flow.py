"""User functions as journaled flows, each with a session: a restarted one gets its measured rounds from the journal."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from prefect import Flow
from pydantic_core import PydanticSerializationError, to_jsonable_python

from hybridloop.azure.workspace import identity_of
from hybridloop.errors import CapReached, InputError, RunCancelled, RunStopped
from hybridloop.flows.in_prefect.beside import run_beside, show_in_flow
from hybridloop.flows.in_prefect.hooks import run_flow_options
from hybridloop.flows.in_prefect.host import PrefectHost
from hybridloop.flows.lifecycle.host import Ended
from hybridloop.flows.lifecycle.life import live_program
from hybridloop.flows.lifecycle.workspace import find_workspace
from hybridloop.journal import open_journal
from hybridloop.results.statuses import status_after
from hybridloop.runs.order import SESSION, RunOrder
from hybridloop.runs.run import find_run
from hybridloop.settings import RunSettings

RUN_KEY = "run_key"


class SessionFlow(Flow[Any, Any]):
    """A Prefect flow that finds or starts its workspace and Prefect server when it is called as a function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow. Raises CapReached or RunStopped if one of them ended the run before the function returned.

        Raises LeaseLost if another process took the run over.
        """
        body: _Body = self.fn.body  # type: ignore[attr-defined]  # set by `make_session_flow`
        with body.environment() as workspace:
            return run_beside(self, partial(body.measure, workspace), *args, **kwargs)

    def with_options(self, **options: Any) -> SessionFlow:
        """Return a copy with other Prefect options, such as `retries=2`; see `prefect.Flow.with_options`."""
        changed = super().with_options(**options)
        changed.__class__ = SessionFlow  # Prefect makes a plain flow, whatever the class; this one adds no state
        return cast(SessionFlow, changed)


def make_session_flow(
    function: Callable[..., Any],
    settings: RunSettings,
    environment: Callable[[], AbstractContextManager[Any]],
    workspace_name: str | None = None,
) -> SessionFlow:
    """Make the flow of a function whose first parameter is an open session; see `hybridloop.session_flow`.

    `environment` provides a call of the flow with the SDK's workspace and a Prefect server. A worker's runs use the
    workspace of the saved block of that name; None: the environment's.
    """
    signature = inspect.signature(function, eval_str=True)
    _check(function, signature)
    body = _Body(function, signature, settings, environment)

    @functools.wraps(function)
    def fn(*args: Any, **kwargs: Any) -> Any:
        return show_in_flow(lambda host: body.measure(find_workspace(workspace_name), host, *args, **kwargs))

    del fn.__wrapped__  # Prefect would look through it at the function's own signature
    fn.__signature__ = _without_session(signature)  # type: ignore[attr-defined]
    fn.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
    fn.body = body  # type: ignore[attr-defined]
    return SessionFlow(fn, name=body.name, **run_flow_options())


@dataclass(frozen=True, slots=True)
class _Body:
    """The function of a session flow, which may be measured inside its flow run or beside it."""

    function: Callable[..., Any]
    signature: inspect.Signature
    settings: RunSettings
    environment: Callable[[], AbstractContextManager[Any]]

    @property
    def name(self) -> str:
        """Name of the flow."""
        return self.function.__name__.replace("_", "-")

    def measure(self, workspace: Any, host: PrefectHost, *args: Any, **kwargs: Any) -> Ended[Any]:
        """Find or begin the run, call the function with its session, and return the run's end."""
        run_key = kwargs.pop(RUN_KEY, None)
        with open_journal() as journal:
            bound = self.signature.bind(None, *args, **kwargs)
            bound.apply_defaults()
            _, *names = self.signature.parameters
            stated = {
                "settings": self.settings.model_dump(mode="json"),
                "parameters": _to_plain({name: bound.arguments[name] for name in names}),
                "workspace": identity_of(workspace),
            }
            matching = ("algorithm", "problem")
            order = host.labelled(RunOrder(SESSION, self.name, self.settings, stated, run_key, must_match=matching))
            host.order = order
            run = find_run(journal, order)
            try:
                return live_program(
                    journal, run, workspace, host, lambda session: self.function(session, *args, **kwargs)
                )
            except (CapReached, RunStopped) as error:
                if status_after(error) == "interrupted" and not isinstance(error, RunCancelled):
                    raise
                return Ended(error=error)


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
