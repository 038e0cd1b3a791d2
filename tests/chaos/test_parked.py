"""A parked run whose resume dies, with its worker or Prefect's server, is resumed again, to the undisturbed answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun

from hybridloop import local_stack as stack
from hybridloop.data.statuses import WITH_RESULT
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.housekeeping import HousekeepingSettings, housekeeping
from hybridloop.flows.rescue import dead_flow_runs
from hybridloop.runs.recorded import flow_runs_of
from hybridloop.settings import ProblemText
from tests.deployments.worker_helpers import Place, is_gone, of_hybridloop, place_for, worker
from tests.flow_calls import call_flow
from tests.long_form import long_form, short_or_long
from tests.prefect_server import copy_server, own_environ, prefect_client, send_what_is_pending, server_folder
from tests.server_share import ServerShare, new_share
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, long_form]
TARGET = "rigetti.sim.qvm"
ASKED: dict[str, Any] = {"ansatz": "uccsd", "search": "measured", "seed": 7, "precision": 0.01}
PARKS = {
    "failure": {"on_target_down": "park", "target_down_wait_s": 0.2},
    "resume_automatically": "interrupted",  # for one that is killed once it holds the run
}
ANSWER = ("value", "standard_error", "parameters", "rounds", "shots", "history")
WORKSPACE = "workers"

MOMENTS: dict[str, Callable[[Place, FlowRun], bool]] = {
    "created": lambda place, run: True,
    "pending": lambda place, run: not place.state(run).is_scheduled(),
    "begun": lambda place, run: place.state(run).is_running(),
    "held": lambda place, run: str(run.id) in flow_runs_of(place.journal, place.journal.run(run.name)),
}
KILLED = ("worker", "process", "server")
KILLS = short_or_long(
    [("begun", "worker")],
    [(moment, killed) for moment in MOMENTS for killed in KILLED for _ in range(2)],
)


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory, migrated_server: Path) -> Iterator[dict[str, str]]:
    """Return the environment of a stack of this module's own, whose server can be killed."""
    own = own_environ(str(tmp_path_factory.mktemp("home")), os.environ)
    copy_server(migrated_server, server_folder(own))
    try:
        yield own
    finally:
        stack.down(own)


@pytest.fixture(scope="module")
def share(environ: dict[str, str]) -> ServerShare:
    return new_share(environ)


@pytest.fixture(scope="module")
def place(environ: dict[str, str], share: ServerShare, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    server = stack.ensure_prefect(environ)
    with ExitStack() as held:
        held.enter_context(stack.run_flows_on(server))
        held.enter_context(share.held_on(server))
        patch = held.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(dead_flow_runs, "SUPERSEDED_S", 8.0)
        patch.setattr(dead_flow_runs, "QUIET_S", 20.0)
        with prefect_client(server) as client:
            deployment = share.deploy(client, vqe)
        url = share.environ["HYBRIDLOOP_JOURNAL"]
        place = held.enter_context(place_for(server, deployment, tmp_path_factory.mktemp("pool"), url))
        patch.setitem(place.at.shell.environ, "PREFECT_WORKER_HEARTBEAT_SECONDS", "2")
        yield place
        send_what_is_pending()


@pytest.fixture(scope="module")
def reference(place: Place) -> Any:
    """Return the result of an undisturbed run with the same seed."""
    settings = VqeSettings.model_validate(ASKED)
    return call_flow(vqe, place.service.workspace("undisturbed"), ProblemText(name="h2"), settings)


def keep_house(place: Place) -> None:
    call_flow(housekeeping, place.service.workspace(WORKSPACE), HousekeepingSettings(settle=0.0))


def resume_of(place: Place, key: str) -> FlowRun:
    """Return the flow run that resumes a parked run."""
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"run:{key}"]))
    (found,) = [each for each in place.client.read_flow_runs(flow_run_filter=tagged) if each.idempotency_key]
    return found


def has_flow_run(process: psutil.Process) -> bool:
    """Return True for the process of a flow run, which the worker's own process is not."""
    with contextlib.suppress(psutil.Error):
        return "PREFECT__FLOW_RUN_ID" in process.environ()
    return False


def kill(what: str, environ: dict[str, str], held: ExitStack, start: Callable[[], Any], pool: Any) -> Any:
    """Kill the worker with its processes, its processes alone, or the server; return the worker from then on."""
    if what == "server":
        (part,) = [part for part in stack.status(environ).components if part.name == "prefect"]
        assert part.pid is not None
        os.kill(part.pid, signal.SIGKILL)
        stack.ensure_prefect(environ)
        return pool
    victims = pool.children()
    victims = [pool.process, *victims] if what == "worker" else list(filter(has_flow_run, victims))
    for each in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    eventually(lambda: all(map(is_gone, victims)))
    return held.enter_context(start()) if what == "worker" else pool


@pytest.mark.parametrize(("moment", "killed"), KILLS)
def test_a_parked_run_whose_resume_is_killed_is_resumed_again(
    moment: str,
    killed: str,
    environ: dict[str, str],
    place: Place,
    share: ServerShare,
    reference: Any,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    key = f"{share.name}-{request.node.callspec.id}"
    parameters = {"problem": {"name": "h2"}, "settings": ASKED | PARKS, "run_key": key}
    with ExitStack() as held:

        def start() -> Any:
            return worker(place.at.shell.environ, tmp_path, of_hybridloop(share.name))

        pool = held.enter_context(start())
        place.service.admin("targets", {TARGET: {"availability": "Unavailable"}})
        first = place.client.create_flow_run_from_deployment(place.deployment, parameters=parameters)
        eventually(lambda: place.state(first).name == "Parked")
        place.service.admin("targets", {TARGET: {"availability": "Available"}})
        keep_house(place)
        resume = resume_of(place, key)
        eventually(lambda: MOMENTS[moment](place, resume), poll_s=0.01)
        pool = kill(killed, environ, held, start, pool)

        def has_ended() -> bool:
            keep_house(place)
            return place.record(first).status in WITH_RESULT

        eventually(has_ended, lambda: place.record(first), poll_s=1.0)
        eventually(lambda: place.is_closed(first))
    record = place.record(first)
    told = record.result
    assert told is not None
    expected = json.loads(json.dumps(reference.as_dict()))
    assert {name: told[name] for name in ANSWER} == {name: expected[name] for name in ANSWER}
    ledger = place.service.admin(f"ledger?run={record.uid}&top=1000")
    assert (len(ledger["entries"]), ledger["duplicates"]["count"]) == (expected["jobs"]["total"], 0)
    assert set(place.session_statuses(record)) == {"Succeeded"}
