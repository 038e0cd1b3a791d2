"""A slot of a Prefect limit, held for as long as a run's session is open; a dead holder's is given back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any
from uuid import UUID

from httpx import HTTPError, HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from hybridloop.errors import InputError, JournalDamaged, RunStopped, ServiceUnreachable, StopRequested
from hybridloop.flows.lifecycle.cancellation import cancelled_in_prefect
from hybridloop.journal.claimed_run import ClaimedRun
from hybridloop.tasks.orphans import close_sessions_of_run, is_held

LEASE_S = 120.0  # a dead run's own lease ends after 60 s: by the time its slot is free, its session can be closed
RENEW_EVERY_S = 30.0
AWAY_S = 300.0  # a server that is being restarted comes back within this
_EVENT = "slot"
_LOCKED = 423
_SHORTEST_S, _LONGEST_S = 0.25, 5.0

_log = logging.getLogger(__name__)


@contextmanager
def session_slot(limit: str | None, run: ClaimedRun, workspace: Any, cancelled: threading.Event) -> Iterator[None]:
    """Hold a slot of the limit of that name (None: of none) for the block, in which the run's session is open.

    A run that goes on takes over the slot that its earlier process held. Once the slot is had, sessions that dead runs
    left open on the target are closed, whose slots may be this one. Raises InputError where there is no such limit,
    RunStopped or LeaseLost where the run is stopped or taken over while it waits, ServiceUnreachable where Prefect's
    server stays away.
    """
    if limit is None:
        yield
        return
    with get_client(sync_client=True) as client:
        lease = _taken_over(client, limit, run) or _waited_for(client, limit, run, cancelled)
        ended = threading.Event()
        renewing = threading.Thread(
            target=copy_context().run, args=(_renew, lease, ended), name="hybridloop-slot", daemon=True
        )
        renewing.start()
        try:
            _close_left(run, workspace)
            yield
        finally:
            ended.set()
            try:
                client.release_concurrency_slots_with_lease(lease)
            except (HTTPError, RuntimeError) as error:  # the lease ends by itself
                _log.warning("the slot of %s is given back within %.0f s: %s", limit, LEASE_S, error)


def _taken_over(client: SyncPrefectClient, limit: str, run: ClaimedRun) -> UUID | None:
    """The slot of this limit that the run's earlier process held, if it is held still."""
    noted = [event.facts for event in run.journal.events(run.uid) if event.kind == _EVENT]
    leases = [UUID(facts["lease"]) for facts in noted if facts["limit"] == limit]
    return leases[-1] if leases and _renewed(client, leases[-1]) else None


def _waited_for(client: SyncPrefectClient, limit: str, run: ClaimedRun, cancelled: threading.Event) -> UUID:
    """The lease of a slot, as soon as there is one."""
    if (lease := _asked(client, limit, run)) is not None:
        return lease
    _log.info("run %s waits for a slot of %s", run.record.key, limit)
    stopped = threading.Event()
    run.on_stop(stopped.set)
    began = heard = time.monotonic()
    with cancelled_in_prefect(str(flow_run.id), cancelled, stopped.set):
        while True:
            waited = time.monotonic() - began
            if stopped.wait(min(max(waited / 10, _SHORTEST_S), _LONGEST_S)):
                raise run.lease_error or (StopRequested(0) if run.stop_requested.is_set() else RunStopped(0))
            try:
                lease = _asked(client, limit, run)
            except (HTTPError, RuntimeError) as error:
                if time.monotonic() - heard > AWAY_S:
                    raise ServiceUnreachable(
                        f"Prefect's server gave no slot of {limit} for {AWAY_S:.0f} s: {error}",
                        "No session was opened, and all that was measured before is kept.",
                        f"Look after the server, then: hybridloop runs resume {run.record.key}",
                    ) from error
                continue
            heard = time.monotonic()
            if lease is not None:
                return lease


def _asked(client: SyncPrefectClient, limit: str, run: ClaimedRun) -> UUID | None:
    """The lease of a slot, written down; None where all are held. It is never asked twice for one that it got."""
    holder = ConcurrencyLeaseHolder(type="flow_run", id=UUID(str(flow_run.id)))
    try:
        answer = client.increment_concurrency_slots_with_lease([limit], 1, "concurrency", LEASE_S, holder).json()
    except HTTPStatusError as error:
        if error.response.status_code == _LOCKED:
            return None
        raise
    if not answer["limits"]:
        what = f"Prefect has no concurrency limit {limit!r}"
        raise InputError("session_slots", what, f"Create it: prefect gcl create '{limit}' --limit N")
    lease = UUID(answer["lease_id"])
    run.journal.add_event(run.lease, _EVENT, {"limit": limit, "lease": str(lease)})
    return lease


def _renewed(client: SyncPrefectClient, lease: UUID) -> bool:
    """Whether the lease was renewed; False where there is none any more."""
    try:
        client.renew_concurrency_lease(lease, LEASE_S)
    except ObjectNotFound:
        return False
    except HTTPStatusError as error:
        if error.response.status_code in {404, 410}:
            return False
        raise
    return True


def _renew(lease: UUID, ended: threading.Event) -> None:
    with get_client(sync_client=True) as client:
        while not ended.wait(RENEW_EVERY_S):
            with suppress(HTTPError, RuntimeError):  # a server that is away is asked again; the lease lasts a while
                if not _renewed(client, lease) and not ended.is_set():
                    _log.warning("the slot was given to others: its lease was not renewed for %.0f s", LEASE_S)
                    return


def _close_left(run: ClaimedRun, workspace: Any) -> None:
    """Close the sessions on this run's target that nobody holds any more."""
    now = time.time()
    for record, _ in run.journal.open_sessions():
        if record.uid != run.uid and record.target == run.record.target and not is_held(record, now):
            try:
                for swept in close_sessions_of_run(run.journal, record, workspace):
                    _log.info("session %s of run %s was open; %s", swept.session, swept.run_key, swept.done)
            except JournalDamaged as error:  # which must not end this run
                _log.warning("run %s is left alone: %s", record.key, error)
