"""The run that a flow run goes on with: found in the journal, or begun there; however it ends, that is written down."""

from __future__ import annotations

import logging
import re
import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hybridloop.errors import (
    HybridloopError,
    InputError,
    ServiceBusy,
    ServiceUnreachable,
    TargetDown,
)
from hybridloop.flows.refusals import refusal
from hybridloop.flows.settings import LIMITS, SETTINGS, ProblemText, RunSettings, first_difference
from hybridloop.flows.statuses import status_after
from hybridloop.sessions.journal import Event, Journal, NewRun, RunRecord, check_key
from hybridloop.sessions.policy import cautions
from hybridloop.sessions.run import ClaimedRun, claimed, new_run

if TYPE_CHECKING:
    from hybridloop.sessions.session import OpenSession

FINISHED = frozenset({"converged", "finished"})
_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9._-]+")
_UID_DIGITS = 8
LIMITS_GIVEN = "limits"  # an event: all limits, of which some are others from then on
GOES_ON = "goes on"  # an event: in which flow run, and how many rounds were measured by then
OUTAGE = "outage"  # an event: the service or the target was away for longer than a run waits
_OUTAGES = (ServiceBusy, ServiceUnreachable, TargetDown)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a flow run was called for; `workspace` says where (`identity_of`), without a secret.

    `drawn` is the seed of a new run whose settings have none, where the caller has drawn it already. `sources` says
    where settings were set, for a new run's record.
    """

    algorithm: str
    problem: ProblemText
    settings: RunSettings
    workspace: Mapping[str, str]
    run_key: str | None = None
    flow_run_id: str | None = None
    drawn: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to do: `record` is the run to go on with, None for a new one; `settings` have their seed."""

    wanted: Wanted
    record: RunRecord | None
    settings: RunSettings

    @property
    def seed(self) -> int:
        """What the local service samples by, and a random start is drawn from."""
        assert self.settings.seed is not None
        return self.settings.seed

    @property
    def result(self) -> Mapping[str, Any] | None:
        """The result of a run that has ended well: nothing is left to do."""
        return self.record.result if self.record is not None and self.record.status in FINISHED else None


def find_run(journal: Journal, wanted: Wanted) -> Found:
    """The run of the key, else the one that this flow run began before it died, else a new one.

    Raises InputError where the run of that key has other settings, or was begun in another workspace.
    """
    record = _record_of(journal, wanted)
    if record is None:
        drawn = secrets.randbits(63) if wanted.drawn is None else wanted.drawn
        return Found(wanted, None, _with_seed(wanted.settings, drawn))
    return Found(wanted, record, _agreed(journal, record, wanted))


def run_of_key(journal: Journal, key: str) -> RunRecord | None:
    """The run of a key, if there is one; a uid is none. Raises InputError for what is no key."""
    return journal.run_of_key(check_key(key))


def settings_of(journal: Journal, record: RunRecord) -> RunSettings:
    """The settings that a run goes on with: its own, with the limits that it was last given.

    Raises InputError where they can no longer be had.
    """
    return settings_after(record, journal.events(record.uid))


def settings_after(record: RunRecord, events: Sequence[Event]) -> RunSettings:
    """The same, by the run's events."""
    recorded = {**record.settings["settings"], **limits_given(events)}
    try:
        return SETTINGS[record.algorithm].model_validate(recorded)
    except ValidationError as error:  # a plug-in of the time, or another version's setting
        found = refusal(error, SETTINGS[record.algorithm])
        problem = f"run {record.key!r} was begun with {found.field} {found.problem}"
        raise InputError("run", problem, "Install what it was begun with, then go on.") from error


def limits_given(events: Sequence[Event]) -> Mapping[str, Any]:
    """All limits as they were given last to a run that was gone on with; none where they were left as they were."""
    given = [event.facts for event in events if event.kind == LIMITS_GIVEN]
    return given[-1] if given else {}


def problem_of(record: RunRecord) -> ProblemText:
    """The problem that a run was begun for."""
    return ProblemText.model_validate(record.settings["problem"])


