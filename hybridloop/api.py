"""The public functions: the flows called as functions, which start what is missing, and a session to oneself."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridloop.defaults import CALL, Layer, chosen
from hybridloop.environment import prefect, workspace_called
from hybridloop.errors import InputError
from hybridloop.flows.settings import SETTINGS, ProblemText, RunSettings
from hybridloop.geometry import molecule
from hybridloop.own_session import open_session, session_flow
from hybridloop.user_input import checked, read_problem, read_scan
from hybridloop.watching import Callback, shown, told

if TYPE_CHECKING:
    from hybridloop.flows.context import Update
    from hybridloop.flows.live import LiveFeed
    from hybridloop.flows.reproducing import Reproduced
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
        "vqe", problem, settings, run_key=run_key, workspace=workspace, on_progress=on_progress, callback=callback
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
        "adapt", problem, settings, run_key=run_key, workspace=workspace, on_progress=on_progress, callback=callback
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
        "vqd", problem, settings, run_key=run_key, workspace=workspace, on_progress=on_progress, callback=callback
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
    valid = chosen("scan", Layer(CALL, settings))
    return run(
        "scan",
        read_scan(problems),
        valid.settings,
        sources=valid.sources,
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
        "qaoa", problem, settings, run_key=run_key, workspace=workspace, on_progress=on_progress, callback=callback
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
        "rqaoa", problem, settings, run_key=run_key, workspace=workspace, on_progress=on_progress, callback=callback
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


def _start(algorithm: str, problem: str | Path | ProblemText, settings: Mapping[str, Any], **call: Any) -> RunResult:
    valid = chosen(algorithm, Layer(CALL, settings))
    return run(algorithm, read_problem(problem), valid.settings, sources=valid.sources, **call)


def checked_settings(algorithm: str, values: Mapping[str, Any]) -> RunSettings:
    """An algorithm's settings of these values, on top of the user's own; see `hybridloop.defaults.chosen`."""
    return chosen(algorithm, Layer(CALL, values)).settings


def run(
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    callback: Callback | None = None,
    feed: LiveFeed | None = None,
    sources: Mapping[str, str] = {},
) -> RunResult:
    """The run of that key gone on with, else a new one; see `vqe`.

    `feed` is told how it goes, for whoever shows it; `sources` says where settings were set, for the run's record.
    """
    with shown(feed) as seen:
        seen.prepare(algorithm, problem.name, settings.target)
        try:
            result = _run(algorithm, problem, settings, run_key, workspace, told(on_progress, callback), seen, sources)
        except BaseException as error:
            from hybridloop.flows.runs import status_after

            seen.end(status_after(error), "")  # whoever hears of the error is told why
            raise
        seen.end(result.status, result.reason)
        return result


def _run(
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    run_key: str | None,
    workspace: Any | None,
    on_progress: Callable[[Update], None] | None,
    feed: LiveFeed,
    sources: Mapping[str, str],
) -> RunResult:
    name = workspace if isinstance(workspace, str) else None  # which workspace that is only Prefect's server knows
    if run_key is not None and name is None:
        stored = _stored_result(algorithm, problem, settings, run_key, workspace)
        if stored is not None:
            return stored
    from hybridloop.flows.preparing import PREPARE

    drawn = secrets.randbits(63) if settings.seed is None else settings.seed
    prepared = PREPARE[algorithm](problem, settings, drawn)  # what can't be used is refused before anything is started
    at = workspace_called(workspace)
    with prefect():
        from hybridloop.flows.catalog import FLOWS
        from hybridloop.flows.context import called_with

        with called_with(at, on_progress, prepared, seed=drawn, feed=feed, sources=sources) as call:
            try:
                ended: RunResult = FLOWS[algorithm](problem, settings, run_key, name)
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
    workspace: str | Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    feed: LiveFeed | None = None,
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
        checked(SETTINGS[record.algorithm], {**settings, **(limits or {})}),  # its own: the user's may be others by now
        run_key=record.key,
        workspace=workspace,
        on_progress=on_progress,
        feed=feed,
    )


def reproduce(
    of: str | Path,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    feed: LiveFeed | None = None,
) -> Reproduced:
    """Run a finished run of the journal, or of a bundle, again with its settings and its seed, and compare.

    `of` is a key, or a bundle's path. The repetition's key is `run_key`, by default the run's with `-again`; one that
    was begun and not finished is gone on with. Raises InputError for a run without a result; else as `vqe`.
    """
    from hybridloop.flows.bundles import opened
    from hybridloop.flows.kept import kept_in_journal
    from hybridloop.flows.reproducing import Reproduced, check_repeatable, compared
    from hybridloop.flows.runs import FINISHED
    from hybridloop.sessions.journal import open_journal

    with opened(str(of)) as before:
        check_repeatable(before)
        record, problem = before.record, before.problem
        settings = before.settings.model_copy(update={"seed": record.seed})
        key = run_key or _key_of_repetition(record.key)
        ended = run(
            record.algorithm,
            problem,
            settings,
            run_key=key,
            workspace=workspace,
            on_progress=on_progress,
            feed=feed,
        )
        if ended.status not in FINISHED:
            return Reproduced(record.key, key, ended.status, (), {})
        with open_journal() as journal:
            return compared(before, kept_in_journal(journal, key))


def _key_of_repetition(key: str) -> str:
    """The first of KEY-again, KEY-again-2, … that is free, or is a repetition that was not finished."""
    from hybridloop.flows.runs import FINISHED, run_of_key
    from hybridloop.sessions.journal import open_journal

    with open_journal() as journal:
        for number in itertools.count(1):
            name = f"{key[:80]}-again{'' if number == 1 else f'-{number}'}"
            record = run_of_key(journal, name)
            if record is None or record.status not in FINISHED:
                return name
    raise AssertionError("unreachable")


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
