"""Public functions that run algorithms, sweeps and housekeeping: flows called as functions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from hybridloop.api.environment import flow_environment
from hybridloop.api.optimizers import optimizer_by_name
from hybridloop.api.options import (
    AdaptOptions,
    LevelsOptions,
    QaoaOptions,
    RqaoaOptions,
    SqdOptions,
    SweepOptions,
    VqeOptions,
)
from hybridloop.api.progress import combine_callbacks
from hybridloop.api.runs import run
from hybridloop.settings.inputs import pop_geometry, read_for
from hybridloop.settings.sources import CALL, Layer, resolve_settings

if TYPE_CHECKING:
    from hybridloop.flows.sweep_execution.results import SweepResult
    from hybridloop.flows.sweep_execution.scheduler import OnPoint
    from hybridloop.flows.sweep_execution.spec import SweepSpec
    from hybridloop.runs.result import RunResult

_log = logging.getLogger(__name__)


def vqe(problem: Any, **options: Unpack[VqeOptions]) -> RunResult:
    """Find a molecule's ground-state energy (hartree) as a Prefect flow run that owns one session.

    `problem` is a built-in name (`hybridloop problems`), a file (FCIDUMP, a Pauli sum, XYZ), atoms such
    as `H 0 0 0; H 0 0 0.74` in Å, or an object: a Qiskit SparsePauliOp, an OpenFermion or PennyLane operator, a PySCF
    Mole, SCF, CASCI or CASSCF. `basis` (default sto-3g) and `charge` are those of a geometry, whose integrals PySCF
    computes. The options are the fields of `hybridloop.VqeSettings`, such as `shots=2000, seed=7`, and these four:

    - `run_key`: a name for the run. The run of that name is resumed, if there is one; if it is finished, its stored
      result is returned.
    - `workspace`: the SDK's Workspace, a resource id, or the name of a saved block (`hybridloop.blocks`). Without it,
      the environment names the workspace (AZURE_QUANTUM_CONNECTION_STRING, AZURE_QUANTUM_WORKSPACE_NAME); else a local
      service is used, and started if needed.
    - `callback(round, point, value, standard_error)`: called after each measured round.
    - `on_progress(update)`: called after each measured round with a `hybridloop.RoundUpdate`.

    `ansatz` may be a Qiskit circuit, `optimizer` an object of yours: a function `minimize(fun, x0)` in SciPy's
    signature, an object with `ask` and `tell`, or an optimizer of qiskit-algorithms. An exception of it or of a
    callback ends the run with CallbackFailed; it can be resumed. In a notebook the run is displayed while it is under
    way. A stopped or parked run returns a result without a value. Raises InputError before anything is started, RunBusy
    if another process holds the run, ServiceError for errors of the service.
    """
    return _run("vqe", problem, options)


def adapt(problem: Any, **options: Unpack[AdaptOptions]) -> RunResult:
    """Find a molecule's ground-state energy (hartree) by ADAPT-VQE, with a circuit that grows operator by operator.

    The result's `table` has the operators. The options are the fields of `hybridloop.AdaptSettings`, and the
    other four of `vqe`.
    """
    return _run("adapt", problem, options)


def levels(problem: Any, **options: Unpack[LevelsOptions]) -> RunResult:
    """Find the lowest energy levels of a molecule (hartree) or a Pauli sum, in one to three rounds.

    The result's `table` has the levels, and its value is the lowest. A molecule's are measured after a VQE, and have
    its alpha and beta electrons and any spin. The options are the fields of `hybridloop.LevelsSettings`, and the other
    four of `vqe`.
    """
    return _run("levels", problem, options)


def sqd(problem: Any, **options: Unpack[SqdOptions]) -> RunResult:
    """Find an upper bound on a molecule's ground-state energy (hartree) by sample-based quantum diagonalization.

    One round samples a circuit's state; its samples choose subspaces, in which PySCF diagonalizes the Hamiltonian. The
    result's `table` has the best state of each iteration, the extrapolation in the energy's variance, and classical
    subspaces of the same size. The options are the fields of `hybridloop.SqdSettings`, and the other four of `vqe`.
    """
    return _run("sqd", problem, options)


def scan(problems: Sequence[Any], **options: Unpack[VqeOptions]) -> RunResult:
    """Find the ground-state energies (hartree) of several molecules, one VQE after the other in one run and session.

    `problems` are as for `vqe`; neighbours should be similar. A point starts from the angles of the previous point
    where the orbitals can be matched and the energy there, which is measured, lies below Hartree-Fock's. The result's
    `table` has the points; its value is the first point's. The options are those of `vqe`.
    """
    return _run("scan", problems, options)


def qaoa(problem: Any, **options: Unpack[QaoaOptions]) -> RunResult:
    """Find a good assignment of a binary problem by QAOA at fixed angles, by default in one job.

    `problem` is a built-in name (`hybridloop problems`), a file (edge list, CSV, GraphML, or
    JSON with a graph, a QUBO, an Ising model, numbers to partition or a portfolio), or an object: a networkx or
    rustworkx graph, weighted edges as a list of tuples or a dict by pair, a square matrix of NumPy, SciPy or pandas,
    a dimod BinaryQuadraticModel, a diagonal SparsePauliOp. A matrix or dict with a diagonal is a QUBO, one without
    a graph. The options are the fields of `hybridloop.QaoaSettings`, and the other four of `vqe`.
    """
    return _run("qaoa", problem, options)


def rqaoa(problem: Any, **options: Unpack[RqaoaOptions]) -> RunResult:
    """Find a good assignment of a binary problem by recursive QAOA, one job a round; see `qaoa`.

    The options are the fields of `hybridloop.RqaoaSettings`, and the other four of `vqe`.
    """
    return _run("rqaoa", problem, options)


def sweep(
    spec: str | Path | Mapping[str, Any] | SweepSpec,
    *,
    workspace: str | Any | None = None,
    on_point: OnPoint | None = None,
    **changes: Unpack[SweepOptions],
) -> SweepResult:
    """Run many points, a grid or list of settings and problems, each as a flow run with its own session.

    `spec` is a YAML file, or a mapping with the fields of `hybridloop.SweepSpec`; `changes` replace fields, for example
    `max_sessions=3`. Problems may be files, folders and patterns. Points run on the workers of the algorithm's
    deployment if some are online, else in processes on this machine. Finished points are not run again. `on_point` is
    called with each point's row. A failed point is a row of the result, and does not stop the others. Raises InputError
    before anything is started.
    """
    from hybridloop.api.sweep_costs import points_tracked
    from hybridloop.api.sweep_input import read_sweep

    valid = read_sweep(spec, **changes)
    with flow_environment(workspace) as caller, points_tracked(valid):
        from hybridloop.flows.sweep import sweep as flow

        caller.on_point = on_point
        try:
            result: SweepResult = flow(valid, workspace if isinstance(workspace, str) else None)
        except KeyboardInterrupt as error:
            error.add_note("All sessions of points that ran here are closed. The same call resumes the sweep.")
            raise
        except Exception as error:
            if caller.end is None:
                raise
            _log.warning("Prefect could not store the end of the sweep, which is finished: %s", error)
            result = caller.end  # type: ignore[assignment]  # a sweep leaves nothing else there
        return result


def run_housekeeping(*, workspace: str | Any | None = None) -> dict[str, str]:
    """Run the housekeeping flow once; return the outcome for each changed session and run, by the run's key.

    It closes sessions that dead runs left open, and resumes parked runs whose jobs are done and runs that were left to
    it.
    """
    with flow_environment(workspace):
        from hybridloop.flows.housekeeping import housekeeping

        return housekeeping(workspace=workspace if isinstance(workspace, str) else None)


def _run(algorithm: str, problem: Any, options: Mapping[str, Any]) -> RunResult:
    settings = dict(options)
    geometry = pop_geometry(algorithm, settings)
    run_key, workspace = settings.pop("run_key", None), settings.pop("workspace", None)
    on_progress = combine_callbacks(settings.pop("on_progress", None), settings.pop("callback", None))
    with optimizer_by_name(settings) as named:
        resolved = resolve_settings(algorithm, Layer(CALL, named))
        text = read_for(algorithm, problem, resolved.settings, geometry)
        return run(algorithm, text, resolved, run_key=run_key, workspace=workspace, on_progress=on_progress)
