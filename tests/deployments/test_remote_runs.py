"""`run --on POOL` and `runs follow`: a run on a worker, from machines that see Prefect's server alone."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Crashed
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker

import hybridloop as hl
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError, RunNotFinished
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.deploying.deploy import ensure_housekeeping
from hybridloop.flows.housekeeping import housekeeping
from hybridloop.flows.in_prefect.remote_runs import flow_run_of, follow
from hybridloop.local_stack import PrefectServer
from hybridloop.settings import ProblemText
from hybridloop.tasks.prefect_tasks import TAG
from tests.cli.shell_helpers import Shell, environment, run_in_process
from tests.deployments.worker_helpers import Place, Worker, of_hybridloop, worker
from tests.flow_calls import call_flow
from tests.server_share import ServerShare
from tests.waiting import eventually

DATED = re.compile(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ ")
SLOW = {"ansatz": "uccsd", "search": "measured", "seed": 7, "precision": 5e-4}
ASKED = ("--search", "measured", "--seed", "7", "--precision", "0.01")


@pytest.fixture(scope="module")
def working(place: Place, share: ServerShare, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with worker(place.at.shell.environ, tmp_path_factory.mktemp("log"), of_hybridloop(share.name)) as held:
        yield held


def elsewhere(place: Place, folder: Path) -> Shell:
    """Return the shell of a machine that shares Prefect's server with the workers, and neither home nor journal."""
    environ = dict(place.at.shell.environ)
    return Shell(
        {**environ, "HYBRIDLOOP_HOME": str(folder / "other"), "HYBRIDLOOP_JOURNAL": f"sqlite:///{folder}/j.db"}
    )


@pytest.mark.slow
@pytest.mark.usefixtures("working")
def test_a_run_on_a_worker_is_shown_and_its_result_is_that_of_a_run_here(
    place: Place, share: ServerShare, tmp_path: Path
) -> None:
    other = elsewhere(place, tmp_path)
    key = f"{share.name}-shown"
    done = other.run("run", "vqe", "h2", *ASKED, "--on", share.name, "--run-key", key)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == (
        f"run {key} waits for a worker of {share.name}; it continues without this view: hybridloop runs follow {key}"
    )
    assert next(line.split(":")[0] for line in lines if line.startswith("round ")) == "round 1 (search)"
    assert not [line for line in lines if "Beginning flow run" in line]
    asked = VqeSettings.model_validate({"search": "measured", "seed": 7, "precision": 0.01})
    here = call_flow(vqe, place.service.workspace("here"), ProblemText(name="h2"), asked)
    assert done.stdout.splitlines()[:3] == str(here).splitlines()[:3]
    assert other.json("runs", "list") == []


@pytest.mark.slow
@pytest.mark.usefixtures("working")
def test_the_view_may_be_killed_and_joined_from_another_machine(
    place: Place, share: ServerShare, tmp_path: Path
) -> None:
    key = f"{share.name}-left"
    place.slow_down(0.5)
    arguments = ("run", "vqe", "h2", *ASKED, "--on", share.name, "--run-key", key)
    with (tmp_path / "view.log").open("wb") as log:
        view = subprocess.Popen(
            [sys.executable, "-m", "hybridloop", *arguments],
            env=dict(elsewhere(place, tmp_path).environ),
            stdout=log,
            stderr=log,
        )
        try:
            eventually(lambda: b"round 1 (search)" in (tmp_path / "view.log").read_bytes())
        finally:
            view.send_signal(signal.SIGKILL)
            view.wait()
    place.slow_down(0.0)
    followed = elsewhere(place, tmp_path / "third").run("runs", "follow", key)
    assert followed.returncode == 0, followed.stderr
    assert followed.stdout.startswith("h2: -1.1")
    assert place.journal.run_by_key(key) is not None


