"""Begin a run: find it or describe a new one, and settle seed, target and circuits, once, before a session is opened.

It needs neither a host nor the service: a caller begins a run before either is started, a worker in its flow run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hybridloop.azure.offered import find_offered_target
from hybridloop.azure.workspace import identity_of
from hybridloop.data.states import Move, after
from hybridloop.errors import HybridloopError, InputError
from hybridloop.journal import Journal, RunRecord, open_journal
from hybridloop.journal.held_run import hold_run, how_to_resume
from hybridloop.preparation import prepare
from hybridloop.runs.hold import ask_for_resume
from hybridloop.runs.order import RunOrder
from hybridloop.runs.recorded import SIMULATED
from hybridloop.runs.run import Run, describe_run, find_run, in_workspace, with_groupings
from hybridloop.runtime.json_cache import SIMULATIONS, restore_values, used_values
from hybridloop.runtime.leaves import leaf
from hybridloop.runtime.stages import announce
from hybridloop.targets import Target, recorded_target

if TYPE_CHECKING:
    from hybridloop.estimate import bought
else:
    bought = leaf("hybridloop.estimate.bought")

RECORDED_AFTER_S = 1.0  # of its preparation: simulations and the choice of groups may take minutes

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Workspace of a run as far as its caller knows it: `identity` is None where only Prefect's server knows it.

    `find_target(name, is_stored)` finds a target.
    """

    identity: Callable[[], Mapping[str, str]] | None
    find_target: Callable[[str, bool], Target]

    @classmethod
    def of(cls, workspace: Any) -> Place:
        """Return the place of the SDK's workspace."""
        return cls(lambda: identity_of(workspace), lambda name, _: find_offered_target(name, workspace))

    def locate(self, record: RunRecord) -> RunRecord:
        """Return a run in this workspace, if it is known. Raises InputError if it was started in another one."""
        return record if self.identity is None else in_workspace(record, self.identity())


def begin(order: RunOrder, place: Place) -> Run:
    """Begin an algorithm's run inside its host: it is found or described, and prepared. Raises InputError."""
    if order.run_key is None and order.flow_run_id is None:
        return prepared(describe_run(order), place)
    with open_journal() as journal:
        run = find(journal, order, place)
    return prepared(run, place)


def find_for_person(order: RunOrder | Callable[[Journal], RunOrder], place: Place) -> Run:
    """Find the run that a person asks for: it is one to resume, also if this process dies before it holds the run.

    An order may need the journal. Raises InputError, and RunBusy if another process holds the run.
    """
    if isinstance(order, RunOrder) and order.run_key is None:
        return describe_run(order)
    with open_journal() as journal:
        run = find(journal, order if isinstance(order, RunOrder) else order(journal), place)
        if run.record.is_stored and run.extension is None and not run.has_result:
            ask_for_resume(journal, run.record)
            run = replace(run, record=journal.run(run.record.uid))
    return run


def find(journal: Journal, order: RunOrder, place: Place) -> Run:
    """Find the run of an order with its recorded simulations, or describe it. Raises InputError."""
    run = find_run(journal, order)
    if run.record.is_stored:
        place.locate(run.record)
        for simulated in [each.facts for each in journal.events(run.record.uid) if each.kind == SIMULATED]:
            restore_values(SIMULATIONS, simulated)
    return run


def prepared(run: Run, place: Place) -> Run:
    """Return a run that lacks only a session: with what it measures. One with a result stays as it is."""
    if run.has_result:
        return run
    announce("reading the problem, choosing its circuit")
    target = settled_target(run.settings.target, place, is_stored=run.record.is_stored)
    order = run.order
    assert order.text is not None
    with _preparing(run.record, place) as recorded, used_values(SIMULATIONS) as simulations:
        found = prepare(
            order.algorithm, order.text, run.settings, run.record.seed, recorded=run.recorded, target=target
        )
    record = with_groupings(recorded(), found.algorithm.groupings)
    if run.settings.caps.count and not record.has_begun:
        if warning := bought.too_small_caps(found.algorithm, found.target, run.settings):
            _log.warning("%s", warning)
    return replace(run, record=record, simulations=simulations, prepared=found)


@contextmanager
def _preparing(new: RunRecord, place: Place) -> Iterator[Callable[[], RunRecord]]:
    """Let the run of a block be in the journal after `RECORDED_AFTER_S`, so that it can be resumed.

    A new run is added, and held until the end of the block. One whose preparation raises InputError is deleted again.
    The function that is yielded returns its record, after the block.
    """
    if new.is_stored or place.identity is None:
        yield lambda: new
        return
    added = list[RunRecord]()
    with ExitStack() as held:

        def add() -> None:
            try:
                located = place.locate(new)  # an invalid workspace is refused with nothing written
                journal = held.enter_context(open_journal())
                record = journal.add_run(located)
                holding = held.enter_context(hold_run(journal, record.uid))
                holding.state = after(holding.state, Move.PREPARE)
                journal.set_status(holding.lease, holding.state.value, "its circuit is being prepared")
                added.append(record)
            except HybridloopError as error:  # it is met again when the run begins
                _log.debug("run %s is not recorded yet: %s", new.key, error)

        timer = threading.Timer(RECORDED_AFTER_S, add)
        timer.daemon = True
        timer.start()
        try:
            yield lambda: _record_now(new.uid) if added else new
        except BaseException as error:  # signals, too: Ctrl-C, SystemExit
            _end_timer(timer)
            if added and isinstance(error, InputError):
                held.close()
                with open_journal() as journal:
                    journal.delete_runs([new.uid])
            elif added:
                _log.warning("run %s is interrupted; to resume it: %s", new.key, how_to_resume(new))
            raise
        _end_timer(timer)


def _record_now(uid: str) -> RunRecord:
    with open_journal() as journal:
        return journal.run(uid)


def _end_timer(timer: threading.Timer) -> None:
    timer.cancel()
    timer.join()


def settled_target(name: str, place: Place, *, is_stored: bool) -> Target:
    """Return a run's target, for one that is resumed also if it is gone by now. Raises InputError."""
    try:
        return place.find_target(name, is_stored)
    except InputError:
        if not is_stored:
            raise
        return recorded_target(name)
