"""Runs and their states: adding, finding, listing."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, func, select
from sqlalchemy.exc import IntegrityError

from hybridloop.errors import InputError, JournalDamaged, RunKeyTaken
from hybridloop.sessions.journal.encoding import decode_json, encode_json, storable
from hybridloop.sessions.journal.owner import Owner
from hybridloop.sessions.journal.records import DamagedRun, NewRun, RunRecord
from hybridloop.sessions.journal.rows import decoding, insert, read, read_by, read_one, rewrite, verified
from hybridloop.sessions.journal.schema import runs, states

_KEY = re.compile(r"[A-Za-z0-9._-]{1,100}")
_SHORTEST_PREFIX = 4
_SHOWN = 100  # characters of a key that is damaged
_MOST_KEYS = 1000  # among which a misspelt one is looked for
_LOCKED_STATE = select(states).where(states.c.run_uid == bindparam("uid")).with_for_update()


def add(connection: Connection, new: NewRun, *, now: float) -> RunRecord:
    """A new run, which nobody holds; RunKeyTaken if its key is used, InputError if it is no key."""
    check_key(new.key)
    run = {
        "uid": new.uid,
        "key": new.key,
        "algorithm": new.algorithm,
        "problem": new.problem,
        "target": new.target,
        "seed": str(new.seed),
        "settings": encode_json(new.settings),
        "flow_run_id": new.flow_run_id,
        "versions": encode_json(new.versions),
        "created_at": now,
    }
    state = {
        "run_uid": new.uid,
        "status": "created",
        "reason": "",
        "result": None,
        "updated_at": now,
        "owner": None,
        "lease_expires_at": None,
        "epoch": 0,
        "stop_requested": 0,
        "resume_requested": 0,
        "rounds": 0,
        "jobs": 0,
        "sessions": 0,
        "pings": 0,
        "events": 0,
    }
    try:
        insert(connection, runs, [run])
        insert(connection, states, [state])
    except IntegrityError:
        raise RunKeyTaken(new.key) from None
    return record(run, state)


def check_key(key: str) -> str:
    """Return a run's key, or raise InputError if it is none."""
    if not _KEY.fullmatch(key):
        raise InputError(
            "run_key", f"{key!r} is not a run's key", "Use 1 to 100 letters, digits, dots, hyphens or underscores."
        )
    return key


def find(connection: Connection, key_or_uid_prefix: str) -> RunRecord:
    """The run of a key, or else the only one whose uid begins so; InputError if there is none, or several."""
    wanted = key_or_uid_prefix
    if (record := of_key(connection, wanted)) is not None:
        return record
    begun = func.substr(runs.c.uid, 1, len(wanted)) == wanted.lower()
    found = _records(connection, _both().where(begun).limit(2)) if len(wanted) >= _SHORTEST_PREFIX else []
    match found:
        case [only]:
            return only
        case []:
            raise InputError("run", f"there is no run {wanted!r}", _nearest(connection, wanted))
    raise InputError("run", f"several runs' ids begin with {wanted!r}", "Give more of the id, or the run's key.")


def of_key(connection: Connection, key: str) -> RunRecord | None:
    """The run of a key, if there is one."""
    return next(iter(_records(connection, _both().where(runs.c.key == key))), None)


def _nearest(connection: Connection, wanted: str) -> str:
    """What to say to whoever gave a key that there is not: the nearest of the newest ones."""
    keys = connection.execute(select(runs.c.key).order_by(runs.c.created_at.desc()).limit(_MOST_KEYS)).scalars()
    near = difflib.get_close_matches(wanted, list(keys), n=1)
    return f"Did you mean {near[0]!r}?" if near else "See hybridloop runs list."


def of_flow(connection: Connection, flow_run_id: str) -> RunRecord | None:
    """The run that a Prefect flow run began, the latest if there are several."""
    query = _both().where(runs.c.flow_run_id == flow_run_id).order_by(runs.c.created_at.desc(), runs.c.uid).limit(1)
    return next(iter(_records(connection, query)), None)


def newest(connection: Connection, *, limit: int, before: float | None) -> list[RunRecord | DamagedRun]:
    """Runs that were created before a moment, newest first."""
    query = _both().order_by(runs.c.created_at.desc(), runs.c.uid).limit(limit)
    return _each(connection, query if before is None else query.where(runs.c.created_at < before))


def in_status(connection: Connection, statuses: Collection[str]) -> list[RunRecord | DamagedRun]:
    """The runs that stand so, newest first."""
    query = _both().where(states.c.status.in_(sorted(statuses)))
    return _each(connection, query.order_by(runs.c.created_at.desc(), runs.c.uid))


def asked_for(connection: Connection) -> list[RunRecord | DamagedRun]:
    """The runs that somebody wants to be gone on with, newest first."""
    query = _both().where(states.c.resume_requested == 1)
    return _each(connection, query.order_by(runs.c.created_at.desc(), runs.c.uid))


