"""Work beside Prefect: the caller's thread does it, and Prefect's engine shows its flow run from a thread of its own.

A server that does not answer keeps neither the work nor its result from the caller.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from copy import copy
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast
from uuid import UUID

from httpx import HTTPError, HTTPStatusError
from prefect import Flow, tags
from prefect.exceptions import Abort, PrefectException
from prefect.runtime import flow_run

from hybridloop.azure.redaction import redact_secrets_in_logs
from hybridloop.errors import HybridloopError, LeaseLost, PrefectAway, RunBusy
from hybridloop.flows.in_prefect.exit import bound_exit
from hybridloop.flows.in_prefect.host import REFUSALS, PrefectHost
from hybridloop.flows.in_prefect.one_request import client_without_retries
from hybridloop.flows.lifecycle.host import Ended
from hybridloop.flows.lifecycle.refusal import record_refusal
from hybridloop.flows.rescue.delivery import deliver_ends
from hybridloop.journal import open_journal
from hybridloop.runtime.crash_points import crash_point
from hybridloop.runtime.signals import AFTER_THE_END, STORED_END, exit_on_sigterm
from hybridloop.runtime.stages import announce
from hybridloop.runtime.waits import PREFECT_END_S, PREFECT_START_S, SIGNAL_END_S
from hybridloop.tasks.prefect_tasks import TAG

LOOK_S = 5.0  # between two looks whether the server answers
_SILENT = f"has not answered for {PREFECT_START_S:.0f} s"
UNANSWERED = (
    f"Prefect's server has not answered for {PREFECT_END_S:.0f} s, and does not show the end of the flow run. Nothing "
    "is lost: housekeeping ends the flow run as the journal has it."
)

R = TypeVar("R")
T = TypeVar("T")
_log = logging.getLogger(__name__)


def run_beside(flow: Flow[..., Any], work: Callable[..., Ended[R]], /, *args: Any, **kwargs: Any) -> R:
    """Call a flow whose body is `work`, done in this thread and in the flow run's context; return what it returned.

    `work` gets the host and the arguments as Prefect validated them, once for each attempt of the flow run. What it
    returned comes back when Prefect has its end, or after PREFECT_END_S with a warning. With `return_state` the flow
    run's state is returned. Raises the error of the work, LeaseLost where another process took the run over,
    PrefectAway where Prefect's server does not answer for PREFECT_START_S, and Prefect's error where the flow run did
    not begin: then nothing was done.
    """
    attempts: SimpleQueue[tuple[Context, PrefectHost, inspect.BoundArguments] | None] = SimpleQueue()
    ends: SimpleQueue[Ended[R]] = SimpleQueue()
    shown: list[Any] = []
    failed: list[BaseException] = []
    signature = inspect.signature(flow.fn, eval_str=True)
    bound_exit()
    redact_secrets_in_logs()

    host: PrefectHost | None = None
    has_left = threading.Event()
    _wait_for_server()

    def attempt(*args: Any, **kwargs: Any) -> Any:
        nonlocal host
        host = PrefectHost()
        attempts.put((copy_context(), host, signature.bind(*args, **kwargs)))
        ended = ends.get()
        if has_left.is_set():
            _delete(host.id)
        return host.end(ended)

    def call_prefect() -> None:
        try:
            with tags(TAG):
                # a subclass's own call may be `run_beside`
                shown.append(Flow.__call__(with_body(flow, attempt), *args, **kwargs))
        except BaseException as error:  # signals are none: those reach the main thread
            failed.append(error)
        finally:
            if host is not None and host.id is not None:
                confirm_end(host.id)
            attempts.put(None)

    engine = threading.Thread(target=copy_context().run, args=(call_prefect,), name="hybridloop-prefect", daemon=True)
    engine.start()
    ended: Ended[R] | None = None
    with exit_on_sigterm():
        try:
            next_attempt = _first_of(attempts)
            while next_attempt is not None:
                context, host, arguments = next_attempt
                context.run(STORED_END.set, "")
                try:
                    ended = context.run(partial(work, host, *arguments.args, **arguments.kwargs))
                except BaseException as error:  # a Ctrl-C and SystemExit, too: Prefect shows them as a crash
                    if context[STORED_END]:
                        error.add_note(AFTER_THE_END)
                    ended = Ended(error=error)
                ends.put(ended)
                next_attempt = attempts.get(timeout=_patience(flow, ended))
        except PrefectAway:
            has_left.set()
            raise
        except Empty:
            if ended is None or isinstance(ended.error, Exception | None):  # no signal
                _log.warning("%s", UNANSWERED)
        except BaseException as signal:  # a Ctrl-C or SystemExit in one of the waits for Prefect
            if ended is None:  # Prefect shows it as a crash, if it begins the flow run soon
                ends.put(Ended(error=signal))
                engine.join(SIGNAL_END_S)
            else:
                signal.add_note(AFTER_THE_END)
            raise
        finally:  # an attempt that begins later ends at once, and the journal decides about its flow run
            ends.put(Ended(error=Abort("its caller has left")))
    if ended is None:
        if failed and _is_outage(failed[0]):
            raise _away(f"failed: {failed[0]}") from failed[0]
        raise failed[0] if failed else RuntimeError("Prefect ended the flow run before it began")
    if kwargs.get("return_state") and shown:
        return cast(R, shown[0])
    if failed and ended.error is None:
        _log.warning("Prefect could not store the end of the run, which is finished: %s", failed[0])
    return replace(ended, error=_cause(ended.error)).value()


def show_in_flow(work: Callable[[PrefectHost], Ended[Any]]) -> Any:
    """Do the work of a flow run that a worker began; return what it returns to Prefect. A refusal is recorded.

    Raises the error that fails the flow run. In a subflow this is a refusal, too, and that another process holds the
    run: its parent must not continue.
    """
    host = PrefectHost()
    with exit_on_sigterm():  # SIGTERM has Prefect's handler
        try:
            ended = work(host)
        except (*REFUSALS, RunBusy) as error:
            if flow_run.parent_flow_run_id is not None:
                raise
            if host.order is not None and error.is_refusal:
                record_refusal(host.order, error, host)
            ended = Ended(error=error)
        return host.end(ended)


def confirm_end(flow_run_id: str) -> None:
    """Take the end that Prefect shows out of the outbox, and show those that its server missed, as during a cancel."""
    crash_point("end.shown")
    try:
        with open_journal() as journal, client_without_retries() as client:
            deliver_ends(journal, client, now=time.time(), flow_run=flow_run_id)
    except (HybridloopError, HTTPError, PrefectException, RuntimeError) as error:  # housekeeping does it later
        _log.debug("the outbox was not delivered: %s", error)


def _first_of(attempts: SimpleQueue[T]) -> T:
    """Wait until Prefect has begun or refused the flow run. Raises PrefectAway where its server does not answer."""
    silent_since = time.monotonic()
    while True:
        try:
            return attempts.get(timeout=LOOK_S)
        except Empty:
            if _answers():
                silent_since = time.monotonic()
            if time.monotonic() - silent_since >= PREFECT_START_S:
                raise _away(_SILENT) from None


def _wait_for_server() -> None:
    """Wait until Prefect's server and its database answer. Raises PrefectAway."""
    until = time.monotonic() + PREFECT_START_S
    while not _answers():
        if time.monotonic() >= until:
            raise _away(_SILENT)
        announce("waiting for Prefect's server")
        threading.Event().wait(min(LOOK_S / 2, max(0.0, until - time.monotonic())))


