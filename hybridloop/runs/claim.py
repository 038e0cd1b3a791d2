"""Find the run of a request, and hold it while a process works on it; the run key is an idempotency key.

Runs of algorithms, session flows and scripts differ in their requests alone.
"""

from __future__ import annotations

import logging
import re
import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from hybridloop.data.statuses import BEFORE_START, PREPARING, WITH_RESULT
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
from hybridloop.journal import Event, Journal, NewRun, RunRecord, check_key
from hybridloop.journal.claimed_run import ClaimedRun, claim_run, how_to_resume, new_run
from hybridloop.journal.revisions import EXTENDED
from hybridloop.runs.extension import Extension, extension_of
from hybridloop.runs.recorded import (
    BEFORE,
    GROUPINGS,
    LIMITS_GIVEN,
    RESUMED,
    SIMULATED,
    auto_resume_of,
    check_choices,
    flow_runs_of,
    given_later,
    limits_of,
    recorded_of,
    settings_of,
)
from hybridloop.runs.result import RunResult
from hybridloop.runs.statuses import status_after
from hybridloop.runs.summary import summary, title
from hybridloop.runtime.run_events import report
from hybridloop.runtime.signals import STORED_END
from hybridloop.settings import (
    LIMITS,
    NOTHING,
    AutoResume,
    ProblemText,
    Recorded,
    RunSettings,
    first_difference,
)

WORKSPACE = "workspace"  # part of what a request states
SESSION = "session"  # algorithm of scripts and session flows: only their own program knows their circuits
OUTAGE = "outage"  # event: the service, the target or the journal's server was away, and that ended the run
_REPORTED = ("value", "standard_error", "unit", "rounds", "shots")  # of a result
_OUTAGES = (ServiceBusy, ServiceUnreachable, TargetDown)
_SIGNALS = {  # by the name of their exceptions
    "KeyboardInterrupt": "ended by Ctrl-C",
    "TerminationSignal": "its process was told to end, as by a cancellation in Prefect",
}
_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9._-]+")
_UID_DIGITS = 8

