"""Slot of a Prefect concurrency limit, held while a run's session is open; a dead run's slot expires."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

from httpx import HTTPError, HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from hybridloop.errors import InputError, JournalDamaged, RunStopped, ServiceUnreachable, StopRequested
from hybridloop.flows.in_prefect.watch import SLOT_LEASE_S, PrefectWatch, renew_slot
from hybridloop.journal.held_run import HeldRun
from hybridloop.runtime.clock import Clock, RealClock
from hybridloop.runtime.waits import SLOT_OUTAGE_S
from hybridloop.tasks.orphans import close_sessions_of_run

_EVENT = "slot"
_FORBIDDEN, _LOCKED = 403, 423
_MIN_POLL_S, _MAX_POLL_S = 0.25, 5.0

_log = logging.getLogger(__name__)


@contextmanager
def session_slot(limit: str | None, run: HeldRun, workspace: Any, watch: PrefectWatch) -> Iterator[None]:
    """Hold a slot of the limit of that name (None: no limit) for the block, in which the run's session is open.

    A resumed run takes over the slot of its earlier process. Then sessions that dead runs left open on the target are
    closed, since the slot may be one of theirs. Raises InputError if the limit does not exist, RunStopped or LeaseLost
    if the run is stopped or taken over while it waits, and ServiceUnreachable if Prefect's server stays away.
    """
    if limit is None:
        yield
        return
    with get_client(sync_client=True) as client:
        slot = _take_over(client, limit, run) or _wait_for_slot(client, limit, run, watch)
        try:
            with watch.holding(slot):
                _close_orphaned_sessions(run, workspace)
                yield
        finally:
            try:
                client.release_concurrency_slots_with_lease(slot)
            except (HTTPError, RuntimeError) as error:  # the lease expires
                _log.warning("the slot of %s will be free within %.0f s: %s", limit, SLOT_LEASE_S, error)


def set_limit(client: SyncPrefectClient, limit: str, slots: int, setting: str) -> None:
    """Create the limit, or set its slots; a user who may not do that uses the one that an administrator created.

    Raises InputError, which names the setting, if there is none.
    """
    try:
        client.upsert_global_concurrency_limit_by_name(limit, slots)
    except HTTPStatusError as error:
        if error.response.status_code != _FORBIDDEN:
            raise
        try:
            found = _read_slots(client, limit)
        except InputError as missing:
            problem = f"{missing.problem}, and does not let this user create it (HTTP 403)"
            remedy = f"Ask an administrator to run: prefect gcl create '{limit}' --limit {slots}"
            raise InputError(setting, problem, remedy) from error
        if found != slots:
            _log.warning(
                "%s=%d could not be set (HTTP 403): Prefect's limit %r applies as it is, with %s slots",
                *(setting, slots, limit, found or "an unknown number of"),
            )


def _read_slots(client: SyncPrefectClient, limit: str) -> int | None:
    """Return the limit's slots; None if this user may take them, but not read their number. Raises InputError."""
    try:
        return client.read_global_concurrency_limit_by_name(limit).limit
    except ObjectNotFound as error:
        raise _missing(limit) from error
    except HTTPStatusError as error:
        if error.response.status_code != _FORBIDDEN:
            raise
    if (lease := _take_slot(client, limit)) is not None:
        client.release_concurrency_slots_with_lease(lease)
    return None


def _take_over(client: SyncPrefectClient, limit: str, run: HeldRun) -> UUID | None:
    """Return the lease of the slot that the run's earlier process held; None if it expired."""
    slots = [event.facts for event in run.journal.events(run.uid) if event.kind == _EVENT]
    leases = [UUID(slot["lease"]) for slot in slots if slot["limit"] == limit]
    return leases[-1] if leases and renew_slot(client, leases[-1]) else None


def _wait_for_slot(client: SyncPrefectClient, limit: str, run: HeldRun, watch: PrefectWatch) -> UUID:
    if (lease := _acquire(client, limit, run)) is not None:
        return lease
    _log.info("run %s waits for a slot of %s", run.record.key, limit)
    stopped = threading.Event()
    run.on_stop(stopped.set)
    with watch.stopping(stopped.set):
        try:
            lease = poll_for_slot(partial(_acquire, client, limit, run), stopped, RealClock())
        except (HTTPError, RuntimeError) as error:
            raise ServiceUnreachable(
                f"Prefect's server gave no slot of {limit} for {SLOT_OUTAGE_S:.0f} s: {error}",
                "No session was opened, and all results are kept.",
                f"Check the server, then resume the run: hybridloop runs resume {run.record.key}",
            ) from error
    if lease is None:
        raise run.lease_error or (StopRequested(0) if run.stop_requested.is_set() else RunStopped(0))
    return lease


def poll_for_slot(acquire: Callable[[], UUID | None], stopped: threading.Event, clock: Clock) -> UUID | None:
    """Acquire a slot as soon as one is free; return its lease, None if stopped.

    Raises the error of Prefect's server, HTTPError or RuntimeError, once it has not answered for SLOT_OUTAGE_S.
    """
    began = last_answer = clock.now()
    while not clock.wait(stopped, min(max((clock.now() - began) / 10, _MIN_POLL_S), _MAX_POLL_S)):
        try:
            lease = acquire()
        except (HTTPError, RuntimeError):
            if clock.now() - last_answer > SLOT_OUTAGE_S:
                raise
            continue
        last_answer = clock.now()
        if lease is not None:
            return lease
    return None


def _acquire(client: SyncPrefectClient, limit: str, run: HeldRun) -> UUID | None:
    """Acquire a slot and store its lease in the journal; return the lease, None if all slots are held."""
    if (lease := _take_slot(client, limit)) is not None:
        run.journal.add_event(run.lease, _EVENT, {"limit": limit, "lease": str(lease)})
    return lease


def _take_slot(client: SyncPrefectClient, limit: str) -> UUID | None:
    """Acquire a slot; return its lease, None if all slots are held. Raises InputError if there is no such limit."""
    holder = ConcurrencyLeaseHolder(type="flow_run", id=UUID(str(flow_run.id)))
    try:
        answer = client.increment_concurrency_slots_with_lease([limit], 1, "concurrency", SLOT_LEASE_S, holder).json()
    except HTTPStatusError as error:
        if error.response.status_code == _LOCKED:
            return None
        raise
    if not answer["limits"]:
        raise _missing(limit)
    return UUID(answer["lease_id"])


def _missing(limit: str) -> InputError:
    problem = f"Prefect has no concurrency limit {limit!r}"
    return InputError("session_slots", problem, f"Create it: prefect gcl create '{limit}' --limit N")


def _close_orphaned_sessions(run: HeldRun, workspace: Any) -> None:
    """Close the sessions that dead runs left open on this run's target."""
    now = time.time()
    for record, _ in run.journal.open_sessions():
        if record.uid != run.uid and record.target == run.record.target and not record.is_held(now):
            try:
                for closed in close_sessions_of_run(run.journal, record, workspace):
                    _log.info("session %s of run %s was open; %s", closed.session, closed.run_key, closed.done)
            except JournalDamaged as error:  # it must not end this run
                _log.warning("run %s was skipped: %s", record.key, error)
