"""A run inside its flow run: found or begun, measured in one session at a time, ended in a state that says how."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from prefect.runtime import flow_run

from hybridloop.algorithms.doubts import below_exact
from hybridloop.algorithms.outcome import Outcome, Progress
from hybridloop.errors import CapReached, RunStopped
from hybridloop.flows.artifact import RunArtifact
from hybridloop.flows.context import (
    Reports,
    keep,
    prepared_by_caller,
    seed_of_caller,
    sources_of_caller,
    tasks_untagged,
    workspace_of_run,
)
from hybridloop.flows.endings import account, finished, stopped
from hybridloop.flows.holding import held_session
from hybridloop.flows.outages import check_target
from hybridloop.flows.overriding import with_deployments
from hybridloop.flows.preparing import PREPARE
from hybridloop.flows.problems import Prepared
from hybridloop.flows.results import Account, RunResult
from hybridloop.flows.runs import Found, Wanted, find_run, run_of_flow
from hybridloop.flows.settings import ProblemText, RunSettings
from hybridloop.sessions.journal import open_journal
from hybridloop.sessions.run import ClaimedRun
from hybridloop.sessions.workspace import identity_of
from hybridloop.tasks.session import RoundsOfFlow


def run_in_flow(
    algorithm: str, problem: ProblemText, settings: RunSettings, run_key: str | None, workspace_name: str | None = None
) -> RunResult:
    """The body of an algorithm's flow; `workspace_name` is a saved block's, None: the caller's or the environment's.

    The run of `run_key` is gone on with, if there is one; so is the one that this flow run began before it died. Raises
    InputError before a session is opened, RunBusy where another process holds the run, ServiceError for trouble of the
    service. A run that was stopped or parked gives what it has so far.
    """
    settings = with_deployments(settings)
    workspace = workspace_of_run(workspace_name)
    with tasks_untagged(), open_journal() as journal:
        here = identity_of(workspace)
        wanted = Wanted(algorithm, problem, settings, here, run_key, flow_run.id, seed_of_caller(), sources_of_caller())
        found = find_run(journal, wanted)
        if found.result is not None:
            return keep(RunResult.from_dict(found.result))
        prepared = prepared_by_caller(found.seed) or PREPARE[algorithm](problem, found.settings, found.seed)
        is_there = check_target(workspace, settings, prepared.num_qubits)
        with run_of_flow(journal, found) as run:
            ended: RunResult = _measured(workspace, prepared, found, run, is_there=is_there)
            return ended


def _measured(workspace: Any, prepared: Prepared, found: Found, run: ClaimedRun, *, is_there: bool) -> Any:
    """The result; where the run ends before it has one, the state that the flow run is to end in."""
    settings, started, cancelled = found.settings, time.monotonic(), threading.Event()
    outcome: Outcome | None = None
    history: list[Progress] = []
    ending: CapReached | RunStopped | None = None
    artifact = RunArtifact(run.record.key, run.uid, flow_run.id)
    exact = functools.cache(lambda: prepared.exact)  # a diagonalization, maybe of a second

    def so_far() -> RunResult:
        taken = account(run, wall_seconds=time.monotonic() - started, resumed=found.record is not None)
        return _result(found, prepared, exact(), outcome, history, taken)

    try:
        with held_session(workspace, settings, run, cancelled, is_there=is_there) as session:
            rounds = RoundsOfFlow(session)
            reports = Reports(session, rounds, history, prepared, run.record.key, also=lambda: artifact.update(so_far))
            outcome = prepared.measured(rounds, reports)
    except (CapReached, RunStopped) as error:
        ending = error
    result = so_far()
    if ending is None:
        return finished(run, result, artifact)
    return stopped(run, result, ending, artifact, cancelled=cancelled.is_set())


def _result(
    of: Found,
    prepared: Prepared,
    exact: float | None,
    outcome: Outcome | None,
    history: Sequence[Progress],
    taken: Account,
) -> RunResult:
    """The result; without a value where the run has not come to one yet."""
    so_far = RunResult(
        run_key=taken.run_key,
        algorithm=of.wanted.algorithm,
        problem=of.wanted.problem.name,
        target=taken.target,
        status="running",
        reason="",
        value=None,
        standard_error=None,
        interval95=None,
        is_exact=False,
        rounding_bound=0.0,
        is_precise=False,
        exact=exact,
        reference=prepared.reference,
        parameters=history[-1].point if history else (),
        rounds=len(history),
        jobs=taken.jobs,
        retried=taken.retried,
        pings=taken.pings,
        shots=taken.shots,
        cost=taken.cost,
        estimated=taken.estimated,
        reserved=taken.reserved,
        sessions=taken.sessions,
        seed=taken.seed,
        wall_seconds=taken.wall_seconds,
        resumed=taken.resumed,
        history=tuple(history),
        unit=prepared.unit,
    )
    if outcome is None:
        return so_far
    return replace(
        so_far,
        status="converged" if outcome.converged else "finished",
        reason=outcome.reason,
        value=outcome.value,
        rounds=outcome.rounds,
        standard_error=outcome.standard_error,
        interval95=outcome.interval95,
        is_exact=outcome.is_exact,
        rounding_bound=outcome.rounding_bound,
        is_precise=outcome.is_precise,
        parameters=outcome.parameters,
        best_bitstring=outcome.best_bitstring,
        best_value=outcome.best_value,
        approximation_ratio=outcome.approximation_ratio,
        table=outcome.table,
        warnings=all_warnings(outcome, prepared.unit, exact),
        choices=outcome.choices,
    )


def all_warnings(outcome: Outcome, unit: str, exact: float | None) -> tuple[str, ...]:
    """The algorithm's own, and what the exact energy tells of the value; no such bound holds for a mean objective."""
    if unit != "hartree":
        return outcome.warnings
    below = below_exact(outcome.value, outcome.standard_error, outcome.rounding_bound, exact)
    return outcome.warnings if below is None else (*outcome.warnings, below)
