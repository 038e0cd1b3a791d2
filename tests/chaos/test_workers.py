"""A worker of a pool is killed with its run and the run's follower, or the run is ended in its final measurement.

Another worker, or a resume, takes the run to the undisturbed answer, and nothing is paid twice.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
import pytest
from prefect.client.schemas.objects import FlowRun

from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.housekeeping import housekeeping
from hybridloop.flows.in_prefect.remote_runs import flow_run_of
from hybridloop.flows.rescue.dead_flow_runs import AWAITS
from hybridloop.local_stack import PrefectServer
from hybridloop.settings import ProblemText
from hybridloop.tasks.prefect_tasks import TAG
from tests.deployments.worker_helpers import Place, is_gone, of_hybridloop, place_for, worker
from tests.flow_calls import call_flow
from tests.journal.postgresql_helpers import new_database, running_server
from tests.long_form import long_form, long_only, short_or_long
from tests.prefect_server import prefect_client
from tests.server_share import ServerShare
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, long_form]
ANSWER = ("value", "standard_error", "interval95", "parameters", "rounds", "shots", "history")
# two rounds: one of the search, and the final measurement
ASKED = {"ansatz": "uccsd", "search": "measured", "seed": 7, "precision": 0.01}
RUN = ("run", "vqe", "h2", *(part for name, value in ASKED.items() for part in (f"--{name}", str(value))))
PASSES = 20  # of housekeeping, for a run that no process had begun: it waits for a minute


MOMENTS: dict[str, Callable[[Place, FlowRun], object]] = {
    "handed over": lambda place, run: True,
    "pending": lambda place, run: not place.state(run).is_scheduled(),
    "begun": lambda place, run: place.state(run).is_running(),
    "in the journal": lambda place, run: place.rounds(run),
    "measured": lambda place, run: place.has_measured(run),
    "submitted": lambda place, run: place.has_next_round_submitted(run),
}
KILLS = short_or_long([("submitted", 2)], [(moment, workers) for moment in MOMENTS for workers in (1, 2)])
ENDS = {"stop": ("stopped", 3), "cancel": ("interrupted", 130)}  # status and exit code


@pytest.fixture(scope="module")
def place(
    prefect_server: PrefectServer, share: ServerShare, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    with prefect_client(prefect_server) as client:
        deployment = share.deploy(client, vqe)
    with (
        pytest.MonkeyPatch.context() as patch,
        place_for(prefect_server, deployment, tmp_path_factory.mktemp("pool")) as held,
    ):
        patch.setitem(held.at.shell.environ, "PREFECT_WORKER_HEARTBEAT_SECONDS", "5")
        yield held


@pytest.fixture(scope="module")
def reference(place: Place) -> dict[str, Any]:
    """Return the result of an undisturbed run with the same seed."""
    settings = VqeSettings.model_validate(ASKED)
    result = call_flow(vqe, place.service.workspace("undisturbed"), ProblemText(name="h2"), settings)
    document: dict[str, Any] = json.loads(json.dumps(result.as_dict()))
    assert document["rounds"] == 2
    return document


def check(place: Place, run: FlowRun, result: dict[str, Any], reference: dict[str, Any]) -> None:
    """Assert the undisturbed answer, that no job was paid twice, and that all sessions are closed."""
    assert {name: result[name] for name in ANSWER} == {name: reference[name] for name in ANSWER}
    eventually(lambda: place.is_closed(run))
    record = place.record(run)
    ledger = place.service.admin(f"ledger?run={record.uid}&top=1000")
    assert (len(ledger["entries"]), ledger["duplicates"]["count"]) == (reference["jobs"]["total"], 0)
    assert set(place.session_statuses(record)) == {"Succeeded"}


def found_flow_run(place: Place, key: str) -> FlowRun | None:
    """Return the flow run of a key, if the server has it."""
    try:
        return place.client.read_flow_run(flow_run_of(key))
    except InputError:
        return None


def flow_run(place: Place, key: str) -> FlowRun:
    """Wait until the server has the flow run of a key, and return it."""
    eventually(lambda: found_flow_run(place, key), poll_s=0.01)
    run = found_flow_run(place, key)
    assert run is not None
    return run


def keep_house(place: Place, deployment: UUID, *, passes: int) -> Callable[[FlowRun], bool]:
    """Return a function that runs housekeeping on a worker so often, until the flow run is continued."""

    def is_continued(run: FlowRun) -> bool:
        for _ in range(passes):
            kept = place.client.create_flow_run_from_deployment(deployment, parameters={"settings": {"settle": 0}})
            eventually(lambda kept=kept: place.state(kept).is_final())  # type: ignore[misc]
            assert place.state(kept).is_completed()
            run_count = place.client.read_flow_run(run.id).run_count
            states = place.client.read_flow_run_states(run.id)  # all, as a worker may have taken it since
            if run_count > 1 or any(state.name == AWAITS or state.is_completed() for state in states):
                return True
        return False

    return is_continued


@pytest.mark.parametrize(("moment", "workers"), KILLS)
def test_a_run_whose_worker_and_follower_are_killed_goes_on_at_another_worker(
    moment: str, workers: int, place: Place, reference: dict[str, Any], share: ServerShare, tmp_path: Path
) -> None:
    key, shell = f"{share.name}-{moment.replace(' ', '-')}-{workers}", place.at.shell
    with ExitStack() as held:
        place.slow_down(1)
        pool = [held.enter_context(worker(shell.environ, tmp_path, of_hybridloop(share.name))) for _ in range(workers)]
        follower = held.enter_context(shell.start(*RUN, "--on", share.name, "--run-key", key))
        run = flow_run(place, key)
        eventually(lambda: MOMENTS[moment](place, run), poll_s=0.01)
        busy = max(pool, key=lambda each: len(each.children()))
        killed = [psutil.Process(follower.pid), busy.process, *busy.children()]
        for each in killed:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        eventually(lambda: all(map(is_gone, killed)))
        place.slow_down(0)
        if workers == 1:
            held.enter_context(worker(shell.environ, tmp_path, of_hybridloop(share.name)))
        passes = 1 if place.rounds(run) else PASSES
        assert keep_house(place, share.deploy(place.client, housekeeping), passes=passes)(run), place.state(run)
        followed = shell.run("runs", "follow", key, "--json")
        assert followed.returncode == 0, followed.stderr
        check(place, run, json.loads(followed.stdout), reference)


END_IN_ROUND_2 = """
SET search_path TO hybridloop;
CREATE FUNCTION end_here() RETURNS trigger AS $$
BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); RETURN NEW; END
$$ LANGUAGE plpgsql;
CREATE TRIGGER end_here BEFORE INSERT ON jobs FOR EACH ROW WHEN (NEW.sequence = 1) EXECUTE FUNCTION end_here();
"""


def test_a_run_whose_database_ends_in_a_write_goes_on_at_its_worker(
    prefect_server: PrefectServer, reference: dict[str, Any], share: ServerShare, tmp_path: Path
) -> None:
    with ExitStack() as held:
        client = held.enter_context(prefect_client(prefect_server))
        url = new_database(held.enter_context(running_server()))
        place = held.enter_context(place_for(prefect_server, share.deploy(client, vqe), tmp_path, url))
        database = held.enter_context(psycopg.connect(url.replace("+psycopg", ""), autocommit=True))
        database.execute(END_IN_ROUND_2)
        held.enter_context(worker(place.at.shell.environ, tmp_path, of_hybridloop(share.name)))
        parameters = {"problem": {"name": "h2"}, "settings": {**ASKED, "resume_automatically": "interrupted"}}
        run = client.create_flow_run_from_deployment(place.deployment, parameters=parameters)
        eventually(lambda: place.state(run).is_final())
        assert place.record(run).status == "failed"
        database.execute("DROP TRIGGER end_here ON jobs")
        kept = client.create_flow_run_from_deployment(share.deploy(client, housekeeping))
        eventually(lambda: place.state(kept).is_final())
        assert place.state(kept).is_completed()
        eventually(lambda: place.record(run).status == reference["status"])
        key = place.record(run).key
        check(place, run, place.at.shell.json("runs", "resume", key, "--quiet"), reference)


def check_end(
    place: Place, run: FlowRun, how: str, ended: subprocess.CompletedProcess[str], reference: dict[str, Any]
) -> None:
    """Assert that a run ended as its words say, and that a resume gives the undisturbed answer."""
    status, code = ENDS[how]
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    eventually(lambda: place.is_closed(run))
    record = place.record(run)
    assert record.status == status
    assert f"hybridloop runs resume {record.key}" in ended.stdout + ended.stderr
    check(place, run, place.at.shell.json("runs", "resume", record.key, "--quiet"), reference)


@long_only
def test_runs_that_end_in_their_final_measurement_on_a_worker_resume_to_the_same_answer(
    place: Place, reference: dict[str, Any], share: ServerShare, tmp_path: Path
) -> None:
    shell, keys = place.at.shell, {how: f"{share.name}-{how}" for how in ENDS}
    with worker(shell.environ, tmp_path, of_hybridloop(share.name)):
        for how, key in keys.items():
            place.slow_down(12)
            run = place.client.create_flow_run_from_deployment(
                place.deployment,
                parameters={"problem": {"name": "h2"}, "settings": ASKED, "run_key": key},
                name=key,
                tags=[TAG, f"run:{key}"],
            )
            eventually(lambda run=run: place.has_next_round_submitted(run), poll_s=0.01)  # type: ignore[misc]
            assert shell.run("runs", how, key).returncode == 0
            followed = shell.run("runs", "follow", key)
            place.slow_down(0)
            check_end(place, run, how, followed, reference)


@pytest.mark.parametrize("how", list(ENDS))
def test_a_run_that_ends_in_its_final_measurement_resumes_to_the_same_answer(
    how: str, place: Place, reference: dict[str, Any], share: ServerShare
) -> None:
    key = f"{share.name}-here-{how}"
    place.slow_down(12)  # the command that stops the run starts a process of its own meanwhile
    with place.at.shell.start(*RUN, "--run-key", key) as process:
        try:
            run = flow_run(place, key)
            eventually(lambda: place.has_next_round_submitted(run), poll_s=0.01)
            assert place.at.shell.run("runs", how, key).returncode == 0
            out, err = process.communicate()
        finally:
            place.slow_down(0)
            process.kill()
    check_end(place, run, how, subprocess.CompletedProcess([], process.returncode, out, err), reference)
