"""A run before a process holds it: found by its key or its flow run, or described; the run key is an idempotency key.

Runs of algorithms, session flows and scripts differ in their orders alone.
"""

from __future__ import annotations

import logging
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hybridloop.data.states import State, Who
from hybridloop.descriptions import ALGORITHMS
from hybridloop.journal import Event, Journal, RunRecord, check_key
from hybridloop.journal.held_run import new_run
from hybridloop.runs.changes import Extension, changed_settings, judge, started_otherwise
from hybridloop.runs.order import WORKSPACE, RunOrder, algorithm_order, generated_key
from hybridloop.runs.recorded import (
    GROUPINGS,
    check_choices,
    current_settings,
    flow_runs_of,
    problem_of,
    recorded_of,
    settings_after,
)
from hybridloop.settings import LIMITS, NOTHING, Recorded, RunSettings, first_difference

_UID_DIGITS = 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """A run, and what is known of it until a process holds it.

    `record` is that of the journal, or describes a new run. `settings` have its seed. `who` brings it into this
    process. An `extension` takes one that has ended further. `recorded` is for its preparation, which has found
    `simulations` and made `prepared` (`hybridloop.preparation.prepared.Prepared`) of it. With `has_result` it has
    ended, and there is nothing to do.
    """

    order: RunOrder
    record: RunRecord
    settings: RunSettings
    who: Who
    extension: Extension | None = None
    recorded: Recorded = NOTHING
    simulations: Mapping[str, Any] = field(default_factory=dict)
    prepared: Any = None
    has_result: bool = False


def with_groupings(record: RunRecord, groupings: Sequence[str]) -> RunRecord:
    """Return the record of a run that has not begun with the choice of its measurement groups."""
    if record.has_begun or not groupings:
        return record
    return replace(record, versions={**record.versions, GROUPINGS: ", ".join(groupings)})


def in_workspace(record: RunRecord, identity: Mapping[str, str]) -> RunRecord:
    """Return a run in the workspace of this identity. Raises InputError if it was started in another one."""
    if not record.is_stored:
        return replace(record, settings={**record.settings, WORKSPACE: identity})
    if first_difference(record.settings.get(WORKSPACE, {}), identity) is not None:
        raise started_otherwise(record, WORKSPACE)
    return record


def is_current(journal: Journal, record: RunRecord) -> bool:
    """Return whether no process has begun, held, ended or deleted a run since it was found."""
    now = journal.run_by_key(record.key)
    if not record.is_stored or now is None:
        return record.is_stored == (now is not None)
    return (now.uid, now.epoch) == (record.uid, record.epoch)


def run_of_key(journal: Journal, key: str) -> RunRecord | None:
    """Return the run of a key, if there is one; a uid is no key. Raises InputError for an invalid key."""
    return journal.run_by_key(check_key(key))


def find_run(journal: Journal, order: RunOrder) -> Run:
    """Find the run of the key, else the one that the same flow run started before it died, else describe a new one.

    Raises InputError where the run was started otherwise, in another workspace, or by a version with other choices.
    """
    record: RunRecord | None = None
    if order.run_key is not None:
        record = run_of_key(journal, order.run_key)
    elif order.flow_run_id is not None:
        record = journal.run_by_flow_run(order.flow_run_id)
    if record is not None and record.state is State.REFUSED:  # it leaves nothing that its input must agree with
        journal.delete_runs([record.uid])
        record = None
    if record is None:
        return describe_run(order)
    is_again = order.flow_run_id is not None and order.flow_run_id in flow_runs_of(journal, record)
    who, events = Who.PREFECT if is_again else order.who, journal.events(record.uid)
    extension = judge(record, events, order, who)
    settings = order.settings.model_copy(update={"seed": record.seed})
    if who is Who.PREFECT or (who is not Who.PERSON and record.algorithm in ALGORITHMS):
        limits = {name: value for name in LIMITS if (value := getattr(settings, name)) is not None}
        settings = settings_after(record, events).model_copy(update=limits)
    if record.state is State.ENDED and extension is None:
        _tell_of_no_effect(record, events, order)
        return Run(order, record, settings, who, has_result=True)
    check_choices(record)
    recorded = recorded_of(record, events, is_extended=extension is not None)
    return Run(order, record, settings, who, extension, recorded)


def _tell_of_no_effect(record: RunRecord, events: Sequence[Event], order: RunOrder) -> None:
    """Warn of limits that an ended run was given and does not have: its stored result is returned."""
    now = current_settings(record, events)
    given = {name: order.stated["settings"].get(name) for name in LIMITS}
    if names := [name for name, value in given.items() if value is not None and value != now.get(name)]:
        _log.warning("run %r has ended, and its result is returned: %s has no effect", record.key, ", ".join(names))


def order_of_person(journal: Journal, key: str, changes: Mapping[str, Any]) -> RunOrder:
    """Return the order of a person who resumes the run of a key or uid prefix, or extends it, with changes.

    Raises InputError for changes that no resume can make.
    """
    record = journal.run(key)
    settings = changed_settings(record, journal.events(record.uid), changes)
    return algorithm_order(record.algorithm, problem_of(record), settings, record.key, who=Who.PERSON)


def describe_run(order: RunOrder) -> Run:
    """Describe a new run; nothing is written, and without a seed one is drawn."""
    uid = str(uuid.uuid4())
    seed = secrets.randbits(63) if order.settings.seed is None else order.settings.seed
    settings = dict(order.stated["settings"])
    if "seed" in settings:
        settings["seed"] = seed
    record = new_run(
        uid,
        key=order.run_key or generated_key(order.algorithm, order.problem, uid[:_UID_DIGITS]),
        algorithm=order.algorithm,
        problem=order.problem,
        target=order.settings.target,
        seed=seed,
        settings={**order.stated, "settings": settings, **order.more},
        flow_run_id=order.flow_run_id,
    )
    return Run(order, record, order.settings.model_copy(update={"seed": seed}), order.who)