def by_uid(connection: Connection, uid: str) -> RunRecord:
    """The run of a whole uid; JournalDamaged if it is not there, because a uid is only known from the journal."""
    found = _records(connection, _both().where(runs.c.uid == uid))
    if not found:
        raise JournalDamaged(runs.name, uid, "it is missing")
    return found[0]


def damaged(connection: Connection, uid: str, error: JournalDamaged) -> DamagedRun:
    """What can be told of a run of which a row is damaged."""
    key = connection.execute(select(runs.c.key).where(runs.c.uid == uid)).scalar_one_or_none()
    return _damaged(uid, "" if key is None else key, error)


def key_of(connection: Connection, uid: str) -> str:
    """The key of a run."""
    run = read_one(connection, runs, uid=uid)
    if run is None:
        raise JournalDamaged(runs.name, uid, "it is missing")
    return str(run["key"])


def state_of(connection: Connection, uid: str) -> dict[str, Any]:
    """A run's state."""
    return _only(read(connection, states, run_uid=uid), uid)


def locked_state_of(connection: Connection, uid: str) -> dict[str, Any]:
    """A run's state, kept from all other writers to the transaction's end."""
    return _only(read_by(connection, states, _LOCKED_STATE, {"uid": uid}), uid)


def _only(found: list[dict[str, Any]], uid: str) -> dict[str, Any]:
    if not found:
        raise JournalDamaged(states.name, uid, "it is missing")
    return found[0]


def count_up(connection: Connection, state: dict[str, Any], **rows: int) -> None:
    """Tell a run's state how many rows were added to its tables."""
    rewrite(connection, states, [state | {table: state[table] + number for table, number in rows.items()}])


def read_all(connection: Connection, table: Table, uid: str) -> list[dict[str, Any]]:
    """A run's rows in a table, as many as were written; JournalDamaged if one is missing."""
    written = state_of(connection, uid)[table.name]
    found = read(connection, table, run_uid=uid)
    if len(found) != written:
        raise JournalDamaged(table.name, uid, f"{written} were written, and {len(found)} are there")
    return found


def owner_of(state: dict[str, Any]) -> Owner | None:
    """Who claimed the run last and has not released it."""
    if state["owner"] is None:
        return None
    with decoding(states, state["run_uid"]):
        return Owner(**json.loads(state["owner"]))


def record(run: dict[str, Any], state: dict[str, Any]) -> RunRecord:
    """A run from its two rows."""
    with decoding(runs, run["uid"]):
        return RunRecord(
            uid=run["uid"],
            key=run["key"],
            algorithm=run["algorithm"],
            problem=run["problem"],
            target=run["target"],
            seed=int(run["seed"]),
            settings=decode_json(run["settings"]),
            flow_run_id=run["flow_run_id"],
            versions=decode_json(run["versions"]),
            status=state["status"],
            reason=state["reason"],
            result=None if state["result"] is None else decode_json(state["result"]),
            created_at=run["created_at"],
            updated_at=state["updated_at"],
            owner=owner_of(state),
            lease_expires_at=state["lease_expires_at"],
            epoch=state["epoch"],
            stop_requested=bool(state["stop_requested"]),
            resume_requested=bool(state["resume_requested"]),
        )


_RUN_COLUMNS = len(runs.columns)
_UID_AT, _KEY_AT = (list(runs.columns).index(column) for column in (runs.c.uid, runs.c.key))


def _both() -> Select[Any]:
    return select(*runs.columns, *states.columns).outerjoin_from(runs, states, runs.c.uid == states.c.run_uid)


def _records(connection: Connection, query: Select[Any]) -> list[RunRecord]:
    return [_record(row) for row in connection.execute(query).all()]


def _each(connection: Connection, query: Select[Any]) -> list[RunRecord | DamagedRun]:
    """The same for a list that is gone through for every run's sake, where one must not be in the way of the others."""
    found: list[RunRecord | DamagedRun] = []
    for row in connection.execute(query).all():
        try:
            found.append(_record(row))
        except JournalDamaged as error:
            found.append(_damaged(row[_UID_AT], row[_KEY_AT], error))
    return found


def _record(row: Sequence[Any]) -> RunRecord:
    run = verified(runs, row[:_RUN_COLUMNS])
    if row[_RUN_COLUMNS] is None:
        raise JournalDamaged(states.name, run["uid"], "it is missing")
    return record(run, verified(states, row[_RUN_COLUMNS:]))


def _damaged(uid: object, key: object, error: JournalDamaged) -> DamagedRun:
    return DamagedRun(storable(str(uid))[:_SHOWN], storable(str(key))[:_SHOWN], error)  # either may be anything
