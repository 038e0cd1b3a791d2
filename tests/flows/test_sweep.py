"""Sweep in processes of this machine, on a real Prefect server and a real service; one process is killed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from azure.quantum import Workspace
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterTags,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.events import Event
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from pydantic import SecretStr

from hybridloop.blocks import AzureQuantumWorkspace
from hybridloop.errors import InputError
from hybridloop.flows.sweep import session_limit_name, sweep
from hybridloop.flows.sweep_execution.results import SweepResult
from hybridloop.flows.sweep_execution.scheduler import SweepProgress
from hybridloop.flows.sweep_execution.spec import SweepSpec
from hybridloop.journal import open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.runs.extension import results_of
from hybridloop.runs.stored_run import load_run
from tests.cli.shell_helpers import connection_string
from tests.conftest import Emulator
from tests.flow_calls import call_flow
from tests.forked_processes import ForkedPython
from tests.prefect_server import prefect_client, send_what_is_pending
from tests.sweep_helpers import check_sessions, check_table
from tests.waiting import eventually

POINTS, LIMIT = 4, 2
NAMES = ["h2-0.3", "h2-1.6"]
SPEC = SweepSpec(
    name="swept",
    algorithm="vqe",
    problems=tuple(NAMES),
    settings={"shots": 500, "precision": 0.005},
    grid={"seed": [1, 2]},
    points=({"problem": "no-such-molecule"},),
    max_sessions=LIMIT,
    in_flight=3,
    deployment="none",  # workers of other tests may be online
)


@dataclass(frozen=True, slots=True)
class SweepResults:
    """A sweep of which one process was killed, and its second start."""

    result: SweepResult
    again: SweepResult
    killed: int
    workspace: Workspace

    @property
    def points(self) -> list[Mapping[str, Any]]:
        """Return the rows of the valid points."""
        return list(self.result.rows[:POINTS])


def run(workspace: Workspace, spec: SweepSpec, on_point: Any = None) -> SweepResult:
    """Run the sweep in the workspace, which is saved under its name."""
    result: SweepResult = call_flow(sweep, workspace, spec, workspace.name, on_point=on_point)
    return result


def saved_workspace(emulator: Emulator, name: str) -> Workspace:
    """Return a workspace of the emulator; a block of its name connects the points' processes to it."""
    text = connection_string(emulator.endpoint, emulator.api_key, name)
    AzureQuantumWorkspace(connection_string=SecretStr(text)).save(name)
    return emulator.workspace(name)


@pytest.fixture(scope="module")
def swept(prefect_server: PrefectServer, emulator: Emulator, forked_points: list[ForkedPython]) -> SweepResults:
    workspace, killed = saved_workspace(emulator, "swept-here"), list[int]()

    def kill(progress: SweepProgress) -> None:
        if progress.number == 2:
            # the one that was started last: an older one may have written its result, and is not run again
            process = next(process for process in reversed(forked_points) if process.poll() is None)
            process.kill()
            killed.append(process.pid)

    result = run(workspace, SPEC, kill)
    return SweepResults(result, run(workspace, SPEC), len(killed), workspace)


def test_all_points_but_an_invalid_one_have_their_values_although_a_process_was_killed_and_are_not_run_again(
    swept: SweepResults,
) -> None:
    assert (swept.killed, swept.result.begun, len(swept.result.rows)) == (1, POINTS + 1, POINTS + 1)
    check_table(swept.points)
    assert [row["problem"] for row in swept.points] == [name for name in NAMES for _ in range(2)]
    odd = swept.result.rows[-1]
    assert (odd["status"], odd["value"], swept.result.is_complete) == ("failed", None, False)
    assert "no built-in problem 'no-such-molecule'" in odd["reason"]
    # the cost of all points, by their target
    assert str(swept.result).splitlines()[-2].endswith("; cost 0.00 USD (local: not billed)")
    # a second start runs what is missing
    assert swept.again.begun == 1
    assert swept.again.rows == swept.result.rows
    assert [row["value"] for row in csv.DictReader(io.StringIO(swept.again.to_csv()))] == [
        *(str(row["value"]) for row in swept.points),
        "",
    ]


