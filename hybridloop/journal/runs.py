"""Runs and their states: functions that add, find, list and lock them."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Select, Table, and_, bindparam, func, or_, select
from sqlalchemy.exc import IntegrityError

from hybridloop.data.states import State
from hybridloop.errors import InputError, JournalDamaged, RunKeyTaken
from hybridloop.journal.amounts import add_scopes
from hybridloop.journal.owner import Owner
from hybridloop.journal.records import DamagedRun, FlowRunEnd, RunLabel, RunRecord
from hybridloop.journal.storage.encoding import decode_json, encode_json, replace_unstorable
from hybridloop.journal.storage.rows import (
    insert_rows,
    read_query,
    read_row,
    read_rows,
    translate_decode_errors,
    update_rows,
    verify,
)
from hybridloop.journal.storage.schema import identity, outbox, runs, states

KEY = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"  # no option of a command, and no folder
_KEY = re.compile(KEY)
_COUNTS = ("rounds", "jobs", "sessions", "pings", "events")  # columns of `states`: numbers of a run's rows by table
_SHORTEST_PREFIX, _UID_LENGTH = 4, 36
_SHOWN = 100  # characters of a damaged key
_MAX_SUGGESTIONS_FROM = 1000  # newest keys that a misspelt key is compared with
_NEWEST_FIRST = (runs.c.created_at.desc(), runs.c.uid)
_LOCKED_STATE = select(states).where(states.c.run_uid == bindparam("uid")).with_for_update()


def add(connection: Connection, new: RunRecord, *, now: float) -> RunRecord:
    """Write a new run without owner. Raises RunKeyTaken if its key is in use, InputError if its key is invalid."""
    check_key(new.key)
    # build the row that never changes
    run = {
        **{name: getattr(new, name) for name in runs.columns.keys() if hasattr(new, name)},
        "seed": str(new.seed),
        "settings": encode_json(new.settings),
        "versions": encode_json(new.versions),
        "created_at": now,
    }
    # build the row that changes
    state = {
        "run_uid": new.uid,
        "status": State.NEW.value,
        "reason": "",
        "result": None,
        "updated_at": now,
        **dict.fromkeys(("owner", "lease_expires_at")),
        **dict.fromkeys(("epoch", "stop_requested", "resume_requested", *_COUNTS), 0),
    }
    # the database refuses a key that is in use, also for two processes at once
    try:
        insert_rows(connection, runs, [run])
        insert_rows(connection, states, [state])
        add_scopes(connection, new.uid, new.target, new.settings)
    except IntegrityError:
        raise RunKeyTaken(new.key) from None
    return run_record(run, state)


def settle(connection: Connection, run: RunRecord) -> None:
    """Write the versions and the flow run of a stored run."""
    (row,) = read_rows(connection, runs, uid=run.uid)
    changed = {"versions": encode_json(run.versions), "flow_run_id": run.flow_run_id}
    update_rows(connection, runs, [row | changed])


def write_state(connection: Connection, state: dict[str, Any], result: Mapping[str, Any] | None = None) -> None:
    """Write the changing columns of a run; a stored result stays unless one is given."""
    update_rows(connection, states, [state if result is None else state | {"result": encode_json(result)}])


def check_key(key: str) -> str:
    """Return a run's key. Raises InputError if it is invalid."""
    if not _KEY.fullmatch(key):
        raise InputError(
            "run_key",
            f"{key!r} is not a run's key",
            "Use 1 to 100 letters, digits, dots, hyphens or underscores, the first no dot or hyphen.",
        )
    return key


def find(connection: Connection, key_or_uid_prefix: str) -> RunRecord:
    """Return the run with this key, else the one whose uid begins so. Raises InputError for none or several."""
    text = key_or_uid_prefix
    if (record := by_key(connection, text)) is not None:
        return record
    if len(text) == _UID_LENGTH and (whole := _records(connection, _select_runs().where(runs.c.uid == text.lower()))):
        return whole[0]
    has_prefix = func.substr(runs.c.uid, 1, len(text)) == text.lower()
    matches = _records(connection, _select_runs().where(has_prefix).limit(2)) if len(text) >= _SHORTEST_PREFIX else []
    match matches:
        case [only]:
            return only
        case []:
            raise InputError("run", f"there is no run {text!r}", _suggestion(connection, text))
    raise InputError("run", f"several runs' ids begin with {text!r}", "Give more of the id, or the run's key.")