def _answers() -> bool:
    """Return True if Prefect's server answers a request for what is in its database, also by a refusal."""
    try:
        with client_without_retries() as client:
            client.read_flows(limit=1)
    except (HTTPError, PrefectException, RuntimeError) as error:
        return not _is_outage(error)
    return True


def _is_outage(error: BaseException) -> bool:
    """Return True for an error of the server or of the way to it, and False for a refusal."""
    cause = error if isinstance(error, HTTPError) else error.__cause__
    if isinstance(cause, HTTPStatusError):
        return cause.response.is_server_error
    return isinstance(cause, HTTPError) or (type(error) is RuntimeError and "Failed to reach API" in str(error))


def _away(what: str) -> PrefectAway:
    with client_without_retries() as client:
        address = client.api_url.copy_with(userinfo=b"")
    remedy = "Start the run again once it answers; hybridloop status shows the server."
    return PrefectAway(f"Prefect's server at {address} {what}", remedy)


def _delete(flow_run_id: str | None) -> None:
    """Delete a flow run that began after its caller went on without it."""
    assert flow_run_id is not None
    try:
        with client_without_retries() as client:
            client.delete_flow_run(UUID(flow_run_id))
    except (HTTPError, PrefectException, RuntimeError) as error:
        _log.debug("flow run %s was not deleted: %s", flow_run_id, error)


def with_body(flow: Flow[..., Any], body: Callable[..., Any]) -> Flow[..., Any]:
    """Return a copy of a flow with another function: its name, options, hooks and parameters stay."""
    signature = inspect.signature(flow.fn, eval_str=True)

    def fn(*args: Any, **kwargs: Any) -> Any:
        return body(*args, **kwargs)

    fn.__name__, fn.__qualname__, fn.__doc__ = flow.fn.__name__, flow.fn.__qualname__, flow.fn.__doc__
    fn.__module__ = flow.fn.__module__
    fn.__signature__ = signature  # type: ignore[attr-defined]  # what Prefect validates the arguments by
    fn.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    changed = copy(flow)
    changed.fn = fn
    return changed


def _patience(flow: Flow[..., Any], ended: Ended[Any]) -> float:
    """Return the seconds to wait for Prefect after an attempt, with its pause before a retry."""
    if ended.error is None:
        return PREFECT_END_S
    if not isinstance(ended.error, Exception):
        return SIGNAL_END_S
    return PREFECT_END_S + float(flow.retry_delay_seconds or 0.0) if flow.retries else PREFECT_END_S


def _cause(error: BaseException | None) -> BaseException | None:
    """Return the takeover that ended the work, which Prefect knows as its `Abort`; else the error itself."""
    is_takeover = isinstance(error, Abort) and isinstance(error.__cause__, LeaseLost)
    return error.__cause__ if is_takeover and error is not None else error
