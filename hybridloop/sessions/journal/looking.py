"""A look at a journal that makes nothing, upgrades nothing and waits for nobody."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from hybridloop.home import home
from hybridloop.sessions.journal.location import Location
from hybridloop.sessions.journal.migrating import version_of
from hybridloop.sessions.journal.schema import VERSION
from hybridloop.sessions.journal.store import Store

_BUSY_S = 2.0


@dataclass(frozen=True, slots=True)
class Look:
    """A journal's place, the version of its schema (None: it has none yet), and the one that this hybridloop writes."""

    place: str
    version: str | None
    newest: str = VERSION


def look_at_journal(environ: Mapping[str, str] = os.environ) -> Look:
    """How the journal of HYBRIDLOOP_JOURNAL, else the one in the folder of all state, is found.

    Raises InputError for a URL that names none, JournalTooNew, and JournalError for one that can't be read.
    """
    location = Location.parse(environ.get("HYBRIDLOOP_JOURNAL") or f"sqlite:///{home(environ) / 'journal.db'}")
    if location.path is not None and not location.path.exists():
        return Look(str(location), None)
    store = Store(location, busy_s=_BUSY_S)
    try:
        return Look(str(location), version_of(store))
    finally:
        store.close()
