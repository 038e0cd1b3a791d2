"""A session to oneself, for a script that says itself what it measures."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from hybridloop.environment import default_workspace
from hybridloop.flows.settings import RunSettings
from hybridloop.sessions.budget import Caps
from hybridloop.sessions.policy import FailurePolicy
from hybridloop.sessions.signals import sigterm_unwinds
from hybridloop.sessions.targets import find_target
from hybridloop.user_input import checked

if TYPE_CHECKING:
    from hybridloop.sessions.clock import Clock
    from hybridloop.sessions.run import ClaimedRun
    from hybridloop.sessions.session import OpenSession

_FAILURE = FailurePolicy()
_NO_CAPS = Caps()


@contextmanager
def open_session(
    target: str = "rigetti.sim.qvm",
    *,
    run_key: str | None = None,
    seed: int | None = None,
    workspace: Any | None = None,
    name: str = "hybridloop",
    policy: FailurePolicy = _FAILURE,
    keep_alive: str = "auto",
    caps: Caps = _NO_CAPS,
    clock: Clock | None = None,
) -> Iterator[OpenSession]:
    """Hold one session open; it is closed however the block ends, SIGTERM included.

    With a `run_key` the run is kept in the journal: a script that is started again with it gets the rounds that were
    measured before from there, without a request, and goes on. It must ask the same again, round by round
    (ReplayDiverged). `seed` fixes what the local service samples (None: drawn). Without a workspace it is the
    environment's, else a local service. `clock` is the time that its waits go by
    (`hybridloop.sessions.service_clock.ServiceClock` for a virtual one).
    """
    find_target(target)
    checked(RunSettings, {"keep_alive": keep_alive, "seed": seed})
    at = default_workspace() if workspace is None else workspace
    from hybridloop.sessions import session
    from hybridloop.sessions.idle import KeepAliveMode
    from hybridloop.sessions.keeping import Keeping

    with sigterm_unwinds(), ExitStack() as held:
        run = None if run_key is None else held.enter_context(_run_of_script(run_key, target, seed, at))
        opened = session.open_session(
            at,
            target,
            run=run,
            seed=seed,
            name=name,
            policy=policy,
            keeping=Keeping(KeepAliveMode(keep_alive)),
            caps=caps,
            clock=clock,
        )
        yield held.enter_context(opened)


@contextmanager
def _run_of_script(run_key: str, target: str, seed: int | None, workspace: Any) -> Iterator[ClaimedRun]:
    from hybridloop.flows.runs import run_of_key, run_of_script
    from hybridloop.sessions.journal import open_journal
    from hybridloop.sessions.run import new_run
    from hybridloop.sessions.workspace import identity_of

    with open_journal() as journal:
        if seed is None:
            record = run_of_key(journal, run_key)
            seed = secrets.randbits(63) if record is None else record.seed
        begun = new_run(
            str(uuid.uuid4()),
            key=run_key,
            algorithm="session",
            problem="",
            target=find_target(target).name,
            seed=seed,
            settings={"settings": {}, "workspace": identity_of(workspace)},
        )
        with run_of_script(journal, begun) as run:
            yield run
