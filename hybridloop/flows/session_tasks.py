"""Prefect tasks for anybody's flow: open a session, run rounds in it, keep it alive, close it.

They are `hybridloop.tasks.open_session` and so on. Retries of jobs and pings are inside, as in every run, and a session
that the flow does not close is closed when its flow run ends.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from qiskit.primitives.containers.sampler_pub import SamplerPub, SamplerPubLike

from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.api import session as api  # the tasks are the public functions, as tasks
from hybridloop.azure.targets import DEFAULT_TARGET
from hybridloop.budget.caps import Caps
from hybridloop.errors import InputError
from hybridloop.tasks.failure_policy import FailurePolicy
from hybridloop.tasks.prefect_tasks import RUN_ROUND, describe_task, measure_round
from hybridloop.tasks.session import OpenSession
from hybridloop.tasks.submission.job_ids import MAIN_STREAM

_FAILURE = FailurePolicy()

_held: dict[OpenSession, tuple[str, ExitStack]] = {}  # flow run of a session, and what closes it
_changing = threading.Lock()


@task(name="open session", task_run_name="open a session on {target}", cache_policy=NO_CACHE, persist_result=False)
def open_session(
    target: str = DEFAULT_TARGET,
    *,
    run_key: str | None = None,
    seed: int | None = None,
    workspace: str | Any | None = None,
    policy: FailurePolicy = _FAILURE,
    keep_alive: str = "auto",
    caps: Caps | None = None,
    debias: bool = True,
    batching: str = "auto",
    noise_model: str | None = None,
    provider_options: Mapping[str, Any] | None = None,
    **limits: Any,
) -> OpenSession:
    """Open a session for the flow run around; `close_session` closes it, else the end of the flow run does.

    The arguments, and the errors, are those of `hybridloop.open_session`. Raises InputError outside of a flow.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow is None:
        problem = "the task open_session was not called in a Prefect flow"
        raise InputError("session", problem, "Use `with hybridloop.open_session(…)` in a script.")
    held = ExitStack()
    session = held.enter_context(
        api.open_session(
            target,
            run_key=run_key,
            seed=seed,
            workspace=workspace,
            name=run_key or context.flow_run.name,
            policy=policy,
            keep_alive=keep_alive,
            caps=caps,
            debias=debias,
            batching=batching,
            noise_model=noise_model,
            provider_options=provider_options,
            **limits,
        )
    )
    with _changing:
        _held[session] = str(context.flow_run.id), held
        for hooks in (
            context.flow.on_completion_hooks,
            context.flow.on_failure_hooks,
            context.flow.on_crashed_hooks,
            context.flow.on_cancellation_hooks,
        ):
            if _close_all not in hooks:
                hooks.append(_close_all)
    describe_task(session)
    return session


@task(name=RUN_ROUND, task_run_name="round", cache_policy=NO_CACHE, persist_result=False)
def run_round(
    session: OpenSession, pubs: Sequence[SamplerPubLike], *, shots: int = 1024, stream: str = MAIN_STREAM
) -> list[MeasuredPub]:
    """Run circuits as one round of the session, all jobs at once; return the counts of each PUB by point.

    A PUB is a circuit, or a circuit with parameter values and shots, as for Qiskit's SamplerV2; `shots` is for those
    that state none. A point without counts is a `FailedPoint`, if the session's policy allows that. Rounds that run at
    the same time, as by `run_round.submit(…)`, each need their own `stream`, by which the journal numbers them. Raises
    InputError, ProgramError or StreamBusy before anything is submitted, ServiceError and CapReached after.
    """
    return measure_round(session, [SamplerPub.coerce(pub, shots) for pub in pubs], stream)


@task(name="keep alive", task_run_name="keep the session alive", cache_policy=NO_CACHE, persist_result=False)
def keep_alive(session: OpenSession) -> None:
    """Ping the session now, before the flow does something long; else it is pinged before it would idle out.

    Raises InputError for a session that is not pinged (`keep_alive="renew"` or `"off"`), ServiceError if it fails.
    """
    session.ping()
    describe_task(session)


@task(name="close session", task_run_name="close the session", cache_policy=NO_CACHE, persist_result=False)
def close_session(session: OpenSession) -> str:
    """Close the session and return its last status at the service; a second time changes nothing."""
    _close([session])
    describe_task(session)
    return session.status


def _close_all(flow: Any, flow_run: Any, state: Any) -> None:
    """Close the sessions that a flow run left open, at its end."""
    _close([session for session, (owner, _) in list(_held.items()) if owner == str(flow_run.id)])


def _close(sessions: Sequence[OpenSession]) -> None:
    with _changing:
        ends = [_held.pop(session)[1] for session in sessions if session in _held]
    with ExitStack() as closing:  # each is closed, even if another one can't be
        for held in ends:
            closing.callback(held.close)
