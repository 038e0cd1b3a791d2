"""The Prefect tasks of a flow, ours or a user's: open a session, run rounds in it, keep it alive, close it.

Retries of jobs and pings are inside, so the tasks need none of Prefect's. A session that the flow does not close is
closed when its flow run ends.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TagsContext, TaskRunContext
from prefect.states import Cancelled
from prefect.task_runners import ThreadPoolTaskRunner
from qiskit.primitives.containers.sampler_pub import SamplerPub, SamplerPubLike

from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.errors import CapReached, InputError, RunStopped
from hybridloop.tasks.session import OpenSession

TAG = "hybridloop"  # of every flow run and of its task runs, so that automations and filters find them
RUN_ROUND = "run round"  # name of the tasks that run rounds
STOPPED = "Stopped"  # name of the state of a round that was stopped or parked
_BLOCK = "hybridloop.open_session(…)"

_opened: dict[OpenSession, tuple[str, AbstractContextManager[OpenSession]]] = {}  # with the flow run, and the block
_changing = threading.Lock()


class SessionTask(Task[..., Any]):
    """A Prefect task whose call raises a signal's exception as itself, and what ended a round that has not failed."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task; with `return_state` return its state."""
        try:
            returned = super().__call__(*args, **kwargs)
        except ValueError as error:  # raised by Prefect 3.9 in place of a signal's, before the task run exists
            if error.__context__ is not None and not isinstance(error.__context__, Exception):
                raise error.__context__ from None
            raise
        if isinstance(returned, State) and not kwargs.get("return_state"):
            raise returned.data.result  # type: ignore[union-attr]  # nothing is stored elsewhere
        return returned

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task in a thread of the flow. Raises InputError where the flow's tasks run in other processes."""
        self._check_runner()
        return super().submit(*args, **kwargs)

    def map(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task in threads of the flow, once for each element. Raises InputError as `submit` does."""
        self._check_runner()
        return super().map(*args, **kwargs)

    def _check_runner(self) -> None:
        context = FlowRunContext.get()
        if context is not None and not isinstance(context.task_runner, ThreadPoolTaskRunner):
            runner = type(context.task_runner).__name__
            problem = f"an open session is its process's own, and {runner} runs tasks in other processes"
            remedy = f"Call {self.fn.__name__}(…) itself, or submit tasks that make whole runs, such as by hl.vqe(…)."
            raise InputError("session", problem, remedy)


def _is_no_error(record: logging.LogRecord) -> bool:
    """Make a line of information of Prefect's line of a round that was stopped or parked: nothing has failed."""
    if record.levelno == logging.ERROR and record.getMessage().startswith(f"Finished in state {STOPPED}("):
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
    return True


logging.getLogger("prefect.task_runs").addFilter(_is_no_error)


def _task(name: str, run_name: Any) -> Callable[[Callable[..., Any]], SessionTask]:
    return partial(SessionTask, name=name, task_run_name=run_name, cache_policy=NO_CACHE, persist_result=False)


def _name_round(parameters: dict[str, Any]) -> str:
    return f"round of {len(parameters['pubs'])} circuit(s)"  # until it has a number, and jobs


@_task("open session", "open a session")
def open_session(block: AbstractContextManager[OpenSession], *, closes_at_end: bool = True) -> OpenSession:
    """Open the session of a block, such as hybridloop.open_session(…), for the flow run around.

    `close_session` closes it, else the end of the flow run does; without `closes_at_end` the caller must.
    Raises InputError outside of a flow, and what the block raises.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow is None:
        problem = "the task open_session was not called in a Prefect flow"
        raise InputError("session", problem, f"Use `with {_BLOCK}` in a script.")
    if not isinstance(block, AbstractContextManager):
        raise InputError("session", f"{block!r} opens none", f"Write open_session({_BLOCK}).")
    session = block.__enter__()
    with _changing:
        _opened[session] = str(context.flow_run.id), block
        flow = context.flow
        ends = (flow.on_completion_hooks, flow.on_failure_hooks, flow.on_crashed_hooks, flow.on_cancellation_hooks)
        for hooks in ends if closes_at_end else ():
            if _close_all not in hooks:
                hooks.append(_close_all)
    describe_task(session, f"open a session on {session.target.name}")
    return session


@_task(RUN_ROUND, _name_round)
def run_round(
    session: OpenSession, pubs: Sequence[SamplerPubLike], *, shots: int = 1024, stream: str | None = None
) -> list[MeasuredPub] | State[Any]:
    """Run circuits as one round of the session, all jobs at once; return the counts of each PUB by point.

    A PUB is a circuit, or a circuit with parameter values and shots, as for Qiskit's SamplerV2; `shots` is for those
    that state none. A point without counts is a `FailedPoint`, if the session's policy allows that. Rounds that run at
    the same time, as by `run_round.submit(…)`, each need their own `stream`, by which the journal numbers them. Raises
    InputError, ProgramError or StreamBusy before anything is submitted, ServiceError, CapReached and RunStopped after.
    """
    round_ = None
    try:
        round_ = session.rounds.start([SamplerPub.coerce(pub, shots) for pub in pubs], stream=stream)
        return session.rounds.collect(round_)
    except (CapReached, RunStopped) as error:  # Prefect shows no failure
        return Cancelled(name=STOPPED, message=str(error), data=error)
    finally:
        if round_ is not None:
            describe_task(session, str(round_))


@_task("keep alive", "keep the session alive")
def keep_alive(session: OpenSession) -> None:
    """Ping the session now, before the flow does something long; else it is pinged before it would idle out.

    Raises InputError for a session that is not pinged (`keep_alive="renew"` or `"off"`), ServiceError if it fails.
    """
    session.ping()
    describe_task(session)


@_task("close session", "close the session")
def close_session(session: OpenSession) -> str:
    """Close the session and return its last status at the service; a second time changes nothing."""
    _close([session])
    describe_task(session, f"close session {session.id}")
    return session.status


def _close_all(flow: Any, flow_run: Any, state: Any) -> None:
    """Close the sessions that a flow run left open, at its end."""
    _close([session for session, (owner, _) in list(_opened.items()) if owner == str(flow_run.id)])


def _close(sessions: Sequence[OpenSession]) -> None:
    with _changing:
        blocks = [_opened.pop(session)[1] for session in sessions if session in _opened]
    with ExitStack() as closing:  # each is closed, even if another one can't be
        for block in blocks:
            closing.push(block)


def tasks_untagged() -> TagsContext:
    """Leave the flow run's tags off its tasks: Prefect asks its server for a slot for each tag of a task."""
    return TagsContext(current_tags=set())


def task_tags(target: str, session_id: str | None) -> list[str]:
    """Return the tags of a task run. They are set after it began: Prefect asks its server for a slot for each tag."""
    return [TAG, f"target:{target}"] + ([f"session:{session_id}"] if session_id else [])


def describe_task(session: OpenSession, name: str | None = None) -> None:
    """Set the tags of the task run around, and its name; its next state takes them to the server."""
    context = TaskRunContext.get()
    if context is not None:
        context.task_run.tags = task_tags(session.target.name, session.id)
        context.task_run.name = name or context.task_run.name


@contextmanager
def session_of_flow(block: AbstractContextManager[OpenSession]) -> Iterator[OpenSession]:
    """Hold the session of a block (`hybridloop.tasks.session.open_run_session`) for a flow run.

    After an error or a signal the session is closed without a task, because Prefect may start none then.
    """
    session = None
    try:  # around the tasks too: a signal may come after the session was opened and before its task has ended
        session = open_session(block, closes_at_end=False)
        yield session
        close_session(session)
    except BaseException:  # a Ctrl-C and Prefect's own TerminationSignal are no Exception
        block.__exit__(*sys.exc_info())
        raise
    finally:
        if session is not None:
            _opened.pop(session, None)
