"""A run that is killed with its worker: a module of its own, as another worker of its pool would take the run."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil
import pytest

from hybridloop.flows.algorithms import vqe
from hybridloop.flows.housekeeping import housekeeping
from hybridloop.local_stack import PrefectServer
from tests.deployments.worker_helpers import Place, is_gone, of_hybridloop, place_for, worker
from tests.prefect_server import prefect_client
from tests.server_share import ServerShare
from tests.waiting import eventually


@pytest.mark.slow
def test_a_run_that_is_killed_with_its_worker_goes_on_within_one_housekeeping_pass(
    prefect_server: PrefectServer, share: ServerShare, tmp_path: Path
) -> None:
    with prefect_client(prefect_server) as client:
        deployment = share.deploy(client, vqe)
    with place_for(prefect_server, deployment, tmp_path) as place:
        _kill_and_resume(place, share, tmp_path)


def _kill_and_resume(place: Place, share: ServerShare, tmp_path: Path) -> None:
    parameters = {"problem": {"name": "h2"}, "settings": {"seed": 7, "resume_automatically": "interrupted"}}
    place.slow_down(2)
    with worker(place.at.shell.environ, tmp_path, of_hybridloop(share.name)) as held:
        run = place.client.create_flow_run_from_deployment(place.deployment, parameters=parameters)
        eventually(lambda: place.has_measured(run), poll_s=0.01)
        place.slow_down(9)
        eventually(lambda: place.has_next_round_submitted(run))
        started = held.children()
        held.popen.kill()
        for each in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        eventually(lambda: all(map(is_gone, started)))
    place.slow_down(0)
    assert place.state(run).is_running()
    with worker(place.at.shell.environ, tmp_path, of_hybridloop(share.name)):
        kept = place.client.create_flow_run_from_deployment(share.deploy(place.client, housekeeping))
        eventually(lambda: place.state(kept).is_final())
        assert place.state(run).name != "Crashed"
        eventually(lambda: place.state(run).is_completed())
    record = place.record(run)
    assert place.client.read_flow_run(run.id).run_count == 2
    assert place.service.admin(f"ledger?run={record.uid}&top=1000")["duplicates"]["count"] == 0