@contextmanager
def run_of_flow(journal: Journal, found: Found) -> Iterator[ClaimedRun]:
    """Hold the run, begun now if it is new. What ends the block is written down, so that the run can be gone on with.

    Raises RunBusy where another process holds it.
    """
    record = found.record or journal.add_run(_new(found))
    if record.status == "stopped" and record.stop_requested:  # the request was met
        journal.request_resume(record.uid)
    with held_run(journal, record) as run:
        if found.record is not None:
            _note_limits(run, found)
            note_going_on(run, found.wanted.flow_run_id)
        yield run


@contextmanager
def run_of_script(journal: Journal, begun: NewRun) -> Iterator[ClaimedRun]:
    """Hold the run of that key, begun now if there is none, for a script that says itself what it measures.

    Raises InputError where the run of that key was begun otherwise, RunBusy where another process holds it.
    """
    if (record := run_of_key(journal, begun.key)) is None:
        record = journal.add_run(begun)
    for name in ("algorithm", "target", "seed"):
        if getattr(record, name) != getattr(begun, name):
            raise _other(record, name)
    if record.settings["workspace"] != begun.settings["workspace"]:
        raise _other(record, "workspace")
    if (told := first_difference(record.settings["settings"], begun.settings["settings"])) is not None:
        raise _other(record, told)
    go_on(journal, record)
    with held_run(journal, record) as run:
        yield run
        write_status(run, "finished", "the script came to the end of its session")


def go_on(journal: Journal, record: RunRecord) -> None:
    """Take back a request to stop, before a run that nobody holds is gone on with. Raises RunBusy, JournalDamaged."""
    journal.release(journal.claim(record.uid))
    journal.request_resume(record.uid)


@contextmanager
def held_run(journal: Journal, record: RunRecord) -> Iterator[ClaimedRun]:
    """Hold a run of the journal, and write down what ends the block."""
    with claimed(journal, record.uid) as run:
        write_status(run, "running", "")
        try:
            yield run
        except BaseException as error:  # signals, too: Ctrl-C, SystemExit, Prefect's TerminationSignal
            status = status_after(error)
            write_status(run, status, _reason(error))
            if isinstance(error, _OUTAGES):
                _note(run, OUTAGE, {"error": type(error).__name__})
            say_how_to_go_on(run, status)
            raise


def note_going_on(run: ClaimedRun, flow_run_id: str | None) -> None:
    """Write down in which flow run a run is gone on with, and how far it was."""
    rounds = run.journal.progress(run.uid).rounds_complete
    _note(run, GOES_ON, {"flow_run": flow_run_id, "rounds": rounds})


def flow_runs_of(journal: Journal, record: RunRecord) -> list[str | None]:
    """The ids of the flow runs that began a run and went on with it, in order; None for none of Prefect's."""
    since = [event.facts["flow_run"] for event in journal.events(record.uid) if event.kind == GOES_ON]
    return [record.flow_run_id, *since]


def say_how_to_go_on(run: ClaimedRun, status: str) -> None:
    """A line for whoever sees the run end early."""
    key = run.record.key
    _log.warning("run %s is %s; to go on with it: hybridloop runs resume %s", key, status, key)


def _reason(error: BaseException) -> str:
    if isinstance(error, HybridloopError):
        return str(error)
    said = f": {error}" if isinstance(error, Exception) and str(error) else ""
    return f"ended by {type(error).__name__}{said}"


def session_of_run(workspace: Any, settings: RunSettings, run: ClaimedRun) -> AbstractContextManager[OpenSession]:
    """The session in which a run goes on, as its settings say."""
    # these import the compiler, which the check of a caller's settings must not wait for
    from hybridloop.sessions.keeping import Keeping
    from hybridloop.sessions.session import open_session

    for caution in cautions(settings.failure):
        _log.warning("%s", caution)
    return open_session(
        workspace,
        settings.target,
        run=run,
        name=run.record.key,
        policy=settings.failure,
        keeping=Keeping(settings.keep_alive, settings.idle_rule, settings.hold),
        caps=settings.caps,
        detach_after_s=settings.detach_after,
        cancel_in_flight=settings.cancel_in_flight,
        debias=settings.debias,
    )