def by_key(connection: Connection, key: str) -> RunRecord | None:
    """Return the run with this key, if there is one."""
    return next(iter(_records(connection, _select_runs().where(runs.c.key == key))), None)


def _suggestion(connection: Connection, text: str) -> str:
    """Return the remedy for an unknown key: the most similar of the newest keys, or the command that lists runs."""
    newest_keys = select(runs.c.key).order_by(runs.c.created_at.desc()).limit(_MAX_SUGGESTIONS_FROM)
    similar = difflib.get_close_matches(text, list(connection.execute(newest_keys).scalars()), n=1)
    return f"Did you mean {similar[0]!r}?" if similar else "See hybridloop runs list."


def by_flow_run(connection: Connection, flow_run_id: str) -> RunRecord | None:
    """Return the run that a Prefect flow run began, the latest if there are several."""
    query = _select_runs().where(runs.c.flow_run_id == flow_run_id)
    return next(iter(_records(connection, query.order_by(*_NEWEST_FIRST).limit(1))), None)


def newest(connection: Connection, *, limit: int, before: float | None) -> list[RunRecord | DamagedRun]:
    """Return the newest runs, or the newest that were created before `before` (epoch seconds), newest first."""
    query = _select_runs().order_by(*_NEWEST_FIRST).limit(limit)
    return _records_or_damage(connection, query if before is None else query.where(runs.c.created_at < before))


def count(connection: Connection) -> int:
    """Return the number of runs."""
    return int(connection.execute(select(func.count()).select_from(runs)).scalar_one())


def labels(connection: Connection) -> dict[str, RunLabel | None]:
    """Return what names and groups each run, by its uid; None for a damaged row."""
    found: dict[str, RunLabel | None] = {}
    for row in connection.execute(runs.select()).all():
        try:
            run = verify(runs, row)
            found[run["uid"]] = RunLabel(run["key"], run["algorithm"], run["problem"], run["created_at"])
        except JournalDamaged:
            found[str(row[_UID_INDEX])] = None
    return found


def count_by_status(connection: Connection) -> dict[str, int]:
    """Return the number of runs by status; no row is verified."""
    query = select(states.c.status, func.count()).group_by(states.c.status)
    return {str(status): int(number) for status, number in connection.execute(query)}


def oldest(connection: Connection, status: str) -> float | None:
    """Return the earliest change of a run that has this status; None without one."""
    at: float | None = connection.execute(
        select(func.min(states.c.updated_at)).where(states.c.status == status)
    ).scalar()
    return at


def write_end(connection: Connection, end: FlowRunEnd) -> None:
    """Put the end of a flow run's run into the outbox, in the place of one of an earlier start, or without a start."""
    replaced = or_(outbox.c.flow_run == end.flow_run, and_(outbox.c.run_uid == end.run_uid, outbox.c.starts == 0))
    connection.execute(outbox.delete().where(replaced))
    insert_rows(connection, outbox, [asdict(end)])


def forget_end(connection: Connection, flow_run: str) -> None:
    """Take an end out of the outbox: Prefect's server has it."""
    connection.execute(outbox.delete().where(outbox.c.flow_run == flow_run))


def read_ends(connection: Connection) -> list[FlowRunEnd]:
    """Return the ends in the outbox, the oldest first."""
    rows = sorted(read_rows(connection, outbox), key=lambda row: float(row["ended_at"]))
    return [FlowRunEnd(**{**row, "cancelled": bool(row["cancelled"])}) for row in rows]


def read_journal_id(connection: Connection) -> str:
    """Return the id of the journal."""
    (row,) = read_rows(connection, identity)
    return str(row["id"])


def by_status(connection: Connection, statuses: Collection[str]) -> list[RunRecord | DamagedRun]:
    """Return the runs with one of these statuses, newest first."""
    query = _select_runs().where(states.c.status.in_(sorted(statuses)))
    return _records_or_damage(connection, query.order_by(*_NEWEST_FIRST))


def by_resume_request(connection: Connection) -> list[RunRecord | DamagedRun]:
    """Return the runs with a request to resume, newest first."""
    query = _select_runs().where(states.c.resume_requested == 1)
    return _records_or_damage(connection, query.order_by(*_NEWEST_FIRST))


def by_uid(connection: Connection, uid: str) -> RunRecord:
    """Return the run with this whole uid. Raises JournalDamaged if it is missing: uids come from the journal only."""
    records = _records(connection, _select_runs().where(runs.c.uid == uid))
    if not records:
        raise JournalDamaged(runs.name, uid, "it is missing")
    return records[0]


