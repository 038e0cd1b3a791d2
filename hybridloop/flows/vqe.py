"""The ground-state energy of a molecule by VQE, in a run that outlives its process."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from hybridloop.algorithms.vqe import Progress, VqeResult
from hybridloop.algorithms.vqe import vqe as minimize_energy
from hybridloop.errors import CapReached, RunStopped
from hybridloop.flows.cancelling import cancelled_in_prefect
from hybridloop.flows.closing import close_what_is_left
from hybridloop.flows.context import Reports, keep, prepared_by_caller, seed_of_caller, workspace_of_run
from hybridloop.flows.endings import account, finished, stopped
from hybridloop.flows.problems import PreparedVqe, exact_energy, prepare_vqe
from hybridloop.flows.results import Account, RunResult
from hybridloop.flows.runs import Found, Wanted, find_run, run_of_flow, session_of_run
from hybridloop.flows.settings import ProblemText, VqeSettings
from hybridloop.sessions.catalog import check_offered
from hybridloop.sessions.journal import open_journal
from hybridloop.sessions.run import ClaimedRun
from hybridloop.sessions.targets import find_target
from hybridloop.sessions.workspace import identity_of
from hybridloop.tasks.session import RoundsOfFlow, session_of_flow

DEFAULTS = VqeSettings()


@flow(
    name="vqe",
    flow_run_name="vqe-{problem.name}",
    persist_result=False,
    on_crashed=[close_what_is_left],
    on_cancellation=[close_what_is_left],
)
def vqe(problem: ProblemText, settings: VqeSettings = DEFAULTS, run_key: str | None = None) -> RunResult:
    """Find a molecule's ground-state energy in a run of one session at a time, closed however the run ends.

    The run of `run_key` is gone on with, if there is one; so is the one that this flow run began before it died. Raises
    InputError before a session is opened, RunBusy where another process holds the run, ServiceError for trouble of the
    service. A run that was stopped or parked gives what it has so far.
    """
    workspace = workspace_of_run()
    with open_journal() as journal:
        here = identity_of(workspace)
        found = find_run(journal, Wanted("vqe", problem, settings, here, run_key, flow_run.id, seed_of_caller()))
        if found.result is not None:
            return keep(RunResult.from_dict(found.result))
        prepared = prepared_by_caller(found.seed) or prepare_vqe(problem, found.settings, found.seed)
        check_offered(workspace, find_target(settings.target), prepared.problem.encoding.num_qubits)
        with run_of_flow(journal, found) as run:
            ended: RunResult = _measured(workspace, prepared, found, run)
            return ended


def _measured(workspace: Any, prepared: PreparedVqe, found: Found, run: ClaimedRun) -> Any:
    """The result; where the run ends before it has one, the state that the flow run is to end in."""
    settings, started, cancelled = found.settings, time.monotonic(), threading.Event()
    energy: VqeResult | None = None
    history: list[Progress] = []
    ending: CapReached | RunStopped | None = None
    try:
        with (
            session_of_flow(settings.target, session_of_run(workspace, settings, run)) as session,
            cancelled_in_prefect(flow_run.id, cancelled, session.stop),
        ):
            rounds = RoundsOfFlow(session)
            energy = minimize_energy(
                prepared.problem.hamiltonian,
                prepared.ansatz,
                prepared.optimizer,
                rounds,
                shots=settings.shots,
                precision=settings.precision,
                max_rounds=settings.max_rounds,
                on_lost=prepared.on_lost,
                on_progress=Reports(session, rounds, history),
            )
    except (CapReached, RunStopped) as error:
        ending = error
    done = account(run, wall_seconds=time.monotonic() - started, resumed=found.record is not None)
    result = _result(found, prepared, energy, history, done)
    return finished(run, result) if ending is None else stopped(run, result, ending, cancelled=cancelled.is_set())


def _result(
    of: Found, prepared: PreparedVqe, energy: VqeResult | None, history: Sequence[Progress], taken: Account
) -> RunResult:
    """The result; without a value where the run has not come to one yet."""
    molecule = prepared.problem.molecule
    so_far = RunResult(
        run_key=taken.run_key,
        algorithm="vqe",
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
        exact=exact_energy(molecule),
        reference=molecule.hartree_fock_energy,
        parameters=history[-1].point if history else (),
        rounds=len(history),
        jobs=taken.jobs,
        retried=taken.retried,
        pings=taken.pings,
        shots=taken.shots,
        cost=taken.cost,
        sessions=taken.sessions,
        seed=taken.seed,
        wall_seconds=taken.wall_seconds,
        resumed=taken.resumed,
        history=tuple(history),
    )
    if energy is None:
        return so_far
    return replace(
        so_far,
        status="converged" if energy.converged else "finished",
        reason=energy.reason,
        value=energy.value,
        standard_error=energy.standard_error,
        interval95=energy.interval95,
        is_exact=energy.is_exact,
        rounding_bound=energy.rounding_bound,
        is_precise=energy.is_precise,
        parameters=energy.parameters,
    )