@pytest.mark.slow
@pytest.mark.usefixtures("working")
@pytest.mark.parametrize(("how", "status", "code"), [("stop", "stopped", 3), ("cancel", "interrupted", 130)])
def test_a_run_on_a_worker_is_stopped_or_cancelled_from_another_machine(
    how: str, status: str, code: int, place: Place, share: ServerShare, tmp_path: Path
) -> None:
    key, other = f"{share.name}-{how}", elsewhere(place, tmp_path)
    place.slow_down(0.5)
    parameters = {"problem": {"name": "lih-frozen-core"}, "settings": SLOW, "run_key": key}
    run = place.client.create_flow_run_from_deployment(place.deployment, parameters=parameters, name=key, tags=[TAG])
    try:
        eventually(lambda: place.has_measured(run))
        place.slow_down(20.0)  # the run can't end before it is asked to
        asked = other.run("runs", how, key)
        assert asked.returncode == 0, asked.stderr
        followed = other.run("runs", "follow", key)
    finally:
        place.slow_down(0.0)
    assert followed.returncode == code, followed.stderr
    eventually(lambda: place.is_closed(run))
    assert place.record(run).status == status
    *_, last = lines = other.run("runs", "logs", key).stdout.splitlines()
    assert all(DATED.match(line) for line in lines), lines
    assert f"flow run {key} is " in last
    assert any(f"is {status}" in line for line in lines)
    late = other.run("runs", how, key)
    assert late.returncode == 2
    assert f"the flow run of '{key}' has ended" in late.stderr
    assert "hybridloop:stop" not in place.client.read_flow_run(run.id).tags  # a resume would stop at once


@pytest.mark.slow
def test_a_run_that_waits_for_a_worker_does_not_start_once_it_is_stopped(
    place: Place, share: ServerShare, tmp_path: Path
) -> None:
    """One was handed over and is in no journal, the other was parked and a worker shall resume it."""
    new, known = (f"{share.name}-{name}" for name in ("never-begun", "parked"))
    with environment(place.at.shell.environ):
        called = VqeSettings.model_validate({"seed": 7, "detach_after": 0.001, "search": "measured"})
        call_flow(vqe, place.service.workspace("workers"), ProblemText(name="h2"), called, known)
    for key in (new, known):
        run = waiting_run(place, f"{key}-unserved", key, run_key=key)
        stopped = place.at.shell.run("runs", "stop", key)
        assert stopped.returncode == 0, stopped.stderr
        assert f"run {key} waited for a worker: its flow run is cancelled" in stopped.stdout
        assert place.state(run).is_cancelled()
    assert f"run {known} is not running: parked" in place.at.shell.run("runs", "stop", known).stdout


