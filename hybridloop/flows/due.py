"""Which runs housekeeping goes on with: those that wait for nothing any more, as each run's settings say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hybridloop.flows.runs import GOES_ON, LIMITS_GIVEN, OUTAGE
from hybridloop.flows.settings import Unattended
from hybridloop.sessions.journal import Event, RunRecord

IN_VAIN = 3  # times that a run is gone on with by housekeeping without one more round measured
LOOKED_AT = frozenset({"parked", "interrupted", "failed"})


def unattended_of(record: RunRecord, limits: Sequence[Event]) -> Unattended:
    """What the run's settings leave to housekeeping, as they were given last."""
    given = record.settings.get("settings", {}).get("unattended")
    for event in limits:
        if event.kind == LIMITS_GIVEN:
            given = event.facts.get("unattended", given)
    return Unattended.PARKED if given is None else Unattended(given)


def why_not(record: RunRecord, events: Sequence[Event], *, rounds: Callable[[], int]) -> str | None:
    """Why a run that nobody holds is left alone, or None: it is to be gone on with as soon as its jobs are done.

    `rounds` counts those that are measured. Somebody's own request is always met.
    """
    if record.resume_requested:
        return None
    mode = unattended_of(record, events)
    match record.status:
        case "parked" if mode is not Unattended.NEVER:
            pass
        case "interrupted" if mode is Unattended.INTERRUPTED:
            pass
        case "failed" if mode is Unattended.INTERRUPTED and _was_outage(events):
            pass
        case _:
            return "its settings leave it to you"
    before = [event.facts.get("rounds") for event in events if event.kind == GOES_ON][-IN_VAIN:]
    if record.status != "parked" and len(before) == IN_VAIN and before == [rounds()] * IN_VAIN:
        return f"it was gone on with {IN_VAIN} times, and came no further"
    return None


def _was_outage(events: Sequence[Event]) -> bool:
    """Whether what ended the run last was the service or its target being away."""
    telling = [event.kind for event in events if event.kind in (GOES_ON, OUTAGE)]
    return bool(telling) and telling[-1] == OUTAGE
