"""The caller's part of a flow run: values that Prefect must not store, and the end of the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prefect import tags
from prefect.context import TagsContext

from hybridloop.azure.workspace import LOCAL_SERVICE_VARIABLE, connect_from_environment, local_workspace
from hybridloop.blocks import load_workspace
from hybridloop.errors import CapReached, InputError, RunStopped
from hybridloop.runs.live import LiveFeed, RoundUpdate
from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE
from hybridloop.tasks.prefect_tasks import TAG

if TYPE_CHECKING:
    from hybridloop.flows.sweep_execution.results import SweepResult
    from hybridloop.flows.sweep_execution.scheduler import OnPoint
    from hybridloop.runs.result import RunResult

OnProgress = Callable[[RoundUpdate], None]


@dataclass(slots=True)
class CallerContext:
    """Values of the caller beside the flow's parameters, and the end of the run or sweep.

    `workspace` is the SDK's. `seed` is that of a new run (None: the settings', or drawn). `sources` says where the
    settings were set. `on_point` is called after each point of a sweep. `end` is the result, or the error that ended
    the run: Prefect may fail to store the first, and has no place for the second.
    """

    workspace: Any | None = None
    on_progress: OnProgress | None = None
    seed: int | None = None
    feed: LiveFeed | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    on_point: OnPoint | None = None
    end: RunResult | SweepResult | CapReached | RunStopped | None = None


_current: ContextVar[CallerContext | None] = ContextVar("caller", default=None)


def current_caller() -> CallerContext:
    """Return the context of the caller around; an empty one if a worker runs the flow."""
    return _current.get() or CallerContext()


@contextmanager
def caller_context(context: CallerContext) -> Iterator[CallerContext]:
    """Hand the context to the flow runs inside the block."""
    token = _current.set(context)
    try:
        with tags(TAG):
            yield context
    finally:
        _current.reset(token)


def tasks_untagged() -> TagsContext:
    """Leave the flow run's tags off its tasks: Prefect asks its server for a slot for each tag of a task."""
    return TagsContext(current_tags=set())


def find_workspace(name: str | None) -> Any:
    """Return the caller's workspace, else that of the saved block of this name, else the environment's.

    The environment's is the local service only if LOCAL_SERVICE_VARIABLE says so: a run that is meant for Azure must
    not run there because its worker's connection string is missing. Raises InputError if there is none.
    """
    workspace = current_caller().workspace
    if workspace is None and name is not None:
        return load_workspace(name)
    if workspace is None:
        workspace = connect_from_environment()
    if workspace is None and os.environ.get(LOCAL_SERVICE_VARIABLE):
        workspace = local_workspace()
    if workspace is None:
        raise InputError(
            "workspace",
            "the flow run has none",
            f"Name a saved block, or set {CONNECTION_VARIABLE} for the worker. For the local service start the worker "
            'in a shell where you ran eval "$(hybridloop env)".',
        )
    return workspace
