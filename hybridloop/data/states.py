"""States of a run, and the one table of where it may go from each, by what happens and by whom."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hybridloop.data.statuses import STATUSES as STATUSES
from hybridloop.data.statuses import WITH_RESULT

ORPHANED = "its process ended without closing it"  # reason of an interrupted run


class State(enum.StrEnum):
    """State of a run: its status, where all statuses with a result are one state."""

    NEW = "new"  # described, or in the journal, and no process has begun it
    PREPARING = "preparing"  # its circuit is being simulated
    RUNNING = "running"  # a process holds it, or has died while it did
    STOPPED = "stopped"
    PARKED = "parked"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    REFUSED = "refused"  # its input was, in a flow run that a worker began; nothing is kept but its reason
    ENDED = "ended"  # converged, measured or finished


class Move(enum.StrEnum):
    """Happening to a run."""

    PREPARE = "prepare"
    HOLD = "hold"  # a process takes its lease, and begins or resumes it
    EXTEND = "extend"  # the same, for a run that reaches further than its result
    END = "end"  # with a result
    STOP = "stop"  # by a cap, a deadline or a request
    PARK = "park"
    INTERRUPT = "interrupt"
    FAIL = "fail"
    REFUSE = "refuse"


class Who(enum.StrEnum):
    """The one who brings a run into a process."""

    CALLER = "caller"  # a call with its key, or without one, which states all settings again
    PERSON = "person"  # `runs resume`, which may change settings
    PREFECT = "Prefect"  # it starts a flow run again, with the recorded settings
    HOUSEKEEPING = "housekeeping"  # as the run's `resume_automatically` says
    HOLDER = "its process"  # that holds the run already


class Transition(NamedTuple):
    """A row of the table."""

    before: State
    move: Move
    after: State
    who: tuple[Who, ...]


_UNENDED = (State.STOPPED, State.PARKED, State.INTERRUPTED, State.FAILED)
_RESUMED_BY = (Who.CALLER, Who.PERSON, Who.PREFECT, Who.HOUSEKEEPING)
_ENDS = (
    (Move.STOP, State.STOPPED),
    (Move.PARK, State.PARKED),
    (Move.INTERRUPT, State.INTERRUPTED),
    (Move.FAIL, State.FAILED),
)


def _rows() -> Iterator[Transition]:
    yield Transition(State.NEW, Move.PREPARE, State.PREPARING, (Who.CALLER,))
    yield Transition(State.NEW, Move.HOLD, State.RUNNING, (Who.CALLER, Who.PREFECT))
    yield Transition(State.PREPARING, Move.HOLD, State.RUNNING, _RESUMED_BY)
    yield Transition(State.NEW, Move.REFUSE, State.REFUSED, (Who.PREFECT,))
    yield Transition(State.RUNNING, Move.HOLD, State.RUNNING, _RESUMED_BY)  # its process has died
    yield Transition(State.RUNNING, Move.END, State.ENDED, (Who.HOLDER,))
    for move, after in _ENDS:
        yield Transition(State.RUNNING, move, after, (Who.HOLDER,))
    for before in _UNENDED:
        is_stopped = before is State.STOPPED  # which housekeeping resumes if a person asked for that
        yield Transition(before, Move.HOLD, State.RUNNING, _RESUMED_BY[:-1] if is_stopped else _RESUMED_BY)
    # a program runs again, on its stored rounds
    yield Transition(State.ENDED, Move.HOLD, State.RUNNING, (Who.CALLER, Who.PREFECT))
    yield Transition(State.ENDED, Move.EXTEND, State.RUNNING, (Who.PERSON,))


TRANSITIONS = tuple(_rows())
_TABLE = {(row.before, row.move): row for row in TRANSITIONS}
_MOVES = {**{after: move for move, after in _ENDS}, State.ENDED: Move.END}


def state_of(status: str) -> State:
    """Return the state of a run by its status.

    >>> state_of("converged"), state_of("parked")
    (<State.ENDED: 'ended'>, <State.PARKED: 'parked'>)
    """
    return State.ENDED if status in WITH_RESULT else State(status)


def after(before: State, move: Move) -> State:
    """Return the state of a run after a move. Raises ValueError for one that the table does not have."""
    if (before, move) not in _TABLE:
        raise ValueError(f"a run that is {before} has no move {move}")
    return _TABLE[before, move].after


def end_of(status: str) -> Move:
    """Return the move that gives a run this status at its end."""
    return _MOVES[state_of(status)]


def diagram(transitions: Iterable[Transition] = TRANSITIONS) -> str:
    """Return the table as a state diagram in Mermaid's language."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.NEW}"]
    lines += [f"    {row.before} --> {row.after}: {row.move}{_by(row.who)}" for row in transitions]
    return "\n".join(lines)


def _by(who: tuple[Who, ...]) -> str:
    return "" if who == (Who.HOLDER,) else f" ({'anyone' if who == _RESUMED_BY else ', '.join(who)})"