def damaged_run(connection: Connection, uid: str, error: JournalDamaged) -> DamagedRun:
    """Return the record of a run with a damaged row, with its key if that can be read."""
    stored = replace_unstorable(uid)  # a damaged one is no run's
    key = connection.execute(select(runs.c.key).where(runs.c.uid == stored)).scalar_one_or_none()
    return _damaged(uid, "" if key is None else key, error)


def read_key(connection: Connection, uid: str) -> str:
    """Return a run's key. Raises JournalDamaged if the run is missing."""
    run = read_row(connection, runs, uid=uid)
    if run is None:
        raise JournalDamaged(runs.name, uid, "it is missing")
    return str(run["key"])


def read_state(connection: Connection, uid: str) -> dict[str, Any]:
    """Return a run's row of `states`. Raises JournalDamaged if it is missing."""
    return _only(read_rows(connection, states, run_uid=uid), uid)


def lock_state(connection: Connection, uid: str) -> dict[str, Any]:
    """Return a run's row of `states`, locked for other writers until the transaction ends."""
    return _only(read_query(connection, states, _LOCKED_STATE, {"uid": uid}), uid)


def _only(rows: list[dict[str, Any]], uid: str) -> dict[str, Any]:
    if not rows:
        raise JournalDamaged(states.name, uid, "it is missing")
    return rows[0]


def add_to_counts(connection: Connection, state: dict[str, Any], **numbers: int) -> None:
    """Add the numbers of new rows, by table, to the run's state, so that a row that is lost later is noticed."""
    update_rows(connection, states, [state | {table: state[table] + number for table, number in numbers.items()}])


def read_run_rows(connection: Connection, table: Table, uid: str) -> list[dict[str, Any]]:
    """Return a run's rows of a table. Raises JournalDamaged if one of them is missing."""
    written = read_state(connection, uid)[table.name]
    rows = read_rows(connection, table, run_uid=uid)
    if len(rows) != written:
        raise JournalDamaged(table.name, uid, f"{written} were written, and {len(rows)} are stored")
    return rows


def read_owner(state: dict[str, Any]) -> Owner | None:
    """Return the process that held the run last and has not released it."""
    if state["owner"] is None:
        return None
    with translate_decode_errors(states, state["run_uid"]):
        return Owner(**json.loads(state["owner"]))


def run_record(run: dict[str, Any], state: dict[str, Any]) -> RunRecord:
    """Build a run's record from its rows of `runs` and `states`."""
    with translate_decode_errors(runs, run["uid"]):
        values = {
            **run,
            **{name: value for name, value in state.items() if name not in ("run_uid", *_COUNTS)},
            "seed": int(run["seed"]),
            "settings": decode_json(run["settings"]),
            "versions": decode_json(run["versions"]),
            "result": None if state["result"] is None else decode_json(state["result"]),
            "owner": read_owner(state),
            "stop_requested": bool(state["stop_requested"]),
            "resume_requested": bool(state["resume_requested"]),
        }
        return RunRecord(**values)


_RUN_COLUMNS = len(runs.columns)
_UID_INDEX, _KEY_INDEX = (list(runs.columns).index(column) for column in (runs.c.uid, runs.c.key))


def _select_runs() -> Select[Any]:
    return select(*runs.columns, *states.columns).outerjoin_from(runs, states, runs.c.uid == states.c.run_uid)


def _records(connection: Connection, query: Select[Any]) -> list[RunRecord]:
    return [_record(row) for row in connection.execute(query).all()]


def _records_or_damage(connection: Connection, query: Select[Any]) -> list[RunRecord | DamagedRun]:
    """Return the selected runs, and a DamagedRun for each damaged one."""
    records: list[RunRecord | DamagedRun] = []
    for row in connection.execute(query).all():
        try:
            records.append(_record(row))
        except JournalDamaged as error:
            records.append(_damaged(row[_UID_INDEX], row[_KEY_INDEX], error))
    return records


def _record(row: Sequence[Any]) -> RunRecord:
    run = verify(runs, row[:_RUN_COLUMNS])
    if row[_RUN_COLUMNS] is None:
        raise JournalDamaged(states.name, run["uid"], "it is missing")
    return run_record(run, verify(states, row[_RUN_COLUMNS:]))


def _damaged(uid: object, key: object, error: JournalDamaged) -> DamagedRun:
    # a damaged value may have any type
    uid_text, key_text = (replace_unstorable(str(value))[:_SHOWN] for value in (uid, key))
    return DamagedRun(uid_text, key_text, error)
