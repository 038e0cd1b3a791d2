"""The public functions: the flows called as functions, which start what is missing, and a session to oneself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridloop.calls import run
from hybridloop.defaults import CALL, Layer, chosen
from hybridloop.environment import prefect, workspace_called
from hybridloop.flows.settings import ProblemText
from hybridloop.geometry import molecule
from hybridloop.own_session import open_session, session_flow
from hybridloop.user_input import read_problem, read_scan
from hybridloop.watching import Callback, told

if TYPE_CHECKING:
    from hybridloop.flows.context import Update
    from hybridloop.flows.results import RunResult
    from hybridloop.flows.sweep_results import SweepResult
    from hybridloop.flows.sweep_spec import SweepSpec
    from hybridloop.flows.sweeping import OnPoint

__all__ = ["adapt", "molecule", "open_session", "qaoa", "rqaoa", "scan", "session_flow", "sweep", "vqd", "vqe"]

_log = logging.getLogger(__name__)


def vqe(
    problem: str | Path | ProblemText,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    callback: Callback | None = None,
    **settings: Any,
) -> RunResult:
    """Find a molecule's ground-state energy (hartree) as a Prefect flow run that owns one session.

    `problem` is a built-in name (`hybridloop problems`) or a file: FCIDUMP, QCSchema JSON, or a Pauli sum. `workspace`
    is the SDK's, or the name of a saved block (`hybridloop.blocks`); left out, it is what
    AZURE_QUANTUM_CONNECTION_STRING names, else a local service, which is started if need be. The settings, such as
    `shots=2000, seed=7`, are the fields of `hybridloop.flows.settings.VqeSettings`, of which `ansatz` may be a Qiskit
    circuit. `callback(round, point, value, error)` is called after every round that is measured, `on_progress` with
    more of it (`hybridloop.flows.context.Update`); what one of them raises ends the run, which can be gone on with:
    CallbackFailed. In a notebook the run is shown as it goes. The run of `run_key` is gone on with, if there is one; if
    it has ended, its result is given. A run that is stopped or parked gives a result without a value. Raises InputError
    before anything is started, RunBusy where another process holds the run, ServiceError for trouble of the service.
    """
    return _start(
        "vqe",
        read_problem(problem),
        settings,
        run_key=run_key,
        workspace=workspace,
        on_progress=on_progress,
        callback=callback,
    )


def adapt(
    problem: str | Path | ProblemText,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    callback: Callback | None = None,
    **settings: Any,
) -> RunResult:
    """Find a molecule's ground-state energy (hartree) by ADAPT-VQE, with a circuit that grows operator by operator.

    The result's `table` has the operators. The settings are the fields of `hybridloop.flows.settings.AdaptSettings`.
    All else is as in `vqe`.
    """
    return _start(
        "adapt",
        read_problem(problem),
        settings,
        run_key=run_key,
        workspace=workspace,
        on_progress=on_progress,
        callback=callback,
    )


def vqd(
    problem: str | Path | ProblemText,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    callback: Callback | None = None,
    **settings: Any,
) -> RunResult:
    """Find a molecule's lowest energy levels (hartree) by variational quantum deflation.

    The result's `table` has the levels; its value is the ground state's energy. The settings are the fields of
    `hybridloop.flows.settings.VqdSettings`. All else is as in `vqe`.
    """
    return _start(
        "vqd",
        read_problem(problem),
        settings,
        run_key=run_key,
        workspace=workspace,
        on_progress=on_progress,
        callback=callback,
    )


def scan(
    problems: Sequence[str | Path | ProblemText],
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    callback: Callback | None = None,
    **settings: Any,
) -> RunResult:
    """Find the ground-state energy (hartree) of one molecule after the other, in one run and one session.

    `problems` are such as `vqe` takes, of which neighbours should be alike. The result's `table` has the points; its
    value is the first one's. The settings are the fields of `hybridloop.flows.settings.ScanSettings`. A point starts
    from the angles of the one before where the orbitals' signs and order can be told and the energy there, which is
    measured, lies below Hartree-Fock's. All else is as in `vqe`.
    """
    return _start(
        "scan",
        read_scan(problems),
        settings,
        run_key=run_key,
        workspace=workspace,
        on_progress=on_progress,
        callback=callback,
    )


def qaoa(
    problem: str | Path | ProblemText,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    callback: Callback | None = None,
    **settings: Any,
) -> RunResult:
    """Find a good assignment of a binary problem by QAOA at fixed angles, by default in one job.

    `problem` is a built-in name (`hybridloop problems`) or a file: edge list, GraphML, node-link JSON, or JSON with a
    QUBO, spins, numbers to part or a portfolio. The settings are the fields of
    `hybridloop.flows.settings.QaoaSettings`. All else is as in `vqe`.
    """
    return _start(
        "qaoa",
        read_problem(problem),
        settings,
        run_key=run_key,
        workspace=workspace,
        on_progress=on_progress,
        callback=callback,
    )


def rqaoa(
    problem: str | Path | ProblemText,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    callback: Callback | None = None,
    **settings: Any,
) -> RunResult:
    """Find a good assignment of a binary problem by recursive QAOA, one job a round; see `qaoa`.

    The settings are the fields of `hybridloop.flows.settings.RqaoaSettings`.
    """
    return _start(
        "rqaoa",
        read_problem(problem),
        settings,
        run_key=run_key,
        workspace=workspace,
        on_progress=on_progress,
        callback=callback,
    )


def sweep(
    spec: str | Path | Mapping[str, Any] | SweepSpec,
    *,
    workspace: str | Any | None = None,
    on_point: OnPoint | None = None,
    **changes: Any,
) -> SweepResult:
    """Run many points, a grid or list of settings and problems, each as a flow run with its own session.

    `spec` is a YAML file, or its values by name: the fields of `hybridloop.flows.sweep_spec.SweepSpec`, of which
    `changes` replace some, such as `max_sessions=3`. Problems may be files, folders and patterns. Points run on the
    workers of the algorithm's deployment where some are online, else in processes on this machine. Those that have
    their result are not run again. `on_point` is called with each point's row. The result is one table; a point that
    failed is in it, and stopped no other. Raises InputError before anything is started.
    """
    from hybridloop.sweep_input import read_sweep

    valid = read_sweep(spec, **changes)
    at = workspace_called(workspace)
    with prefect():
        from hybridloop.flows.context import called_with
        from hybridloop.flows.sweep import sweep as flow
        from hybridloop.flows.sweep import told_of_points

        with called_with(at, None), told_of_points(on_point) as given_back:
            try:
                ended: SweepResult = flow(valid, workspace if isinstance(workspace, str) else None)
                return ended
            except Exception as error:
                if not given_back:
                    raise
                _log.warning("Prefect could not note the end of the sweep, which is over: %s", error)
                return given_back[0]


def keep_house(*, workspace: str | Any | None = None) -> dict[str, str]:
    """Run the housekeeping flow once: what became of each session and run that it touched, by the run's key.

    It closes what dead runs left open, and goes on with parked runs whose jobs are done and those left to it.
    """
    at = workspace_called(workspace)
    with prefect():
        from hybridloop.flows.context import called_with
        from hybridloop.flows.housekeeping import housekeeping

        with called_with(at, None):
            return housekeeping(workspace=workspace if isinstance(workspace, str) else None)


def _start(
    algorithm: str,
    problem: ProblemText,
    settings: Mapping[str, Any],
    *,
    on_progress: Callable[[Update], None] | None,
    callback: Callback | None,
    **call: Any,
) -> RunResult:
    valid = chosen(algorithm, Layer(CALL, settings))
    listener = told(on_progress, callback)
    return run(algorithm, problem, valid.settings, sources=valid.sources, on_progress=listener, **call)
