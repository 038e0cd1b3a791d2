"""Hold the lease of a run while a process works on it, and store the status in which it ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from hybridloop.data.statuses import WITH_RESULT
from hybridloop.errors import (
    HybridloopError,
    JournalError,
    JournalGone,
    LeaseLost,
    ServiceBusy,
    ServiceUnreachable,
    TargetDown,
)
from hybridloop.journal import Journal, NewRun, RunRecord
from hybridloop.journal.claimed_run import ClaimedRun, claim_run, how_to_resume
from hybridloop.runs.lookup import (
    LIMITS_GIVEN,
    RESUMED,
    check_choices,
    limits_of,
    run_of_key,
    settings_of,
    started_otherwise,
)
from hybridloop.runs.statuses import status_after
from hybridloop.runtime.run_events import report
from hybridloop.settings import first_difference

OUTAGE = "outage"  # event: the service or the target was unavailable for longer than a run waits
_REPORTED = ("value", "standard_error", "unit", "rounds", "shots")  # of a result
_OUTAGES = (ServiceBusy, ServiceUnreachable, TargetDown)

_SIGNALS = {  # by the name of their exceptions
    "KeyboardInterrupt": "ended by Ctrl-C",
    "TerminationSignal": "its process was told to end, as by a cancellation in Prefect",
}

_log = logging.getLogger(__name__)


@contextmanager
def start_or_resume(
    journal: Journal, run: NewRun | RunRecord, limits: Mapping[str, Any], flow_run_id: str | None
) -> Iterator[ClaimedRun]:
    """Hold a new or a resumed run under these limits for the block. Raises RunBusy where another process holds it."""
    record = run if isinstance(run, RunRecord) else journal.add_run(run)
    if record.status == "stopped" and record.stop_requested:  # the request was met
        journal.request_resume(record.uid)
    with hold_run(journal, record) as held:
        if record is run:
            _note_limits(held, limits)
            note_resumed(held, flow_run_id)
        yield held


@contextmanager
def hold_script_run(journal: Journal, run: NewRun) -> Iterator[ClaimedRun]:
    """Hold a script's run by its key for the block; a new run if the journal has none of that key.

    Raises InputError where the run of that key has other settings, RunBusy where another process holds it.
    """
    if (record := run_of_key(journal, run.key)) is None:
        record = journal.add_run(run)
    for name in ("algorithm", "target", "seed"):
        if getattr(record, name) != getattr(run, name):
            raise started_otherwise(record, name)
    if record.settings["workspace"] != run.settings["workspace"]:
        raise started_otherwise(record, "workspace")
    if (differs := first_difference(record.settings["settings"], run.settings["settings"])) is not None:
        raise started_otherwise(record, differs)
    if record.status not in WITH_RESULT:
        check_choices(record)
    withdraw_stop(journal, record)
    with hold_run(journal, record) as held:
        yield held
        with suppress(LeaseLost):  # the script has its results
            write_status(held, "measured", "the script reached the end of its session")


def withdraw_stop(journal: Journal, record: RunRecord) -> None:
    """Withdraw a request to stop a run that is resumed. Raises RunBusy, JournalDamaged."""
    journal.release(journal.claim(record.uid))
    journal.request_resume(record.uid)


@contextmanager
def hold_run(journal: Journal, record: RunRecord) -> Iterator[ClaimedRun]:
    """Hold a run of the journal for the block; if an error ends the block, store the run's status and its reason.

    A run that was complete stays so if the error came before a new round, such as for a changed circuit.
    """
    with claim_run(journal, record.uid) as run:
        rounds = journal.progress(run.uid).rounds if run.record.status in WITH_RESULT else None
        write_status(run, "running", "")
        try:
            yield run
        except BaseException as error:  # signals, too: Ctrl-C, SystemExit, Prefect's TerminationSignal
            status, reason = status_after(error), _reason(error)
            with suppress(JournalError):
                if rounds is not None and journal.progress(run.uid).rounds == rounds:
                    status, reason = run.record.status, run.record.reason
            with suppress(LeaseLost):  # then its new owner stores how it ends
                with suppress(JournalGone):
                    write_status(run, status, reason)
                if isinstance(error, _OUTAGES):
                    _note(run, OUTAGE, {"error": type(error).__name__})
                if status not in WITH_RESULT:
                    log_resume_command(run, status)
                    with suppress(JournalError):
                        error.add_note(_resume_note(run, status))
            raise


def write_status(run: ClaimedRun, status: str, reason: str, result: Mapping[str, Any] | None = None) -> None:
    """Store the status of a run; a failure is only a warning, because all measurements are stored already.

    Raises JournalGone, because then they are not, and LeaseLost, because then the run is another process's.
    """
    try:
        run.journal.set_status(run.lease, status, reason, result)
    except HybridloopError as error:
        _log.warning("the journal could not store that the run is %s: %s", status, error)
        if isinstance(error, JournalGone | LeaseLost):
            raise
    _report_status(run, status, reason, result or {})


def _report_status(run: ClaimedRun, status: str, reason: str, result: Mapping[str, Any]) -> None:
    """Report the beginning of a run, or its end."""
    key, facts = run.record.key, {name: result[name] for name in _REPORTED if name in result}
    if status == "running":
        kind, text = ("run.started", "starts") if run.record.status == "created" else ("run.resumed", "is resumed")
    else:
        kind, text = f"run.{'completed' if status in WITH_RESULT else status}", f"is {status}"
    facts |= {"run": key, "status": status, "reason": reason}
    report(kind, f"run {key} {text}" + f": {reason}" * bool(reason), facts)


def note_resumed(run: ClaimedRun, flow_run_id: str | None) -> None:
    """Record the flow run that resumes a run, and the number of rounds measured so far."""
    rounds = run.journal.progress(run.uid).rounds_complete
    _note(run, RESUMED, {"flow_run": flow_run_id, "rounds": rounds})


def log_resume_command(run: ClaimedRun, status: str) -> None:
    """Log the command that resumes a run that ended early, or what else does."""
    _log.warning("run %s is %s; to resume it: %s", run.record.key, status, how_to_resume(run.record))


def _resume_note(run: ClaimedRun, status: str) -> str:
    """Return what is left of a run that ended early, to stand below the traceback. Raises JournalError."""
    may_be_open = [row.id for row in run.journal.sessions(run.uid) if row.ended_at is None]
    closed = "its session is closed"
    if may_be_open:
        closed = f"session {may_be_open[-1]} may be open (to close it: hybridloop sessions close-orphans)"
    key, how = run.record.key, how_to_resume(run.record)
    return f"Run {key} is {status}: {closed}, and all that was measured is kept. To resume it: {how}"


def _note(run: ClaimedRun, kind: str, facts: Mapping[str, Any]) -> None:
    try:
        run.journal.add_event(run.lease, kind, facts)
    except HybridloopError as error:
        _log.warning("the journal could not store the event %r: %s", kind, error)


def _note_limits(run: ClaimedRun, limits: Mapping[str, Any]) -> None:
    """Record changed limits, which the next resume uses by default."""
    if limits != limits_of(settings_of(run.journal, run.record)):
        run.journal.add_event(run.lease, LIMITS_GIVEN, limits)


def _reason(error: BaseException) -> str:
    if isinstance(error, HybridloopError):
        return str(error)
    if not isinstance(error, Exception):
        return _SIGNALS.get(type(error).__name__, f"ended by {type(error).__name__}")
    return f"ended by {type(error).__name__}" + f": {error}" * bool(str(error))
