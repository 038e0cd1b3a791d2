"""A worker that ends interrupts its runs; after a restart housekeeping resumes them to the same answer."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun

from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.housekeeping import housekeeping
from hybridloop.settings import ProblemText
from tests.deployments.worker_helpers import Place, is_gone, of_hybridloop, prefects_own, worker
from tests.flow_calls import call_flow
from tests.long_form import long_form, short_or_long
from tests.server_share import ServerShare
from tests.waiting import eventually

pytestmark = pytest.mark.slow
ANSWER = ("value", "standard_error", "interval95", "parameters", "rounds", "shots", "history")
MEASURED = {"seed": 7, "ansatz": "uccsd", "grouping": "qubit-wise"}  # in three rounds
GIVEN = {**MEASURED, "resume_automatically": "interrupted"}


# command for a pool, signal, and if the worker's runs have time to close their sessions
# ours is the first: it would resume the runs of the others
ENDS: Mapping[str, tuple[Callable[[str], list[str]], signal.Signals, bool]] = {
    "ours": (of_hybridloop, signal.SIGTERM, True),
    "SIGTERM": (prefects_own, signal.SIGTERM, False),
    "SIGKILL": (prefects_own, signal.SIGKILL, True),
}
WAYS = short_or_long(("ours", "SIGTERM"), tuple(ENDS))


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run whose worker has ended, with the states of its flow run and sessions before housekeeping."""

    run: FlowRun
    state: str
    sessions: list[str]


@pytest.fixture(scope="module")
def ended_runs(place: Place, share: ServerShare, tmp_path_factory: pytest.TempPathFactory) -> dict[str, EndedRun]:
    """End a worker each way while its run is in the second round; return the runs by way."""
    found = {}
    for way in WAYS:
        command, number, _ = ENDS[way]
        with worker(place.at.shell.environ, tmp_path_factory.mktemp("worker"), command(share.name)) as held:
            place.slow_down(2)
            parameters = {"problem": {"name": "h2"}, "settings": GIVEN}
            run = place.client.create_flow_run_from_deployment(place.deployment, parameters=parameters)
            eventually(lambda run=run: place.has_measured(run), poll_s=0.01)  # type: ignore[misc]
            place.slow_down(9)
            eventually(lambda run=run: place.has_next_round_submitted(run))  # type: ignore[misc]
            started = held.children()
            held.end(number)
            eventually(lambda started=started: all(map(is_gone, started)))  # type: ignore[misc]
        found[way] = EndedRun(run, place.state(run).name or "", place.session_statuses(place.record(run)))
    place.slow_down(0)
    return found


@pytest.fixture(scope="module")
def resumed(
    place: Place, ended_runs: dict[str, EndedRun], share: ServerShare, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, FlowRun]]:
    """Start a worker and run housekeeping; return the runs after that."""
    with ExitStack() as held:
        held.enter_context(worker(place.at.shell.environ, tmp_path_factory.mktemp("worker"), prefects_own(share.name)))
        house = share.deploy(place.client, housekeeping)
        kept = place.client.create_flow_run_from_deployment(house, parameters={"settings": {"settle": 0}})
        eventually(lambda: place.state(kept).is_final())
        runs = {way: each.run for way, each in ended_runs.items()}
        for run in runs.values():
            eventually(lambda run=run: place.state(run).is_completed())  # type: ignore[misc]
        yield {way: place.client.read_flow_run(run.id) for way, run in runs.items()}


@long_form
@pytest.mark.parametrize("way", WAYS)
def test_runs_of_an_ending_worker_close_their_sessions_if_they_have_time(
    way: str, ended_runs: dict[str, EndedRun]
) -> None:
    *_, has_time = ENDS[way]
    expected = ("Crashed", ["Succeeded"]) if has_time else ("Running", ["Executing"])
    assert (ended_runs[way].state, ended_runs[way].sessions) == expected


@long_form
@pytest.mark.parametrize("way", WAYS)
def test_after_a_restart_a_run_resumes_in_its_flow_run_to_the_same_answer(
    way: str, place: Place, ended_runs: dict[str, EndedRun], resumed: dict[str, FlowRun]
) -> None:
    again = resumed[way]
    assert (again.id, again.run_count) == (ended_runs[way].run.id, 2)
    workspace = place.service.workspace("undisturbed")
    undisturbed = call_flow(vqe, workspace, ProblemText(name="h2"), VqeSettings.model_validate(MEASURED))
    reference: dict[str, Any] = json.loads(json.dumps(undisturbed.as_dict()))
    record = place.record(again)
    assert (record.status, record.result is not None and record.result["resumed"]) == ("converged", True)
    result = record.result or {}
    assert {name: result[name] for name in ANSWER} == {name: reference[name] for name in ANSWER}
    books = place.service.admin(f"ledger?run={record.uid}&top=1000")
    assert (len(books["entries"]), books["duplicates"]["count"]) == (reference["jobs"]["total"], 0)
    assert place.session_statuses(record) == ["Succeeded", "Succeeded"]
