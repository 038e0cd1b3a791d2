"""Begin a run: find it or describe a new one, and settle seed, target and circuits, once, before a session is opened.

It needs neither Prefect nor the service: a caller begins a run before either is started, a worker in its flow run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from hybridloop.azure.targets import Target, recorded_target
from hybridloop.azure.targets.offered import find_offered_target
from hybridloop.azure.workspace import identity_of
from hybridloop.data.statuses import PREPARING
from hybridloop.errors import HybridloopError, InputError
from hybridloop.estimate.bought import too_small_caps
from hybridloop.journal import open_journal
from hybridloop.journal.claimed_run import claim_run, how_to_resume
from hybridloop.preparation import prepare
from hybridloop.preparation.prepared import PreparedRun
from hybridloop.runs.claim import (
    FoundRun,
    RunRequest,
    algorithm_request,
    describe_run,
    find_run,
    in_workspace,
    withdraw_stop,
)
from hybridloop.runs.recorded import SIMULATED
from hybridloop.runs.result import RunResult
from hybridloop.runtime.json_cache import SIMULATIONS, restore_values, used_values
from hybridloop.runtime.stages import announce
from hybridloop.settings import ProblemText, RunSettings

RECORDED_AFTER_S = 1.0  # of its preparation: simulations and the choice of groups may take minutes

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunOrder:
    """Order of a caller: an algorithm on a problem; `sources` says where the settings were set.

    With `is_resume` a person states all settings of a run that exists, which may have ended.
    """

    algorithm: str
    problem: ProblemText
    settings: RunSettings
    run_key: str | None
    sources: Mapping[str, str] = field(default_factory=dict)
    is_resume: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Workspace of a run as far as its caller knows it: `identity` is None where only Prefect's server knows it.

    `find_target(name, is_resumed)` finds a target.
    """

    identity: Callable[[], Mapping[str, str]] | None
    find_target: Callable[[str, bool], Target]

    @classmethod
    def of(cls, workspace: Any) -> Place:
        """Return the place of the SDK's workspace."""
        return cls(lambda: identity_of(workspace), lambda name, _: find_offered_target(name, workspace))

    def locate(self, found: FoundRun) -> FoundRun:
        """Return a run in this workspace, if it is known. Raises InputError if it was started in another one."""
        return found if self.identity is None else in_workspace(found, self.identity())


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A run that lacks only a session: its record or description, its settings with its seed, and what it measures."""

    problem: ProblemText
    found: FoundRun
    settings: RunSettings
    prepared: PreparedRun


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that was begun before and has ended with a result."""

    found: FoundRun
    result: RunResult


def begin(
    order: RunOrder, place: Place, *, flow_run_id: str | None = None, by_person: bool = False
) -> BegunRun | EndedRun:
    """Begin a run: it is found or described, and all is settled that needs no session.

    `flow_run_id` is the flow run that the caller is in, which Prefect may have started again. A run that is begun
    `by_person` is one to resume, also if this process dies before it holds the run. Raises InputError, and for a person
    RunBusy if another process holds the run.
    """
    request = algorithm_request(
        order.algorithm,
        order.problem,
        order.settings,
        None,
        order.run_key,
        flow_run_id=flow_run_id,
        sources=order.sources,
        is_resume=order.is_resume,
    )
    found, settings = _find(request, order.settings, place, by_person=by_person)
    if found.result is not None:
        return EndedRun(found, RunResult.from_dict(found.result))
    announce("reading the problem, choosing its circuit")
    target = settled_target(found, settings.target, place)
    with _preparing(found, place) as known, used_values(SIMULATIONS) as simulations:
        seed, recorded = found.run.seed, found.recorded
        prepared = prepare(order.algorithm, order.problem, settings, seed, recorded=recorded, target=target)
    found = replace(known.found, simulations=simulations)
    if not found.is_begun and (warning := too_small_caps(prepared.algorithm, prepared.target, settings)):
        _log.warning("%s", warning)
    return BegunRun(order.problem, found.with_groupings(prepared.algorithm.groupings), settings, prepared)


@dataclass(slots=True)
class _Preparation:
    """A run while its circuit is prepared."""

    found: FoundRun


@contextmanager
def _preparing(found: FoundRun, place: Place) -> Iterator[_Preparation]:
    """Let the run of a block be in the journal after `RECORDED_AFTER_S`, so that it can be resumed.

    A new run is added, and held until the end of the block. One whose preparation raises InputError is deleted again.
    """
    preparation = _Preparation(found)
    if found.record is not None or place.identity is None:
        yield preparation
        return
    with ExitStack() as held:

        def add() -> None:
            try:
                journal = held.enter_context(open_journal())
                record = journal.add_run(place.locate(found).run)
                run = held.enter_context(claim_run(journal, record.uid))
                journal.set_status(run.lease, PREPARING, "its circuit is being prepared")
                preparation.found = replace(found, run=run.record)
            except HybridloopError as error:  # it is met again when the run begins
                _log.debug("run %s is not recorded yet: %s", found.run.key, error)

        timer = threading.Timer(RECORDED_AFTER_S, add)
        timer.daemon = True
        timer.start()
        try:
            yield preparation
        except BaseException as error:  # signals, too: Ctrl-C, SystemExit
            _end_timer(timer)
            if preparation.found.record is not None and isinstance(error, InputError):
                held.close()
                with open_journal() as journal:
                    journal.delete_runs([found.run.uid])
            elif preparation.found.record is not None:
                _log.warning("run %s is interrupted; to resume it: %s", found.run.key, how_to_resume(found.run))
            raise
        _end_timer(timer)
    if preparation.found.record is not None:
        with open_journal() as journal:
            preparation.found = replace(found, run=journal.run(found.run.uid))


def _end_timer(timer: threading.Timer) -> None:
    timer.cancel()
    timer.join()


def _find(request: RunRequest, asked: RunSettings, place: Place, *, by_person: bool) -> tuple[FoundRun, RunSettings]:
    """Return the run of a request, and its settings with its seed; one that has no record needs no journal yet."""
    if request.run_key is None and request.flow_run_id is None:
        found = describe_run(request)
        return found, asked.model_copy(update={"seed": found.run.seed})
    with open_journal() as journal:
        found = find_run(journal, request)
        if found.record is not None:
            place.locate(found)
            if found.result is None and found.extension is None and by_person:
                withdraw_stop(journal, found.record)
                found = replace(found, run=journal.run(found.run.uid))
            for simulated in [each.facts for each in journal.events(found.run.uid) if each.kind == SIMULATED]:
                restore_values(SIMULATIONS, simulated)
        return found, found.settings_of(journal, asked)


def is_current(found: FoundRun) -> bool:
    """Return whether no process has begun, held, ended or deleted the run since it was found."""
    before = found.record
    with open_journal() as journal:
        now = journal.run_by_key(found.run.key)
    if before is None or now is None:
        return now is before
    return (now.uid, now.epoch) == (before.uid, before.epoch)


def settled_target(found: FoundRun, name: str, place: Place) -> Target:
    """Return a run's target, for one that is resumed also if it is gone by now. Raises InputError."""
    is_resumed = found.record is not None
    try:
        return place.find_target(name, is_resumed)
    except InputError:
        if not is_resumed:
            raise
        return recorded_target(name)


def in_flow_run(found: FoundRun, flow_run_id: str | None) -> FoundRun:
    """Return it as begun by a flow run, if it is new."""
    return found if found.is_begun else replace(found, run=replace(found.run, flow_run_id=flow_run_id))
