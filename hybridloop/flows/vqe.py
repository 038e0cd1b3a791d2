"""The ground-state energy of a molecule by VQE, in one session."""

from __future__ import annotations

import secrets
import time

from prefect import flow

from hybridloop.algorithms.vqe import VqeResult
from hybridloop.algorithms.vqe import vqe as minimize_energy
from hybridloop.flows.context import keep, prepared_by_caller, reports_of, workspace_of_run
from hybridloop.flows.problems import PreparedVqe, exact_energy, prepare_vqe
from hybridloop.flows.results import RunResult, SessionRecord
from hybridloop.flows.settings import ProblemText, VqeSettings
from hybridloop.sessions.catalog import check_offered
from hybridloop.sessions.policy import FailurePolicy
from hybridloop.sessions.run import unkept_run
from hybridloop.sessions.session import OpenSession
from hybridloop.sessions.targets import find_target
from hybridloop.tasks.session import rounds_of_flow, session_of_flow

DEFAULTS = VqeSettings()


@flow(name="vqe", flow_run_name="vqe-{problem.name}", persist_result=False)
def vqe(problem: ProblemText, settings: VqeSettings = DEFAULTS) -> RunResult:
    """Find a molecule's ground-state energy in one session, which is closed however the run ends.

    Raises InputError before a session is opened, ServiceError for trouble of the service.
    """
    started = time.monotonic()
    seed = secrets.randbits(63) if settings.seed is None else settings.seed
    prepared = prepared_by_caller() or prepare_vqe(problem, settings, seed)
    workspace = workspace_of_run()
    check_offered(workspace, find_target(settings.target), prepared.problem.encoding.num_qubits)
    with (
        unkept_run(settings.target, seed=seed) as run,
        session_of_flow(
            workspace, settings.target, run=run, name=f"vqe-{problem.name}", policy=FailurePolicy()
        ) as session,
    ):
        found = minimize_energy(
            prepared.problem.hamiltonian,
            prepared.ansatz,
            prepared.optimizer,
            rounds_of_flow(session),
            shots=settings.shots,
            precision=settings.precision,
            max_rounds=settings.max_rounds,
            on_progress=reports_of(session),
        )
    return keep(_result(problem, prepared, found, session, time.monotonic() - started))


def _result(
    problem: ProblemText, prepared: PreparedVqe, found: VqeResult, session: OpenSession, wall_seconds: float
) -> RunResult:
    molecule = prepared.problem.molecule
    return RunResult(
        run_key=f"vqe-{problem.name}-{session.run_uid[:8]}",
        algorithm="vqe",
        problem=problem.name,
        target=session.target.name,
        status="converged" if found.converged else "finished",
        reason=found.reason,
        value=found.value,
        standard_error=found.standard_error,
        interval95=found.interval95,
        is_exact=found.is_exact,
        rounding_bound=found.rounding_bound,
        is_precise=found.is_precise,
        exact=exact_energy(molecule),
        reference=molecule.hartree_fock_energy,
        parameters=found.parameters,
        rounds=found.rounds,
        jobs=session.jobs,
        shots=session.shots,
        cost=session.cost,
        sessions=(SessionRecord(session.id, session.status, session.jobs),),
        seed=session.seed,
        wall_seconds=wall_seconds,
        history=found.history,
    )
