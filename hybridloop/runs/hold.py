"""Hold a run while a process works on it, and write each of its moves: its begin, its extension, and its end.

Every run begins and ends here: those of algorithms, of session flows and of scripts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from hybridloop.budget.cost_summary import summarize_charges
from hybridloop.data.states import Move, State, Who, after, end_of, state_of
from hybridloop.data.statuses import WITH_RESULT
from hybridloop.errors import (
    NOTHING_SUBMITTED,
    HybridloopError,
    InputError,
    JournalError,
    JournalGone,
    LeaseLost,
    ServiceBusy,
    ServiceUnreachable,
    TargetDown,
)
from hybridloop.journal import Journal, RunRecord
from hybridloop.journal.held_run import HeldRun, how_to_resume
from hybridloop.journal.held_run import hold_run as hold_lease
from hybridloop.journal.revisions import EXTENDED, WITHDRAWN, extensions_in, revision_of_stream
from hybridloop.results.result import RunResult
from hybridloop.results.result_text import charged_text, cost_text
from hybridloop.results.statuses import status_after
from hybridloop.results.summary import summary, title
from hybridloop.runs.changes import Extension, check_can_resume
from hybridloop.runs.recorded import (
    BEFORE,
    LIMITS_GIVEN,
    RESUMED,
    SIMULATED,
    auto_resume_of,
    flow_runs_of,
    limits_of,
    settings_of,
)
from hybridloop.runs.run import Run
from hybridloop.runtime.messages import level_of
from hybridloop.runtime.run_events import report
from hybridloop.runtime.signals import STORED_END
from hybridloop.settings import AutoResume
from hybridloop.targets import recorded_target
from hybridloop.tasks.replay.recorded_steps import STEP

RUN_COMPLETED = "run.completed"  # event of a run that ends with a result
ENDS = frozenset({RUN_COMPLETED, "run.stopped"})  # events of which a flow run has one: results and heartbeats
OUTAGE = "outage"  # event: the service, the target or the journal's server was away, and that ended the run
_REPORTED = ("value", "standard_error", "unit", "rounds", "shots")  # of a result
_OUTAGES = (ServiceBusy, ServiceUnreachable, TargetDown)
_SIGNALS = {  # by the name of their exceptions
    "KeyboardInterrupt": "ended by Ctrl-C",
    "TerminationSignal": "its process was told to end, as by a cancellation in Prefect",
}

_log = logging.getLogger(__name__)


@contextmanager
def hold(
    journal: Journal, found: Run, limits: Mapping[str, Any] | None = None, flow_run_id: str | None = None
) -> Iterator[HeldRun]:
    """Hold the run for the block, and begin it if it is new; if an error ends the block, store how the run ends.

    A request to stop that was met, or that was made before a person started the run again, is withdrawn. `limits` are
    recorded where they differ from the run's. A run that was complete stays so if the error came before a new round,
    such as for a changed circuit. Raises RunBusy where another process holds the run, and JournalDamaged.
    """
    described = found.record if found.record.has_begun else replace(found.record, flow_run_id=flow_run_id)
    record = described if described.is_stored else journal.add_run(described)
    if record.stop_requested and (record.state is State.STOPPED or found.who is not Who.PREFECT):
        ask_for_resume(journal, record)
    with hold_lease(journal, record.uid) as run:
        is_complete = run.state is State.ENDED and found.extension is None
        rounds = journal.progress(run.uid).rounds if is_complete else None
        _begin(run, found.extension)
        try:
            if record.has_begun:
                _note_resumed(run, limits, flow_run_id)
            elif found.record.is_stored:
                journal.settle_run(run.lease, described)
            if found.simulations and not any(each.kind == SIMULATED for each in journal.events(run.uid)):
                _note(run, SIMULATED, found.simulations)
            yield run
        except BaseException as error:  # signals, too: Ctrl-C, SystemExit, Prefect's TerminationSignal
            _store_end(run, error, rounds)
            raise


def begin_extension(journal: Journal, found: Run) -> None:
    """Extend a run for the next process that resumes it. Raises RunBusy, InputError."""
    with hold_lease(journal, found.record.uid) as run:
        _begin(run, found.extension)
        _write(run, Move.INTERRUPT, "interrupted", "its sweep wants more of it")


def ask_for_resume(journal: Journal, record: RunRecord) -> None:
    """Ask for a run to be resumed, in place of a request to stop it. Raises RunBusy, JournalDamaged, InputError.

    Its lease is taken and released, so that what was tried before to resume it does not count.
    """
    check_can_resume(record)
    journal.release(journal.take_lease(record.uid))
    journal.request_resume(record.uid)


def _note_resumed(run: HeldRun, limits: Mapping[str, Any] | None, flow_run_id: str | None) -> None:
    """Record changed limits, which the next resume uses by default, the flow run, and the number of rounds so far."""
    if limits is not None and limits != limits_of(settings_of(run.journal, run.record)):
        run.journal.add_event(run.lease, LIMITS_GIVEN, limits)
    _note(run, RESUMED, {"flow_run": flow_run_id, "rounds": run.journal.progress(run.uid).rounds_complete})


def _store_end(run: HeldRun, error: BaseException, rounds_before: int | None) -> None:
    """Store the status of a run that an error ended; `rounds_before` is None unless the run was complete.

    A run whose end is stored keeps it: the error came after it, such as a Ctrl-C. The error's exit code is that of a
    refusal only if the run has submitted nothing.
    """
    with suppress(JournalError):
        stored = run.journal.run(run.uid)
        if stored.has_begun and stored.state is not State.RUNNING:
            STORED_END.set(stored.status)
            return
    status, reason = status_after(error), _reason(error)
    with suppress(JournalError):
        if isinstance(error, HybridloopError) and error.is_refusal and run.journal.progress(run.uid).has_submitted:
            error.exit_code = HybridloopError.exit_code
    with suppress(JournalError):
        if rounds_before is not None and run.journal.progress(run.uid).rounds == rounds_before:
            status, reason = run.record.status, run.record.reason
    with suppress(LeaseLost):  # then its new owner stores how it ends
        is_stored = False
        with suppress(JournalGone):
            is_stored = _write(run, end_of(status), status, reason)
        if not is_stored:
            status = "interrupted"  # as the run is shown from now on
        if isinstance(error, _OUTAGES) or (isinstance(error, JournalError) and error.is_outage):
            _note(run, OUTAGE, {"error": type(error).__name__})
        if state_of(status) is not State.ENDED:
            log_resume_command(run, status)
            with suppress(JournalError):
                error.add_note(_resume_note(run, status))


def _begin(run: HeldRun, extension: Extension | None) -> None:
    """Write that a run is running, and that it is extended. Raises InputError if another process has extended it."""
    if extension is None:
        _write(run, Move.HOLD, State.RUNNING, "")
        return
    if run.revision + 1 != extension.revision or run.state is not State.ENDED:
        problem = f"another process has extended run {run.record.key!r} meanwhile"
        raise InputError("run", problem, f"See `hybridloop runs show {run.record.key}`.", NOTHING_SUBMITTED)
    facts = extension.facts(run.record, len(run.journal.sessions(run.uid)))
    _write(run, Move.EXTEND, State.RUNNING, "", event=(EXTENDED, facts))


def write_end(run: HeldRun, status: str, reason: str, result: RunResult | None = None) -> None:
    """Store the end of a run; a failure is only a warning, because all measurements are stored already.

    Raises JournalGone, because then they are not, and LeaseLost, because then the run is another process's.
    """
    if _write(run, end_of(status), status, reason, result):
        STORED_END.set(status)


def withdraw_if_empty(run: HeldRun, why: str) -> RunResult | None:
    """Take back the extension of a run that measured nothing, and return the result before it; None for another run.

    `why` says what ended it; empty where nothing was missing.
    """
    revision, events = run.revision, run.journal.events(run.uid)
    if revision == 1 or any(event.kind == STEP for event in events[extensions_in(events)[-1] :]):
        return None
    if any(revision_of_stream(each.stream) == revision for each in run.journal.rounds(run.uid)):
        return None
    facts = run.extensions[-1].facts
    before, result = facts["before"], RunResult.from_dict(facts["before"]["result"])
    names, why = ", ".join(facts["settings"]), why or "the run has that already"
    _log.warning("run %s: nothing was measured for %s, and its result stays: %s", run.record.key, names, why)
    _write(run, end_of(before["status"]), before["status"], before["reason"], result, event=(WITHDRAWN, {}))
    STORED_END.set(before["status"])
    return result


def _write(
    run: HeldRun,
    move: Move,
    status: str,
    reason: str,
    result: RunResult | None = None,
    event: tuple[str, Mapping[str, Any]] | None = None,
) -> bool:
    """Store the status that a move of the run gives it, and report it; return whether it is stored."""
    to = after(run.state, move)
    if to is State.RUNNING:
        run.state = to
    is_stored = True
    try:
        values = None if result is None else result.as_dict()
        run.journal.set_status(run.lease, str(status), reason, values, event=event, shown_in=_shown_in(run, to))
    except HybridloopError as error:
        _log.log(level_of(error), "the journal could not store that the run is %s: %s", status, error)
        if isinstance(error, JournalGone | LeaseLost) or event is not None:
            raise
        is_stored = False
    run.state = to if is_stored else run.state
    _report(run, status, reason, result)
    return is_stored


def _shown_in(run: HeldRun, to: State) -> tuple[str, int, bool] | None:
    """Return the flow run that shows the end of a run, with its start number, and whether its user cancelled it."""
    shown = run.shown_in
    if shown is None or to is State.RUNNING:
        return None
    shown.cancelled = shown.cancellation.is_set()
    return shown.flow_run, shown.starts, shown.cancelled


def _report(run: HeldRun, status: str, reason: str, result: RunResult | None) -> None:
    """Report the beginning of a run, or its end."""
    key = run.record.key
    facts = facts_of_end(key, status, reason, result)
    if status != State.RUNNING and "cost" not in facts:
        with suppress(JournalError):
            cost = summarize_charges(run.journal.charges(run.uid), recorded_target(run.record.target))
            facts["cost"] = charged_text(
                cost.billed, cost.reserved, has_jobs=cost.jobs > 0, is_local=run.record.is_local
            )
    if status == State.RUNNING:
        kind, text = ("run.resumed", "is resumed") if run.record.has_begun else ("run.started", "starts")
        if kind == "run.resumed":
            facts[BEFORE] = flow_runs_of(run.journal, run.record)[-1]
    else:
        kind, text = RUN_COMPLETED if state_of(status) is State.ENDED else f"run.{status}", f"is {status}"
    message = f"run {key} {text}" + f": {reason}" * bool(reason)
    report(kind, message, facts)
    if status == "parked" and auto_resume_of(run.record, run.journal.events(run.record.uid)) is AutoResume.NEVER:
        report("run.attention", f"{message}. To resume it: {how_to_resume(run.record)}", facts)


def facts_of_end(key: str, status: str, reason: str, result: RunResult | None) -> dict[str, Any]:
    """Return the facts of the event of a run's begin or end; with a result also the text of its message."""
    facts: dict[str, Any] = {} if result is None else {name: getattr(result, name) for name in _REPORTED}
    facts |= {"run": key, "status": status, "reason": reason}
    if status in WITH_RESULT:  # scripts and session flows have no result
        message = f"run {key} is {status}" + f": {reason}" * bool(reason)
        facts["title"] = f"{key} is {status}" if result is None else title(result)
        facts["text"] = message if result is None else "\n".join(summary(result))
    if result is not None:
        facts["cost"] = cost_text(result)
    return facts


