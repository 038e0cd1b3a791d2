"""The public functions: the flows called as functions, which start what is missing, and a session to oneself."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridloop.environment import default_workspace, prefect
from hybridloop.errors import InputError
from hybridloop.flows.settings import SETTINGS, ProblemText, RunSettings
from hybridloop.geometry import molecule
from hybridloop.own_session import open_session
from hybridloop.user_input import checked, circuit_text, read_problem, read_scan

if TYPE_CHECKING:
    from hybridloop.flows.context import Update
    from hybridloop.flows.results import RunResult

__all__ = ["adapt", "molecule", "open_session", "qaoa", "rqaoa", "scan", "vqd", "vqe"]

_log = logging.getLogger(__name__)


def vqe(
    problem: str | Path | ProblemText,
    *,
    run_key: str | None = None,
    workspace: Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    **settings: Any,
) -> RunResult:
    """Find a molecule's ground-state energy (hartree) as a Prefect flow run that owns one session.

    `problem` is a built-in name (`hybridloop problems`) or a file: FCIDUMP, QCSchema JSON, or a Pauli sum. `workspace`
    is the SDK's; left out, it is what AZURE_QUANTUM_CONNECTION_STRING names, else a local service, which is started if
    need be. The settings, such as `shots=2000, seed=7`, are the fields of `hybridloop.flows.settings.VqeSettings`, of
    which `ansatz` may be a Qiskit circuit. `on_progress` is called after every round. The run of `run_key` is gone on
    with, if there is one; if it has ended, its result is given. A run that is stopped or parked gives a result without
    a value. Raises InputError before anything is started, RunBusy where another process holds the run, ServiceError
    for trouble of the service.
    """
    return _start("vqe", problem, settings, run_key=run_key, workspace=workspace, on_progress=on_progress)


def adapt(
    problem: str | Path | ProblemText,
    *,
    run_key: str | None = None,
    workspace: Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    **settings: Any,
) -> RunResult:
    """Find a molecule's ground-state energy (hartree) by ADAPT-VQE, with a circuit that grows operator by operator.

    The result's `table` has the operators. The settings are the fields of `hybridloop.flows.settings.AdaptSettings`.
    All else is as in `vqe`.
    """
    return _start("adapt", problem, settings, run_key=run_key, workspace=workspace, on_progress=on_progress)


def vqd(
    problem: str | Path | ProblemText,
    *,
    run_key: str | None = None,
    workspace: Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    **settings: Any,
) -> RunResult:
    """Find a molecule's lowest energy levels (hartree) by variational quantum deflation.

    The result's `table` has the levels; its value is the ground state's energy. The settings are the fields of
    `hybridloop.flows.settings.VqdSettings`. All else is as in `vqe`.
    """
    return _start("vqd", problem, settings, run_key=run_key, workspace=workspace, on_progress=on_progress)


def scan(
    problems: Sequence[str | Path | ProblemText],
    *,
    run_key: str | None = None,
    workspace: Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    **settings: Any,
) -> RunResult:
    """Find the ground-state energy (hartree) of one molecule after the other, in one run and one session.

    `problems` are such as `vqe` takes, of which neighbours should be alike. The result's `table` has the points; its
    value is the first one's. The settings are the fields of `hybridloop.flows.settings.ScanSettings`. A point starts
    from the angles of the one before where the orbitals' signs and order can be told and the energy there, which is
    measured, lies below Hartree-Fock's. All else is as in `vqe`.
    """
    valid = checked_settings("scan", settings)
    return run("scan", read_scan(problems), valid, run_key=run_key, workspace=workspace, on_progress=on_progress)


def qaoa(
    problem: str | Path | ProblemText,
    *,
    run_key: str | None = None,
    workspace: Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    **settings: Any,
) -> RunResult:
    """Find a good assignment of a binary problem by QAOA at fixed angles, by default in one job.

    `problem` is a built-in name (`hybridloop problems`) or a file: edge list, GraphML, node-link JSON, or JSON with a
    QUBO, spins, numbers to part or a portfolio. The settings are the fields of
    `hybridloop.flows.settings.QaoaSettings`. All else is as in `vqe`.
    """
    return _start("qaoa", problem, settings, run_key=run_key, workspace=workspace, on_progress=on_progress)


def rqaoa(
    problem: str | Path | ProblemText,
    *,
    run_key: str | None = None,
    workspace: Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    **settings: Any,
) -> RunResult:
    """Find a good assignment of a binary problem by recursive QAOA, one job a round; see `qaoa`.

    The settings are the fields of `hybridloop.flows.settings.RqaoaSettings`.
    """
    return _start("rqaoa", problem, settings, run_key=run_key, workspace=workspace, on_progress=on_progress)


def _start(algorithm: str, problem: str | Path | ProblemText, settings: Mapping[str, Any], **call: Any) -> RunResult:
    valid = checked_settings(algorithm, settings)
    return run(algorithm, read_problem(problem), valid, **call)


def checked_settings(algorithm: str, values: Mapping[str, Any]) -> RunSettings:
    """An algorithm's settings of these values. Raises InputError with the first field that is off.

    An `ansatz` may be a Qiskit circuit, or the path of a file in OpenQASM 3.
    """
    if "ansatz" in values:
        values = {**values, "ansatz": circuit_text(values["ansatz"])}
    return checked(SETTINGS[algorithm], values)


def run(
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    *,
    run_key: str | None = None,
    workspace: Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
) -> RunResult:
    """The run of that key gone on with, else a new one; see `vqe`."""
    if run_key is not None and (stored := _stored_result(algorithm, problem, settings, run_key, workspace)) is not None:
        return stored
    from hybridloop.flows.preparing import PREPARE

    drawn = secrets.randbits(63) if settings.seed is None else settings.seed
    prepared = PREPARE[algorithm](problem, settings, drawn)  # what can't be used is refused before anything is started
    workspace = default_workspace() if workspace is None else workspace
    with prefect():
        from hybridloop.flows.catalog import FLOWS
        from hybridloop.flows.context import called_with

        with called_with(workspace, on_progress, prepared, seed=drawn) as call:
            try:
                ended: RunResult = FLOWS[algorithm](problem, settings, run_key)
                return ended
            except Exception as error:
                if call.cancelled is not None:
                    raise call.cancelled from error
                if call.result is None:
                    raise
                _log.warning("Prefect could not note the end of the run, which is complete: %s", error)
                return call.result


def resume(
    key: str,
    limits: Mapping[str, Any] | None = None,
    *,
    workspace: Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
) -> RunResult:
    """Go on with the run of a key (or the beginning of its uid), with other limits if some are given; see `vqe`."""
    from hybridloop.flows.runs import problem_of, settings_of
    from hybridloop.sessions.journal import open_journal

    with open_journal() as journal:
        record = journal.run(key)
        if record.algorithm not in SETTINGS:
            raise InputError(
                "run",
                f"run {record.key!r} is a script's, and only the script knows what it asks for",
                f"Start the script again with run_key={record.key!r}: what was measured comes from the journal.",
            )
        settings = settings_of(journal, record).model_dump(mode="json")
    return run(
        record.algorithm,
        problem_of(record),
        checked_settings(record.algorithm, {**settings, **(limits or {})}),
        run_key=record.key,
        workspace=workspace,
        on_progress=on_progress,
    )


def keep_house(*, workspace: Any | None = None) -> dict[str, str]:
    """Run the housekeeping flow once: what became of each session and run that it touched, by the run's key.

    It closes what dead runs left open, and goes on with parked runs whose jobs are done and those left to it.
    """
    at = default_workspace() if workspace is None else workspace
    with prefect():
        from hybridloop.flows.context import called_with
        from hybridloop.flows.housekeeping import housekeeping

        with called_with(at, None):
            return housekeeping()


def _stored_result(
    algorithm: str, problem: ProblemText, settings: RunSettings, run_key: str, workspace: Any | None
) -> RunResult | None:
    """The result of a run that has ended; None where there is something to do.

    Raises InputError where its settings are others, and RunBusy where somebody is doing it, before much is imported.
    """
    from hybridloop.flows.runs import Wanted, find_run, go_on
    from hybridloop.sessions.journal import check_key, open_journal

    check_key(run_key)
    with open_journal() as journal:
        found = find_run(journal, Wanted(algorithm, problem, settings, _identity(workspace), run_key))
        if found.result is None:
            if found.record is not None:
                go_on(journal, found.record)
            return None
    from hybridloop.flows.results import RunResult

    return RunResult.from_dict(found.result)


def _identity(workspace: Any | None) -> dict[str, str]:
    """Which workspace a run would go to; starts nothing."""
    from hybridloop.sessions.workspace import LocalService, connect, connect_from_environment, identity_of

    return identity_of(workspace or connect_from_environment() or connect(LocalService("http://127.0.0.1/", "none")))
