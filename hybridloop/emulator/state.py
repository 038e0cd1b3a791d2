"""State of the service that outlives its process: a locked folder with its database, blobs, keys, time and seed."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from hybridloop.emulator.clock import Clock, RealClock, VirtualClock
from hybridloop.emulator.settings import ClockKind, Settings
from hybridloop.emulator.store.blobs import FolderBlobs, MemoryBlobs
from hybridloop.emulator.store.schema import UnknownSchema
from hybridloop.emulator.store.store import Store


class StartupError(Exception):
    """The service can't start for the reason in the message."""


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """Secrets of the service: keys of the data plane and the admin endpoints, and the one that signs blob URLs."""

    api_key: str
    admin_key: str
    signing: bytes


@contextmanager
def lock_state_folder(state: Path | None) -> Iterator[None]:
    """Hold the state folder's lock: two services on one folder would run every job twice. Raises StartupError."""
    if state is None:
        yield
        return
    lock = FileLock(state / "lock", timeout=0, mode=0o600)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
        lock.acquire()
    except Timeout:
        problem = f"another service uses the folder {state}; stop it, or choose another folder with --state"
        raise StartupError(problem) from None
    except OSError as error:
        problem = f"the state folder {state} can't be used: {error}; choose another folder with --state"
        raise StartupError(problem) from error
    try:
        yield
    finally:
        lock.release()


def open_store(state: Path | None) -> Store:
    """Open the database of the state folder. Raises StartupError."""
    try:
        return Store(None if state is None else state / "service.sqlite")
    except (UnknownSchema, sqlite3.DatabaseError) as error:
        problem = f"the database in {state} can't be read: {error}; choose another folder with --state"
        raise StartupError(problem) from error


def open_contents(state: Path | None) -> MemoryBlobs | FolderBlobs:
    """Open the contents of blobs."""
    return MemoryBlobs() if state is None else FolderBlobs(state / "blobs")


def load_keys(settings: Settings) -> ServiceKeys:
    """Take the keys from the settings, else from the state folder, which gets random ones for those that it lacks.

    The folder has no key in place of which the settings have another.
    """
    given = {name: key for name in ("api_key", "admin_key") if (key := getattr(settings, name))}
    kept = {name: secrets.token_urlsafe(32) for name in ("api_key", "admin_key", "signing") if name not in given}
    if settings.state is not None:
        path = settings.state / "keys.json"
        stored = _read_keys(path) if path.exists() else {}
        kept |= {name: stored[name] for name in kept if name in stored}
        if kept != stored:
            whole = path.with_suffix(".new")
            whole.unlink(missing_ok=True)
            with open(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                json.dump(kept, file)
            whole.replace(path)
    keys = kept | given
    return ServiceKeys(keys["api_key"], keys["admin_key"], keys["signing"].encode())


def _read_keys(path: Path) -> dict[str, str]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {"signing": str(stored["signing"])} | {
            name: str(stored[name]) for name in ("api_key", "admin_key") if name in stored
        }
    except (ValueError, KeyError, TypeError) as error:
        problem = f"the keys in {path} can't be read: {error!r}; remove that file to generate new ones"
        raise StartupError(problem) from error


def build_clock(settings: Settings, store: Store) -> Clock:
    """Return the clock of the settings; a virtual one goes on from the stored time."""
    if settings.clock is ClockKind.REAL:
        return RealClock()
    # stored times of a virtual future must not lie ahead of the clock after a restart
    return VirtualClock(max(RealClock().now(), float(store.note("virtual_now") or 0.0)))


def resolve_seed(settings: Settings, store: Store) -> int:
    """Return the seed of the settings, else the stored one, and store it."""
    seed = settings.seed if settings.seed is not None else int(store.note("seed") or 0)
    store.put_note("seed", str(seed))
    return seed