def test_prefect_has_the_lost_process_the_cost_the_runs_by_their_tag_and_the_table(
    swept: SweepResults, prefect_server: PrefectServer
) -> None:
    send_what_is_pending()
    with prefect_client(prefect_server) as client:
        named = FlowRunFilter(name=FlowRunFilterName(any_=["sweep-swept"]))  # refused ones of other tests, too
        of_run = LogFilter(
            flow_run_id=LogFilterFlowRunId(any_=[each.id for each in client.read_flow_runs(flow_run_filter=named)])
        )

        def lines() -> list[str]:
            return [line.message for line in client.read_logs(of_run, limit=200)]

        died = "its process died (exit code -9); attempt 2 of "
        eventually(lambda: len([line for line in lines() if died in line]) == 1, lines)
        ended = EventNameFilter(name=["hybridloop.sweep.ended"])
        of_sweep = EventFilter(resource=EventResourceFilter(id=["hybridloop.sweep.swept"]), event=ended)

        def events() -> Sequence[Event]:
            return client.read_events(of_sweep, limit=50).events

        eventually(lambda: len(events()) == 2, events)
        for event in events():
            assert event.payload["title"].startswith(f"swept: {POINTS + 1} points, ")
            assert event.payload["title"].endswith("; cost 0.00 USD (local: not billed)")
            assert "no built-in problem 'no-such-molecule'" in event.payload["text"]
        tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=["sweep:swept"]))
        runs = client.read_flow_runs(flow_run_filter=tagged)
        names = {each.parameters["run_key"]: each.state.name for each in runs if each.state is not None}
        assert {key for key, name in names.items() if name != "Refused"} == {row["run_key"] for row in swept.points}
        assert list(names.values()).count("Refused") == 1  # an invalid point
        of_artifacts = ArtifactFilter(key=ArtifactFilterKey(any_=["sweep-swept", "sweep-swept-picture"]))
        artifacts = {each.key: each.type for each in client.read_artifacts(artifact_filter=of_artifacts)}
    assert artifacts == {"sweep-swept": "table", "sweep-swept-picture": "markdown"}


def test_each_point_has_its_own_session_and_the_limit_of_open_ones_holds_and_its_slots_are_released(
    swept: SweepResults, emulator: Emulator, prefect_server: PrefectServer
) -> None:
    assert 1 <= check_sessions(swept.workspace, emulator, swept.points) <= LIMIT
    with prefect_client(prefect_server) as client:
        name = session_limit_name(swept.workspace, "rigetti.sim.qvm")
        read = partial(client.read_global_concurrency_limit_by_name, name)
        eventually(lambda: read().active_slots == 0)  # the killed process's expires
        assert read().limit == LIMIT


@pytest.mark.slow
@pytest.mark.usefixtures("forked_points")
def test_a_sweep_with_a_smaller_precision_and_more_points_goes_on_with_its_runs(
    prefect_server: PrefectServer, emulator: Emulator
) -> None:
    workspace = saved_workspace(emulator, "goes-on")
    few = {"name": "goes-on", "problems": NAMES[:1], "points": (), "grid": {"seed": [1]}, "max_sessions": None}
    before = run(workspace, SweepSpec(**{**SPEC.model_dump(), **few}))
    more = {"problems": NAMES, "settings": {**SPEC.settings, "precision": 0.001}}
    spec = SweepSpec(**{**SPEC.model_dump(), **few, **more})
    result = run(workspace, spec)
    assert (before.begun, result.begun) == (1, 2)
    (old,) = before.rows
    (new,) = [row for row in result.rows if row["run_key"] == old["run_key"]]
    assert new["standard_error"] <= 0.001 < old["standard_error"]
    with open_journal() as journal:
        stored = load_run(journal, old["run_key"])
        first, last = results_of(stored.record, stored.events)
    assert (first.value, last.value) == (old["value"], new["value"])
    assert last.shots > first.shots
    assert run(workspace, spec).begun == 0


def test_an_unknown_deployment_is_refused(prefect_server: PrefectServer, emulator: Emulator) -> None:
    with pytest.raises(InputError, match="Prefect has no deployment 'vqe/nowhere'"):
        run(emulator.workspace("none"), SPEC.model_copy(update={"deployment": "vqe/nowhere"}))


def test_a_sweeps_cap_holds_over_its_points_and_a_larger_one_continues_it(
    prefect_server: PrefectServer, emulator: Emulator
) -> None:
    workspace = saved_workspace(emulator, "capped-here")
    spec = SweepSpec(
        name="capped",
        algorithm="vqe",
        problems=("h2-0.3", "h2-1.6"),
        settings={"target": "ionq.qpu.aria-1", "precision": 0.05, "seed": 1},
        deployment="none",
        max_cost="1USD",  # as it stands in a file
    )
    stopped = run(workspace, spec)
    assert [row["status"] for row in stopped.rows] == ["stopped", "stopped"]
    assert "limit sweep capped USD is reached: 1 USD is the limit" in stopped.rows[0]["reason"]
    assert stopped.costs.get("USD", 0.0) == 0.0
    done = run(workspace, spec.model_copy(update={"max_cost": {"USD": 1e6}}))
    assert done.is_complete
    with open_journal() as journal:
        (state,) = [each for each in journal.limits() if each.limit.name == "sweep capped USD"]
    assert (state.limit.scope, state.reserved) == ({"sweep": "capped"}, 0.0)
    assert state.spent == pytest.approx(done.costs["USD"])
    run(workspace, spec.model_copy(update={"max_cost": None}))
    with open_journal() as journal:
        assert not journal.limits()
