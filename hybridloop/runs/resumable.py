"""Runs that may be resumed without a person: what their settings, their events and their version say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hybridloop.data.states import State
from hybridloop.journal import Event, RunRecord
from hybridloop.journal.provenance import has_same_choices
from hybridloop.runs.hold import OUTAGE
from hybridloop.runs.recorded import RESUMED, auto_resume_of
from hybridloop.settings import AutoResume
from hybridloop.tasks.replay.recorded_steps import STEP

MAX_VAIN_RESUMES = 3  # resumes by housekeeping without a new round or classical iteration
OTHER_VERSION = "another version of hybridloop started it, and only that one resumes it"
IN_VAIN = f"it was resumed {MAX_VAIN_RESUMES} times without a new round"
FOR_A_PERSON = frozenset({OTHER_VERSION, IN_VAIN})  # reasons by which a run waits that would be resumed otherwise


def reason_to_skip(record: RunRecord, events: Sequence[Event], *, rounds: Callable[[], int]) -> str | None:
    """Return the reason not to resume a run without an owner; None if it can resume once its jobs are done.

    `rounds` counts the measured rounds. A run whose resumption was requested is always resumed, by the version that
    started it.
    """
    if not record.resume_requested and (reason := _reason_of_its_own(record, events, rounds)):
        return reason
    return None if has_same_choices(record.versions) else OTHER_VERSION


def _reason_of_its_own(record: RunRecord, events: Sequence[Event], rounds: Callable[[], int]) -> str | None:
    if record.settings.get("host") is not None:
        return "it was started without Prefect, and its caller resumes it"
    if record.stop_requested:
        return "a user asked it to stop"
    mode = auto_resume_of(record, events)
    match record.state:
        case State.PARKED if mode is not AutoResume.NEVER:
            pass
        case State.INTERRUPTED | State.PREPARING if mode is AutoResume.INTERRUPTED:
            pass
        case State.FAILED if mode is AutoResume.INTERRUPTED and was_outage(events):
            pass
        case _:
            return "its settings do not allow automatic resumption"
    resumes = [place for place, event in enumerate(events) if event.kind == RESUMED][-MAX_VAIN_RESUMES:]
    if record.state is State.PARKED or len(resumes) < MAX_VAIN_RESUMES:
        return None
    is_further = any(event.kind == STEP for event in events[resumes[0] :])  # a classical iteration, after all rounds
    if not is_further and {events[place].facts.get("rounds") for place in resumes} == {rounds()}:
        return IN_VAIN
    return None


def was_outage(events: Sequence[Event]) -> bool:
    """Return true if an outage of the service, the target or the database ended the run last."""
    kinds = [event.kind for event in events if event.kind in (RESUMED, OUTAGE)]
    return kinds[-1:] == [OUTAGE]