S = TypeVar("S", bound=RunSettings)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request for a run.

    `stated` is what the journal records of it by part: "settings", and "problem", "parameters" or "workspace". A
    recorded run must have been started with the same, but for limits. `must_match` names further fields of the record
    that must agree. `name` begins a generated key. `seed` is the stated one; None: a new run draws one. `more` is
    recorded and not compared. With `is_resume` a person states all settings that the run is to have from now on, so
    that one which has ended goes on if they reach further.
    """

    algorithm: str
    problem: str
    target: str
    stated: Mapping[str, Mapping[str, Any]]
    name: str = ""
    run_key: str | None = None
    flow_run_id: str | None = None
    seed: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    must_match: Sequence[str] = ("algorithm",)
    is_resume: bool = False


def algorithm_request(
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    workspace: Mapping[str, str] | None,
    run_key: str | None = None,
    *,
    flow_run_id: str | None = None,
    sources: Mapping[str, str] | None = None,
    is_resume: bool = False,
) -> RunRequest:
    """Return the request for an algorithm's run; `workspace` identifies it without a secret (`identity_of`).

    Where that is None, `in_workspace` must follow. `sources` are the sources of the settings, for the record of a new
    run.
    """
    known = {} if workspace is None else {WORKSPACE: workspace}
    return RunRequest(
        algorithm,
        problem.name,
        settings.target,
        {
            "problem": problem.model_dump(mode="json"),
            "settings": settings.model_dump(mode="json"),
            **known,
        },
        name=_key_begin(algorithm, problem.name),
        run_key=run_key,
        flow_run_id=flow_run_id,
        seed=settings.seed,
        more={"sources": dict(sources or {})},
        is_resume=is_resume,
    )


def _key_begin(algorithm: str, problem: str) -> str:
    return f"{algorithm}-{_NOT_IN_A_KEY.sub('-', problem)[:60]}"


def generated_key(algorithm: str, problem: str, digits: str) -> str:
    """Return a key such as a run without one gets, that ends with these digits."""
    return f"{_key_begin(algorithm, problem)}-{digits}"


@dataclass(frozen=True, slots=True)
class FoundRun:
    """The run of a request: its record, or the description of a new run.

    `result` is the stored result of a finished run, else None. With `is_restart` Prefect started a flow run of this
    run again: no person asked for it, and the settings are the recorded ones. With `is_resume` they are those of the
    request. An `extension` lets a run that has ended go on. `recorded` is for its preparation, which has found
    `simulations`.
    """

    run: NewRun
    result: Mapping[str, Any] | None = None
    is_restart: bool = False
    is_resume: bool = False
    extension: Extension | None = None
    recorded: Recorded = NOTHING
    simulations: Mapping[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> RunRecord | None:
        """The record of a run that was started before, None for a new one."""
        return self.run if isinstance(self.run, RunRecord) else None

    @property
    def is_begun(self) -> bool:
        """True if a process has held the run in a flow run or a script before."""
        return self.record is not None and self.record.status != PREPARING

    @property
    def is_finished(self) -> bool:
        """True if the run has ended with a result, so that the journal has all its rounds."""
        return self.record is not None and self.record.status in WITH_RESULT

    def settings_of(self, journal: Journal, requested: S) -> S:
        """Return the settings of the run with its seed: the recorded ones, with the limits that the request states."""
        seeded = requested.model_copy(update={"seed": self.run.seed})
        if self.record is None or self.is_resume:
            return seeded
        limits = {name: value for name in LIMITS if (value := getattr(requested, name)) is not None}
        recorded = settings_of(journal, self.record)
        return recorded.model_copy(update=limits)  # type: ignore[return-value]  # of the same algorithm

    def with_groupings(self, groupings: Sequence[str]) -> FoundRun:
        """Return it with the choice of measurement groups in the description of a new run."""
        if self.is_begun or not groupings:
            return self
        return replace(self, run=replace(self.run, versions={**self.run.versions, GROUPINGS: ", ".join(groupings)}))


def run_of_key(journal: Journal, key: str) -> RunRecord | None:
    """Return the run of a key, if there is one; a uid is no key. Raises InputError for an invalid key."""
    return journal.run_by_key(check_key(key))


def find_run(journal: Journal, request: RunRequest) -> FoundRun:
    """Find the run of the key, else the one that the same flow run started before it died, else describe a new one.

    Raises InputError where the run was started otherwise, in another workspace, or by a version with other choices.
    """
    record: RunRecord | None = None
    if request.run_key is not None:
        record = run_of_key(journal, request.run_key)
    elif request.flow_run_id is not None:
        record = journal.run_by_flow_run(request.flow_run_id)
    if record is not None:
        is_restart = request.flow_run_id is not None and request.flow_run_id in flow_runs_of(journal, record)
        events, extension = journal.events(record.uid), None
        if request.is_resume and not is_restart:
            extension = extension_of(record, events, request.stated["settings"])
        else:
            _check_same(record, request, events, is_restart=is_restart)
        if record.status in WITH_RESULT and extension is None:
            return FoundRun(record, record.result, is_restart)
        check_choices(record)
        recorded = recorded_of(record, events, is_extended=extension is not None)
        return FoundRun(record, None, is_restart, request.is_resume and not is_restart, extension, recorded)
    return describe_run(request)


def describe_run(request: RunRequest) -> FoundRun:
    """Describe a new run; nothing is written, and without a seed one is drawn."""
    uid = str(uuid.uuid4())
    seed = secrets.randbits(63) if request.seed is None else request.seed
    settings = dict(request.stated["settings"])
    if "seed" in settings:
        settings["seed"] = seed
    return FoundRun(
        new_run(
            uid,
            key=request.run_key or f"{request.name}-{uid[:_UID_DIGITS]}",
            algorithm=request.algorithm,
            problem=request.problem,
            target=request.target,
            seed=seed,
            settings={**request.stated, "settings": settings, **request.more},
            flow_run_id=request.flow_run_id,
        )
    )


def _check_same(record: RunRecord, request: RunRequest, events: Sequence[Event], *, is_restart: bool) -> None:
    """Raise InputError where the recorded run has other values than the request states.

    One that was extended has those of its extension, and those that it was started with.
    """
    later = given_later(events)
    for name in request.must_match:
        if getattr(record, name) != getattr(request, name):
            raise _started_otherwise(record, name)
    for part, now in request.stated.items():
        before = record.settings.get(part, {})
        if part == "settings":
            if is_restart:  # also if its deployment has others by now
                continue
            left_out = {*LIMITS, "seed", *(name for name, value in later.items() if now.get(name) == value)}
            now, before = ({k: v for k, v in each.items() if k not in left_out} for each in (now, before))
        if (differs := first_difference(before, now)) is not None:
            raise _started_otherwise(record, differs if part in ("settings", "parameters") else part)
    if request.seed not in (None, record.seed) and not is_restart:
        raise _started_otherwise(record, "seed")


def in_workspace(found: FoundRun, identity: Mapping[str, str]) -> FoundRun:
    """Return a run in the workspace of this identity. Raises InputError if it was started in another one."""
    if found.record is None:
        return replace(found, run=replace(found.run, settings={**found.run.settings, WORKSPACE: identity}))
    if first_difference(found.record.settings.get(WORKSPACE, {}), identity) is not None:
        raise _started_otherwise(found.record, WORKSPACE)
    return found


def _started_otherwise(record: RunRecord, field: str) -> InputError:
    return InputError(
        field,
        f"run {record.key!r} was started with another value",
        f"Give that value (hybridloop runs show {record.key}), or another run key.",
        NOTHING_SUBMITTED,
    )


@contextmanager
def claim(
    journal: Journal, found: FoundRun, *, limits: Mapping[str, Any] | None = None, flow_run_id: str | None = None
) -> Iterator[ClaimedRun]:
    """Hold the run for the block, and begin it if it is new; if an error ends the block, store how the run ends.

    A request to stop that was met, or that was made before a person started the run again, is withdrawn. `limits` are
    recorded where they differ from the run's. A run that was complete stays so if the error came before a new round,
    such as for a changed circuit. Raises RunBusy where another process holds the run, and JournalDamaged.
    """
    record = journal.add_run(found.run) if found.record is None else found.record
    if record.stop_requested and (record.status == "stopped" or not found.is_restart):
        withdraw_stop(journal, record)
    with claim_run(journal, record.uid) as run:
        is_complete = run.record.status in WITH_RESULT and found.extension is None
        rounds = journal.progress(run.uid).rounds if is_complete else None
        _begin_status(run, found.extension)
        try:
            if found.is_begun:
                _note_resumed(run, limits, flow_run_id)
            elif found.record is not None:
                journal.settle_run(run.lease, found.run)
            if found.simulations and not any(each.kind == SIMULATED for each in journal.events(run.uid)):
                _note(run, SIMULATED, found.simulations)
            yield run
        except BaseException as error:  # signals, too: Ctrl-C, SystemExit, Prefect's TerminationSignal
            _store_end(run, error, rounds)
            raise


def begin_extension(journal: Journal, found: FoundRun) -> None:
    """Let a run go on that has ended, for the next process that resumes it. Raises RunBusy, InputError."""
    with claim_run(journal, found.run.uid) as run:
        _begin_status(run, found.extension)
        _write_status(run, "interrupted", "its sweep wants more of it")


def withdraw_stop(journal: Journal, record: RunRecord) -> None:
    """Withdraw a request to stop a run that a person starts again. Raises RunBusy, JournalDamaged."""
    journal.release(journal.claim(record.uid))
    journal.request_resume(record.uid)


def _note_resumed(run: ClaimedRun, limits: Mapping[str, Any] | None, flow_run_id: str | None) -> None:
    """Record changed limits, which the next resume uses by default, the flow run, and the number of rounds so far."""
    if limits is not None and limits != limits_of(settings_of(run.journal, run.record)):
        run.journal.add_event(run.lease, LIMITS_GIVEN, limits)
    _note(run, RESUMED, {"flow_run": flow_run_id, "rounds": run.journal.progress(run.uid).rounds_complete})


def _store_end(run: ClaimedRun, error: BaseException, rounds_before: int | None) -> None:
    """Store the status of a run that an error ended; `rounds_before` is None unless the run was complete.

    A run whose end is stored keeps it: the error came after it, such as a Ctrl-C. The error's exit code is that of a
    refusal only if the run has submitted nothing.
    """
    with suppress(JournalError):
        if (stored := run.journal.run(run.uid).status) not in (*BEFORE_START, "running"):
            STORED_END.set(stored)
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
            is_stored = _write_status(run, status, reason)
        if not is_stored:
            status = "interrupted"  # as the run is shown from now on
        if isinstance(error, _OUTAGES) or (isinstance(error, JournalError) and error.is_outage):
            _note(run, OUTAGE, {"error": type(error).__name__})
        if status not in WITH_RESULT:
            log_resume_command(run, status)
            with suppress(JournalError):
                error.add_note(_resume_note(run, status))


def _begin_status(run: ClaimedRun, extension: Extension | None) -> None:
    """Write that a run is running, and that it is extended. Raises InputError if another process has extended it."""
    if extension is None:
        _write_status(run, "running", "")
        return
    if run.revision + 1 != extension.revision or run.record.status not in WITH_RESULT:
        problem = f"another process has let run {run.record.key!r} go on meanwhile"
        raise InputError("run", problem, f"See `hybridloop runs show {run.record.key}`.", NOTHING_SUBMITTED)
    facts = extension.facts(run.record, len(run.journal.sessions(run.uid)))
    run.journal.set_status(run.lease, "running", "", event=(EXTENDED, facts))
    _report_status(run, "running", "", None)


def write_end(run: ClaimedRun, status: str, reason: str, result: RunResult | None = None) -> None:
    """Store the end of a run; a failure is only a warning, because all measurements are stored already.

    Raises JournalGone, because then they are not, and LeaseLost, because then the run is another process's.
    """
    if _write_status(run, status, reason, result):
        STORED_END.set(status)


def _write_status(run: ClaimedRun, status: str, reason: str, result: RunResult | None = None) -> bool:
    """Store a status and report it; return whether it is stored."""
    is_stored = True
    try:
        run.journal.set_status(run.lease, status, reason, None if result is None else result.as_dict())
    except HybridloopError as error:
        _log.warning("the journal could not store that the run is %s: %s", status, error)
        if isinstance(error, JournalGone | LeaseLost):
            raise
        is_stored = False
    _report_status(run, status, reason, result)
    return is_stored


def _report_status(run: ClaimedRun, status: str, reason: str, result: RunResult | None) -> None:
    """Report the beginning of a run, or its end."""
    key = run.record.key
    facts: dict[str, Any] = {} if result is None else {name: getattr(result, name) for name in _REPORTED}
    if status == "running":
        kind, text = ("run.resumed", "is resumed") if run.record.has_begun else ("run.started", "starts")
        if kind == "run.resumed":
            facts[BEFORE] = flow_runs_of(run.journal, run.record)[-1]
    else:
        kind, text = f"run.{'completed' if status in WITH_RESULT else status}", f"is {status}"
    message = f"run {key} {text}" + f": {reason}" * bool(reason)
    facts |= {"run": key, "status": status, "reason": reason}
    if kind == "run.completed":  # what a notification says; scripts have no result
        facts["title"] = f"{key} is {status}" if result is None else title(result)
        facts["text"] = message if result is None else "\n".join(summary(result))
    report(kind, message, facts)
    if status == "parked" and auto_resume_of(run.record, run.journal.events(run.record.uid)) is AutoResume.NEVER:
        report("run.attention", f"{message}. To resume it: {how_to_resume(run.record)}", facts)


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


def _reason(error: BaseException) -> str:
    if isinstance(error, HybridloopError):
        return str(error)
    if not isinstance(error, Exception):
        return _SIGNALS.get(type(error).__name__, f"ended by {type(error).__name__}")
    return f"ended by {type(error).__name__}" + f": {error}" * bool(str(error))
