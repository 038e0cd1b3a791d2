"""Events of a run, such as a retried job or a ping: each is a line of the log, and is handed to the run's observer.

The observer is that of the calling thread's context; threads that work for a run are started by `start_thread`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass

from hybridloop.runtime.json_log import EVENT, FACTS, continue_lines, note_facts, place_of_lines

SIMULATION_RUNNING = "simulation.running"  # the kind of an event before a run's session
EventValue = str | int | float | bool | None

_log = logging.getLogger("hybridloop.run")  # a name for readers of logs


@dataclass(frozen=True, slots=True)
class RunEvent:
    """An event of a run: its `kind` and plain `facts`, and when it began and ended, in seconds since the epoch.

    The kinds and their facts are documented in docs/prefect.md.
    """

    kind: str
    message: str
    facts: Mapping[str, EventValue]
    began_at: float
    ended_at: float


Observer = Callable[[RunEvent], None]


@dataclass(frozen=True, slots=True)
class Observation:
    """An observer, and the context that threads have whose work it observes."""

    observer: Observer
    context: Context


_current: ContextVar[Observation | None] = ContextVar("observation", default=None)


@contextmanager
def observed_by(observer: Observer, context: Context | None = None) -> Iterator[None]:
    """Hand the events of the block to an observer, and those of threads that are started in it.

    These threads have a copy of the context; by default that of this call.
    """
    observation = Observation(observer, copy_context() if context is None else context)
    observation.context.run(_current.set, observation)
    with continued(observation):
        yield


@contextmanager
def continued(observation: Observation | None) -> Iterator[None]:
    """Hand the events of the block to the observer of another block, which may be that of another thread."""
    token = _current.set(observation)
    try:
        yield
    finally:
        with suppress(ValueError):  # the block is left in another context than it was entered in, as by another task
            _current.reset(token)


def current_observation() -> Observation | None:
    """Return the observation of the calling code."""
    return _current.get()


def report(
    kind: str,
    message: str,
    facts: Mapping[str, EventValue],
    *,
    level: int = logging.INFO,
    began_at: float | None = None,
    ended_at: float | None = None,
) -> None:
    """Log an event, and hand it to the observer, if there is one; an event never fails a run.

    Without `ended_at` it is now; without `began_at` it took no time.
    """
    note_facts(facts)
    _log.log(level, "%s", message, extra={EVENT: kind, FACTS: facts})
    if (observation := _current.get()) is None:
        return
    ended = time.time() if ended_at is None else ended_at
    event = RunEvent(kind, message, facts, ended if began_at is None else began_at, ended)
    try:
        observation.observer(event)
    except Exception as error:  # whatever the observer does, the run goes on
        _log.debug("the event %s was not observed: %s", kind, type(error).__name__)


def start_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a daemon thread that works for a run, in the run's context."""
    observation = _current.get()
    context = copy_context() if observation is None else observation.context.copy()
    context.run(continue_lines, place_of_lines())
    thread = threading.Thread(target=context.run, args=(target,), name=name, daemon=True)
    thread.start()
    return thread
