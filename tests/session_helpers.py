"""Sessions of runs in a journal of their own, for tests that need no other."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import HeldRun, hold_run, new_run
from hybridloop.tasks import session as product
from hybridloop.tasks.session import OpenSession


@contextmanager
def temporary_run(target: str, *, seed: int, uid: str | None = None) -> Iterator[HeldRun]:
    """Hold a run in a journal that is deleted at the end of the block."""
    with (
        TemporaryDirectory(prefix="hybridloop-") as folder,
        closing(Journal(journal_url(Path(folder) / "journal.db"))) as journal,
    ):
        name = uid or str(uuid.uuid4())
        journal.add_run(new_run(name, key=name, algorithm="session", problem="", target=target, seed=seed))
        with hold_run(journal, name) as run:
            yield run


@contextmanager
def open_run_session(
    workspace: Any,
    target: Any = "rigetti.sim.qvm",
    *options: Any,
    run: HeldRun | None = None,
    seed: int | None = None,
    **more: Any,
) -> Iterator[OpenSession]:
    """Hold a session, of a temporary run unless one is given; see `hybridloop.tasks.session.open_run_session`."""
    if run is not None:
        with product.open_run_session(workspace, target, *options, run=run, **more) as session:
            yield session
        return
    name = target if isinstance(target, str) else target.name
    with (
        temporary_run(name, seed=secrets.randbits(63) if seed is None else seed) as held,
        product.open_run_session(workspace, target, *options, run=held, **more) as session,
    ):
        yield session
