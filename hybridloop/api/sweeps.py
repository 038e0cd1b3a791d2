"""Public functions that run sweeps and housekeeping: flows called as functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from hybridloop.api.environment import flow_environment

if TYPE_CHECKING:
    from hybridloop.flows.sweep_execution.results import SweepResult
    from hybridloop.flows.sweep_execution.scheduler import OnPoint
    from hybridloop.flows.sweep_execution.spec import SweepSpec


class SweepOptions(TypedDict, total=False):
    """Fields of a sweep that replace those of its file; see `hybridloop.SweepSpec`."""

    name: str
    algorithm: str
    problems: Any  # one or a list, each as for the algorithm
    settings: Mapping[str, Any]
    grid: Mapping[str, Sequence[Any]]
    points: Sequence[Mapping[str, Any]]
    max_sessions: int | None
    max_cost: Any  # of all points together, such as "50USD"
    in_flight: int | None
    attempts: int
    deployment: str | None
    axis: str


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
    from hybridloop.api.sweep_input import read_sweep
    from hybridloop.flows.sweep_execution.costs import points_tracked

    valid = read_sweep(spec, **changes)
    block = workspace if isinstance(workspace, str) else None
    with flow_environment(workspace) as sdk_workspace, points_tracked(valid):
        from hybridloop.flows.in_prefect.beside import run_beside
        from hybridloop.flows.sweep import run_sweep
        from hybridloop.flows.sweep import sweep as flow

        try:
            return run_beside(flow, lambda *_: run_sweep(valid, sdk_workspace, block, on_point), valid, block)
        except KeyboardInterrupt as error:
            error.add_note("All sessions of points that ran here are closed. The same call resumes the sweep.")
            raise


def run_housekeeping(*, workspace: str | Any | None = None) -> dict[str, str]:
    """Run the housekeeping flow once; return the outcome for each changed session and run, by the run's key.

    It closes sessions that dead runs left open, and resumes parked runs whose jobs are done and runs that were left to
    it.
    """
    block = workspace if isinstance(workspace, str) else None
    with flow_environment(workspace) as sdk_workspace:
        from hybridloop.flows.housekeeping import DEFAULTS, do_housekeeping, housekeeping
        from hybridloop.flows.in_prefect.beside import run_beside
        from hybridloop.flows.lifecycle.host import Ended

        def work(*_: Any) -> Ended[dict[str, str]]:
            outcomes = do_housekeeping(DEFAULTS, block, sdk_workspace)
            return Ended(outcomes)

        return run_beside(housekeeping, work, DEFAULTS, block)