@pytest.mark.slow
def test_housekeeping_never_stands_in_the_pool_of_the_runs(place: Place, share: ServerShare) -> None:
    """`hybridloop worker` does it beside a pool of processes; other pools get a second one with their template."""
    template = {"variables": {"properties": {}}, "job_configuration": {"image": "ours"}}
    containers = f"{share.name}-containers"
    place.client.create_work_pool(WorkPoolCreate(name=containers, type="docker", base_job_template=template))
    (said,) = list(ensure_housekeeping(containers))
    assert said.endswith(f"prefect worker start --pool {containers}-housekeeping")
    deployment = place.client.read_deployment_by_name(f"housekeeping/{containers}")
    pool = place.client.read_work_pool(f"{containers}-housekeeping")
    assert (deployment.work_pool_name, pool.type, pool.base_job_template) == (pool.name, "docker", template)
    assert deployment.global_concurrency_limit is not None
    assert list(ensure_housekeeping(containers)) == []
    # of an earlier version: it goes, unless its user gave it settings
    for name, given in (("every-3-minutes", {}), ("own", {"settings": {"forget_after": "90d"}})):
        old: Any = housekeeping.to_deployment(
            name,
            parameters=given,
            tags=["hybridloop"],
            work_pool_name=share.name,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        old.apply()
    (said,) = list(ensure_housekeeping(share.name))
    assert said.startswith("deleted the deployment housekeeping/every-3-minutes")
    assert place.client.read_deployment_by_name("housekeeping/own").work_pool_name == share.name
    place.client.delete_deployment(place.client.read_deployment_by_name("housekeeping/own").id)


@pytest.mark.slow
def test_what_a_server_does_not_have_is_refused(
    place: Place, share: ServerShare, tmp_path: Path, prefect_server: PrefectServer
) -> None:
    other = elsewhere(place, tmp_path)
    for arguments, says in (
        (("run", "vqe", "h2", "--on", "nowhere"), "on: this Prefect server has no work pool 'nowhere'."),
        (("run", "vqe", "nothing.xyz", "--on", share.name), "problem: nothing.xyz: there is no such file."),
        (("run", "vqe", "h2", "--on", share.name, "--run-key", "a/b"), "--run-key: 'a/b' is not a run's key."),
        (("runs", "follow", "nothing"), "run: this Prefect server knows no run 'nothing'."),
    ):
        refused = other.run(*arguments)
        assert refused.returncode == 2
        assert says in refused.stderr
    with environment(other.environ):
        with pytest.raises(InputError, match="no work pool 'nowhere'"):
            hl.vqe("h2", on="nowhere", seed=7)
        with pytest.raises(InputError, match="workspace: a worker can't be given an object of this process"):
            hl.vqe("h2", on=share.name, seed=7, workspace=place.service.workspace("mine"))
        with pytest.raises(InputError, match="optimizer: a worker can't be given an object of this process"):
            hl.vqe("h2", on=share.name, seed=7, optimizer=lambda fun, x0: x0)


def waiting_run(place: Place, pool: str, key: str, run_key: str | None = None, **settings: str) -> FlowRun:
    """Create a pool without a worker, and a flow run that waits for one."""
    template = ProcessWorker.get_default_base_job_template()
    place.client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
    where = {"work_pool_name": pool, "entrypoint_type": EntrypointType.MODULE_PATH}
    deployment = vqe.to_deployment(pool, schedules=[], **where).apply()
    return place.client.create_flow_run_from_deployment(
        deployment,
        parameters={"problem": {"name": "h2"}, "settings": settings, "run_key": run_key},
        name=key,
        tags=[TAG, f"run:{key}"],
    )


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_is_cancelled_before_a_worker_began_it_has_nothing_to_resume(
    place: Place, share: ServerShare
) -> None:
    key = f"{share.name}-cancelled"
    waiting_run(place, f"{share.name}-none", key)
    environ = place.at.shell.environ
    cancelled = run_in_process(environ, "runs", "cancel", key, "--json")
    assert json.loads(cancelled.out) == {"run_key": key, "cancel_requested": True}
    followed = run_in_process(environ, "runs", "follow", key)
    assert (followed.code, followed.out) == (130, "")
    assert f"run '{key}' ended before a worker began it: " in followed.err
    assert "Nothing was submitted." in followed.err
    assert "resume" not in followed.err


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_flow_run_without_a_worker_says_so_and_one_that_crashed_has_no_result(
    place: Place, share: ServerShare
) -> None:
    pool, key, shown = f"{share.name}-empty", f"{share.name}-waits", list[str]()
    run = waiting_run(place, pool, key)

    def show(line: str) -> None:
        shown.append(line)
        place.client.set_flow_run_state(run.id, Crashed(message="its process ended"), force=True)

    assert flow_run_of(key) == run.id
    with pytest.raises(RunNotFinished, match="its process ended"):
        follow(run.id, show, poll_s=5.0)
    assert shown == [f"no worker is online yet: hybridloop worker --pool {pool}"]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_view_does_not_end_while_housekeeping_is_to_resume_a_run_that_crashed(
    place: Place, share: ServerShare
) -> None:
    shown = list[str]()
    run = waiting_run(place, f"{share.name}-dead", f"{share.name}-dead", resume_automatically="interrupted")
    place.client.set_flow_run_state(run.id, Crashed(message="its process ended"), force=True)

    def show(line: str) -> None:
        shown.append(line)
        place.client.set_flow_run_state(run.id, Completed(), force=True)  # as by its next start

    assert follow(run.id, show, poll_s=1.0) is None  # without a stored result
    (line,) = shown
    assert line == f"run {run.name} lost its process; with a worker online, housekeeping resumes it in minutes"