def refuse(run: HeldRun, reason: str) -> None:
    """Write that the input of a run was refused, before anything was submitted."""
    _write(run, Move.REFUSE, State.REFUSED, reason)


def log_resume_command(run: HeldRun, status: str) -> None:
    """Log the command that resumes a run that ended early, or what else does."""
    _log.warning("run %s is %s; to resume it: %s", run.record.key, status, how_to_resume(run.record))


def _resume_note(run: HeldRun, status: str) -> str:
    """Return what is left of a run that ended early, to stand below the traceback. Raises JournalError."""
    may_be_open = [row.id for row in run.journal.sessions(run.uid) if row.ended_at is None]
    closed = "its session is closed"
    if may_be_open:
        closed = f"session {may_be_open[-1]} may be open (to close it: hybridloop sessions close-orphans)"
    key, how = run.record.key, how_to_resume(run.record)
    return f"Run {key} is {status}: {closed}, and all that was measured is kept. To resume it: {how}"


def _note(run: HeldRun, kind: str, facts: Mapping[str, Any]) -> None:
    try:
        run.journal.add_event(run.lease, kind, facts)
    except HybridloopError as error:
        _log.log(level_of(error), "the journal could not store the event %r: %s", kind, error)


def _reason(error: BaseException) -> str:
    if isinstance(error, HybridloopError):
        return str(error)
    if not isinstance(error, Exception):
        return _SIGNALS.get(type(error).__name__, f"ended by {type(error).__name__}")
    return f"ended by {type(error).__name__}" + f": {error}" * bool(str(error))