def write_status(run: ClaimedRun, status: str, reason: str, result: Mapping[str, Any] | None = None) -> None:
    """Write down how the run stands; where that can't be done, a warning: what was measured is in the journal."""
    try:
        run.journal.set_status(run.lease, status, reason, result)
    except HybridloopError as error:
        _log.warning("that the run is %s could not be written down: %s", status, error)


def _note(run: ClaimedRun, kind: str, facts: Mapping[str, Any]) -> None:
    try:
        run.journal.note(run.lease, kind, facts)
    except HybridloopError as error:
        _log.warning("that the run has the event %r could not be written down: %s", kind, error)


def _record_of(journal: Journal, wanted: Wanted) -> RunRecord | None:
    if wanted.run_key is not None:
        return run_of_key(journal, wanted.run_key)
    return None if wanted.flow_run_id is None else journal.run_of_flow(wanted.flow_run_id)


def _with_seed(settings: RunSettings, seed: int) -> RunSettings:
    return settings if settings.seed is not None else settings.model_copy(update={"seed": seed})


def _agreed(journal: Journal, record: RunRecord, wanted: Wanted) -> RunSettings:
    """The recorded settings, with the limits that were asked for now."""
    asked, recorded = _described(wanted, _with_seed(wanted.settings, record.seed)), record.settings
    if record.algorithm != wanted.algorithm:
        raise _other(record, "algorithm")
    # a flow run that is started again has the settings that it had, whatever its deployment may set by now
    is_again = wanted.flow_run_id is not None and wanted.flow_run_id in flow_runs_of(journal, record)
    for part in ("problem", "workspace") if is_again else ("problem", "settings", "workspace"):
        one, other = ({name: value for name, value in each[part].items()} for each in (recorded, asked))
        if part == "settings":  # what there was no setting for when the run was begun was as the default is
            one = {**SETTINGS[record.algorithm]().model_dump(mode="json"), **one}
        for limit in LIMITS if part == "settings" else ():
            one.pop(limit, None)
            other.pop(limit, None)
        if (name := first_difference(one, other)) is not None:
            raise _other(record, name if part == "settings" else part)
    settings = settings_of(journal, record)
    given = {name: getattr(wanted.settings, name) for name in LIMITS}
    return settings.model_copy(update={name: value for name, value in given.items() if value is not None})


def _other(record: RunRecord, field: str) -> InputError:
    return InputError(
        field,
        f"run {record.key!r} was begun with another one",
        f"Give what it was begun with (hybridloop runs show {record.key}), or another run key.",
    )


def _described(wanted: Wanted, settings: RunSettings) -> dict[str, Any]:
    return {
        "problem": wanted.problem.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "workspace": dict(wanted.workspace),
    }


def _new(found: Found) -> NewRun:
    wanted, uid = found.wanted, str(uuid.uuid4())
    name = _NOT_IN_A_KEY.sub("-", wanted.problem.name)[:60]
    return new_run(
        uid,
        key=wanted.run_key or f"{wanted.algorithm}-{name}-{uid[:_UID_DIGITS]}",
        algorithm=wanted.algorithm,
        problem=wanted.problem.name,
        target=found.settings.target,
        seed=found.seed,
        settings={**_described(wanted, found.settings), "sources": dict(wanted.sources)},
        flow_run_id=wanted.flow_run_id,
    )


def _note_limits(run: ClaimedRun, found: Found) -> None:
    """Keep limits that are new, so that the next one to go on with the run has them without being told."""
    now = {name: found.settings.model_dump(mode="json")[name] for name in LIMITS}
    before = settings_of(run.journal, run.record).model_dump(mode="json")
    if any(before[name] != value for name, value in now.items()):
        run.journal.note(run.lease, LIMITS_GIVEN, now)
